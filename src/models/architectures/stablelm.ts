/** StableLM 2: layer norms, part of the head rotated, both parts side by side in the larger one. Follows mlx_lm/models/stablelm.py. */
import * as mx from "../../mlx/ops.ts";
import { HeadwiseLayerNorm } from "../../nn/norm.ts";
import { readDecoderConfig } from "../decoder.ts";
import { layerNorm } from "../layer-norm.ts";
import type { Architecture } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import { readRope } from "../rope-config.ts";
import type { TensorSet } from "../tensor-set.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

const HEAD_NORM = /^(.*\.[qk]_layernorm)\.norms\.\d+\.weight$/;

/** The norm of each head is a tensor of its own; here they are one. */
function stackHeadNorms(tensors: TensorSet, c: ConfigReader): void {
  const { heads, kvHeads, headDim } = readDecoderConfig(c, { tied: false });
  const prefixes = new Set(tensors.names().flatMap((name) => HEAD_NORM.exec(name)?.[1] ?? []));
  tensors.derive(
    [...prefixes].map((prefix) => {
      const count = prefix.endsWith("q_layernorm") ? heads : kvHeads;
      return {
        name: `${prefix}.weight`,
        shape: [count, headDim],
        from: Array.from({ length: count }, (_, head) => `${prefix}.norms.${head}.weight`),
        compute: (parts) => mx.reshape(mx.concatenate(parts, 0), [count, headDim]),
      };
    }),
  );
}

export const stablelm: Architecture = {
  build: (c, weights) => {
    const config = { ...readDecoderConfig(c, { tied: false }), tied: false };
    const bias = c.boolean("use_qkv_bias", { default: false });
    const parallel = c.boolean("use_parallel_residual", { default: false });
    const rope = readRope(c, { dims: config.headDim, partial: 0.25, scaled: false });
    const eps = c.number("layer_norm_eps", { min: 0, default: 1e-5 });
    const make = (prefix: string, dim: number, heads: number) =>
      new HeadwiseLayerNorm(weights.tensor(`${prefix}.weight`, [heads, dim]), eps);
    const qkNorm = { over: "head", names: ["q_layernorm", "k_layernorm"], make } as const;
    const normed = c.boolean("qk_layernorm", { default: false });
    return buildTransformer(config, weights, {
      attention: () => ({ bias, rope, ...(normed && { qkNorm }) }),
      norm: (prefix) => layerNorm(weights, prefix, { dim: config.hiddenSize, eps, bias: true }),
      ...(parallel && { parallel, layerNames: { beforeFeedForward: null } }),
    });
  },
  sanitize: stackHeadNorms,
  ignoredTensors: LEFTOVERS,
};
