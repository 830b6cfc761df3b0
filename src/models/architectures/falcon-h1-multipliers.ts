/** Falcon H1 as published has its many factors in the config; converted checkpoints have them in the weights. */
import { StartupError } from "../../errors.ts";
import { dimension, dtypeOf, floats } from "../../mlx/array.ts";
import { times } from "../../mlx/fast.ts";
import type { MxArray } from "../../mlx/ffi.ts";
import * as mx from "../../mlx/ops.ts";
import type { ConfigReader } from "../model-config.ts";
import type { TensorSet } from "../tensor-set.ts";

/** So many rows of a matrix, and their factor. */
type RowFactor = readonly [rows: number, factor: number];

/**
 * The publisher's tensors times the config's multipliers, as converted checkpoints have them. Like mlx-lm, which looks for it under
 * another name, this leaves the keys without `key_multiplier`.
 */
export function foldMultipliers(tensors: TensorSet, c: ConfigReader): void {
  const [gate = 1, down = 1] = c.numbers("mlp_multipliers", { length: 2 });
  const factors: Readonly<Record<string, number>> = {
    embed_tokens: c.number("embedding_multiplier"),
    lm_head: c.number("lm_head_multiplier"),
    q_proj: c.number("attention_in_multiplier"),
    k_proj: c.number("attention_in_multiplier"),
    o_proj: c.number("attention_out_multiplier"),
    out_proj: c.number("ssm_out_multiplier"),
    gate_proj: gate,
    down_proj: down,
    in_proj: c.number("ssm_in_multiplier"),
  };
  const [inner, heads] = [c.int("mamba_d_ssm"), c.int("mamba_n_heads")];
  const shared = c.int("mamba_n_groups") * c.int("mamba_d_state");
  const inputs = c.numbers("ssm_multipliers", { length: 5 });
  const rows = [inner, inner, shared, shared, heads].map((count, i): RowFactor => [count, inputs[i] ?? 1]);
  tensors.derive(
    tensors.names().flatMap((name) => {
      const module = /(?:^|\.)(\w+)\.weight$/.exec(name)?.[1] ?? "";
      const factor = Object.hasOwn(factors, module) ? factors[module] : undefined;
      if (factor === undefined) return [];
      const compute = ([weight]: readonly MxArray[]) => {
        const scaled = times(weight!, factor);
        return module === "in_proj" ? scaleRows(scaled, rows, name) : scaled;
      };
      return [{ name, shape: tensors.get(name)!.shape, from: [name], compute }];
    }),
  );
}

function scaleRows(weight: MxArray, rows: readonly RowFactor[], name: string): MxArray {
  const total = rows.reduce((sum, [count]) => sum + count, 0);
  if (total !== dimension(weight, 0))
    throw new StartupError(`tensor ${name} has ${dimension(weight, 0)} rows where the config's multipliers are for ${total}`);
  const factors = Float32Array.from(rows.flatMap(([count, factor]) => Array<number>(count).fill(factor)));
  return mx.multiply(weight, mx.astype(floats(factors, [total, 1]), dtypeOf(weight)));
}
