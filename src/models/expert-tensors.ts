/** Checkpoints that hold experts one by one: their tensors are stacked as mlx-lm stacks them. */
import * as mx from "../mlx/ops.ts";
import type { DerivedTensor, TensorSet } from "./tensor-set.ts";

export interface StackedExperts {
  /** How many a layer has. */
  count: number;
  /** What the stacked module is called that takes the place of `experts`; `switch_mlp` by default. */
  to?: string;
  /** Other names of the matrices. */
  names?: Readonly<Record<string, string>>;
}

/** What Mixtral and its heirs call gate, down and up. */
export const NUMBERED_NAMES = { w1: "gate_proj", w2: "down_proj", w3: "up_proj" };

/** `….experts.0.gate_proj.weight` and its neighbours to `….switch_mlp.gate_proj.weight`; what is not complete stays as it is. */
export function stackExperts(tensors: TensorSet, { count, to = "switch_mlp", names = {} }: StackedExperts): void {
  const stacks: DerivedTensor[] = [];
  for (const name of tensors.names()) {
    const [, block, matrix, part] = /^(.*\.)experts\.0\.(\w+)\.(weight|scales|biases|bias)$/.exec(name) ?? [];
    if (block === undefined || matrix === undefined) continue;
    // The config may lie about the count.
    if (!tensors.has(`${block}experts.${count - 1}.${matrix}.${part}`)) continue;
    stacks.push({
      name: `${block}${to}.${names[matrix] ?? matrix}.${part}`,
      shape: [count, ...tensors.get(name)!.shape],
      from: Array.from({ length: count }, (_, expert) => `${block}experts.${expert}.${matrix}.${part}`),
      compute: (parts) =>
        mx.concatenate(
          parts.map((part) => mx.expandDims(part, 0)),
          0,
        ),
    });
  }
  tensors.derive(stacks);
}

/** Drops the layers after the model's own, which predict further tokens. */
export function dropFurtherLayers(tensors: TensorSet, layers: number): void {
  tensors.rename((name) => (Number(/^model\.layers\.(\d+)\./.exec(name)?.[1] ?? -1) >= layers ? null : name));
}
