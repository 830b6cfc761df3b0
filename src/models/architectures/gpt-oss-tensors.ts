/** The experts as OpenAI publishes them: gate and up in one tensor with alternating rows, mxfp4 as bytes, or dense and transposed. */

import { shapeOf } from "../../mlx/array.ts";
import { DTYPES } from "../../mlx/dtype.ts";
import type { MxArray } from "../../mlx/ffi.ts";
import * as mx from "../../mlx/ops.ts";
import type { DerivedTensor, TensorSet } from "../tensor-set.ts";

/** Every other row of [E, 2 n, ...]: the gates' (0) or the ups' (1). */
function everyOther(array: MxArray, which: 0 | 1): MxArray {
  const [experts = 0, rows = 0, ...rest] = shapeOf(array);
  const pairs = mx.reshape(array, [experts, rows / 2, 2, ...rest]);
  const start = [0, 0, which, ...rest.map(() => 0)];
  return mx.squeeze(mx.slice(pairs, start, [experts, rows / 2, which + 1, ...rest]), 2);
}

/** [E, rows, groups, 16] bytes of levels to [E, rows, 4 groups] words. */
function joinBlocks(blocks: MxArray): MxArray {
  const [experts = 0, rows = 0, groups = 0, bytes = 0] = shapeOf(blocks);
  return mx.view(mx.reshape(blocks, [experts, rows, groups * bytes]), DTYPES.uint32);
}

const transposed = (array: MxArray) => mx.transpose(array, [0, 2, 1]);

/** How each part of a layer's experts is stored: its name there, its name here, its shape here, and what is done to it. */
interface Layout {
  part: string;
  to: string;
  shape: (stored: readonly number[]) => number[];
  change: (array: MxArray) => MxArray;
  words?: true;
}

const LAYOUTS: readonly Layout[] = [
  {
    part: "_blocks",
    to: "weight",
    shape: ([experts = 0, rows = 0, groups = 0, bytes = 0]) => [experts, rows, (groups * bytes) / 4],
    change: joinBlocks,
    words: true,
  },
  { part: "_scales", to: "scales", shape: (stored) => [...stored], change: (array) => array },
  { part: "_bias", to: "bias", shape: (stored) => [...stored], change: (array) => array },
  { part: "", to: "weight", shape: ([experts = 0, columns = 0, rows = 0]) => [experts, rows, columns], change: transposed },
];

export function convertOriginalExperts(tensors: TensorSet): void {
  const derived: DerivedTensor[] = [];
  for (const name of tensors.names()) {
    const [, experts, matrix, suffix] = /^(.*\.experts)\.(gate_up_proj|down_proj)(_\w+)?$/.exec(name) ?? [];
    const layout = LAYOUTS.find(({ part }) => part === (suffix ?? ""));
    if (experts === undefined || layout === undefined) continue;
    const { to, change, words } = layout;
    const [count = 0, rows = 0, ...rest] = layout.shape(tensors.get(name)!.shape);
    const common = { from: [name], ...(words && { dtype: "U32" as const }) };
    if (matrix === "down_proj") {
      derived.push({
        ...common,
        name: `${experts}.down_proj.${to}`,
        shape: [count, rows, ...rest],
        compute: ([a]) => change(a!),
      });
      continue;
    }
    for (const [which, half] of ["gate_proj", "up_proj"].entries()) {
      derived.push({
        ...common,
        name: `${experts}.${half}.${to}`,
        shape: [count, rows / 2, ...rest],
        compute: ([a]) => everyOther(change(a!), which === 0 ? 0 : 1),
      });
    }
  }
  tensors.derive(derived);
}
