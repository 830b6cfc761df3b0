/** Hunyuan, dense: norms of queries and keys after the rotation. Follows mlx_lm/models/hunyuan_v1_dense.py. */
import { StartupError } from "../../errors.ts";
import { Rope } from "../../nn/rope.ts";
import { readDecoderConfig } from "../decoder.ts";
import type { Architecture } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import { readRopeOptions } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

/** Its scaling ("dynamic" with an alpha) is a larger base, once and for all. */
function readAlphaRope(c: ConfigReader, dims: number): Rope {
  const options = readRopeOptions(c, { dims, scaled: false });
  const scaling = c.optionalChild(["rope_parameters", "rope_scaling"]);
  const alpha = scaling?.number("alpha", { min: 1e-6, default: 1 }) ?? 1;
  const base = options.base * alpha ** (dims / (dims - 2));
  if (!Number.isFinite(base)) throw new StartupError(`${c.where}: alpha ${alpha} makes no base for a head of ${dims}`);
  return new Rope({ ...options, traditional: false, base });
}

export const hunyuanV1Dense: Architecture = {
  build: (c, weights) => {
    const config = readDecoderConfig(c, { tied: false });
    const bias = c.boolean("attention_bias", { default: false });
    const rope = readAlphaRope(c, config.headDim);
    const make = (prefix: string, dim: number) => weights.norm(prefix, dim, config.normEps);
    const qkNorm = { over: "head", afterRope: true, names: ["query_layernorm", "key_layernorm"], make } as const;
    const normed = c.boolean("use_qk_norm", { default: true });
    return buildTransformer(config, weights, {
      attention: () => ({ bias, outputBias: bias, rope, ...(normed && { qkNorm }) }),
    });
  },
  ignoredTensors: LEFTOVERS,
};
