/** Apertus: a learned activation (xIELU) without a gate, a norm of each head's queries and keys. Follows mlx_lm/models/apertus.py. */
import { dtypeOf, scalar } from "../../mlx/array.ts";
import { times } from "../../mlx/fast.ts";
import type { MxArray } from "../../mlx/ffi.ts";
import * as mx from "../../mlx/ops.ts";
import type { Parameter } from "../../nn/parameter.ts";
import { readDecoderConfig } from "../decoder.ts";
import { PlainMlp } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import { readRope } from "../rope-config.ts";
import type { TensorSet } from "../tensor-set.ts";
import { buildTransformer } from "../transformer.ts";
import type { Weights } from "../weights.ts";
import { LEFTOVERS } from "./llama.ts";

const SLOPES = /\.act_fn\.alpha_[pn]$/;

/** xIELU (arXiv 2411.13010): a quadratic above zero, a shifted exponential below; both slopes are learned. */
class Xielu {
  readonly alpha_p: Parameter;
  readonly alpha_n: Parameter;
  readonly beta: Parameter;
  readonly eps: Parameter;

  constructor(weights: Weights, prefix: string) {
    this.alpha_p = weights.tensor(`${prefix}.alpha_p`, [], softplus);
    this.alpha_n = weights.tensor(`${prefix}.alpha_n`, [], softplus);
    this.beta = weights.tensor(`${prefix}.beta`, []);
    this.eps = weights.tensor(`${prefix}.eps`, []);
  }

  forward(x: MxArray): MxArray {
    const beta = this.beta.array;
    const above = mx.multiply(this.alpha_p.array, mx.square(x));
    const curve = mx.subtract(mx.expm1(mx.minimum(x, this.eps.array)), x);
    const below = mx.multiply(curve, mx.add(beta, this.alpha_n.array));
    const positive = mx.greater(x, mx.astype(scalar(0), dtypeOf(x)));
    return mx.add(mx.where(positive, above, below), mx.multiply(beta, x));
  }
}

/** ln(1 + e^x) */
function softplus(x: MxArray): MxArray {
  const zero = mx.astype(scalar(0), dtypeOf(x));
  const magnitude = mx.maximum(x, times(x, -1));
  const one = mx.astype(scalar(1), dtypeOf(x));
  return mx.add(mx.maximum(x, zero), mx.log(mx.add(one, mx.exp(times(magnitude, -1)))));
}

/** The publisher's slopes are lists of one number. */
function takeSlopes(tensors: TensorSet): void {
  tensors.derive(
    tensors
      .names()
      .filter((name) => name.search(SLOPES) >= 0 && tensors.get(name)?.shape.length === 1)
      .map((name) => ({ name, shape: [], from: [name], compute: ([slope]) => mx.reshape(slope!, []) })),
  );
}

export const apertus: Architecture = {
  build: (c, weights) => {
    const config = readDecoderConfig(c, { tied: false });
    const rope = readRope(c, { dims: config.headDim });
    const make = (prefix: string, dim: number) => weights.norm(prefix, dim, config.normEps);
    const bias = c.boolean("mlp_bias", { default: false });
    return buildTransformer(config, weights, {
      attention: () => ({ rope, qkNorm: { over: "head", make } }),
      feedForward: (prefix) => {
        const xielu = new Xielu(weights, `${prefix}.act_fn`);
        const names = ["up_proj", "down_proj"] as const;
        return new PlainMlp({ ...config, bias, names, activation: (x) => xielu.forward(x) }, weights, prefix);
      },
      layerNames: { beforeAttention: "attention_layernorm", beforeFeedForward: "feedforward_layernorm" },
    });
  },
  sanitize: takeSlopes,
  ignoredTensors: LEFTOVERS,
};
