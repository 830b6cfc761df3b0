/** Qwen3-Next: gated delta nets, attention in every fourth layer, experts. Follows mlx_lm/models/qwen3_next.py. */
import { dimension } from "../../mlx/array.ts";
import type { MxArray } from "../../mlx/ffi.ts";
import * as mx from "../../mlx/ops.ts";
import { cutColumns } from "../../nn/columns.ts";
import type { AdapterChoice, Linear } from "../../nn/linear.ts";
import { transposeConvolutions } from "../causal-convolution.ts";
import { buildDeltaHybrid, raiseNorms, readSharedMixture } from "../delta-hybrid.ts";
import { stackExperts } from "../expert-tensors.ts";
import type { DeltaInputs, DeltaNetSpec, DeltaProjections } from "../gated-delta-net.ts";
import { GatedMlp } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import type { Weights } from "../weights.ts";

/** q, k, v and z in one matrix, b and a in another, each grouped by key head. */
class GroupedProjections implements DeltaProjections {
  readonly in_proj_qkvz: Linear;
  readonly in_proj_ba: Linear;
  readonly #spec: DeltaNetSpec;

  constructor(spec: DeltaNetSpec, weights: Weights, prefix: string) {
    const { hiddenSize, keyHeads, heads, keyDim, valueDim } = spec;
    const width = 2 * keyHeads * keyDim + 2 * heads * valueDim;
    this.in_proj_qkvz = weights.linear(`${prefix}.in_proj_qkvz`, hiddenSize, width, false);
    this.in_proj_ba = weights.linear(`${prefix}.in_proj_ba`, hiddenSize, 2 * heads, false);
    this.#spec = spec;
  }

  forward(x: MxArray, batch: AdapterChoice): DeltaInputs {
    const { keyHeads, heads, keyDim, valueDim } = this.#spec;
    const values = (heads / keyHeads) * valueDim;
    const tokens = dimension(x, 0);
    const cut = (linear: Linear, widths: readonly number[]) => {
      const grouped = mx.reshape(linear.forward(x, batch), [tokens * keyHeads, -1]);
      return cutColumns(grouped, widths).map((part) => mx.reshape(part, [tokens, -1]));
    };
    const [q, k, v, z] = cut(this.in_proj_qkvz, [keyDim, keyDim, values, values]) as [MxArray, MxArray, MxArray, MxArray];
    const [b, a] = cut(this.in_proj_ba, [heads / keyHeads, heads / keyHeads]) as [MxArray, MxArray];
    return { qkv: mx.concatenate([q, k, v], 1), z, b, a };
  }
}

export const qwen3Next: Architecture = {
  build: (c, weights) => {
    const mixture = readSharedMixture(c, weights);
    const dense = new Set(c.ints("mlp_only_layers", { default: [] }));
    const step = c.int("decoder_sparse_step", { min: 1 });
    return buildDeltaHybrid(c, weights, {
      projections: (spec, prefix) => new GroupedProjections(spec, weights, prefix),
      feedForward: (config, prefix, layer) =>
        mixture === null || dense.has(layer) || (layer + 1) % step !== 0
          ? new GatedMlp(config, weights, prefix)
          : mixture(prefix),
    });
  },
  sanitize: (tensors, c) => {
    // As mlx-lm tells it: what has its experts one by one is the publisher's.
    if (tensors.names().some((name) => name.endsWith(".mlp.experts.0.up_proj.weight"))) raiseNorms(tensors);
    tensors.drop(/(^|\.)mtp\./);
    stackExperts(tensors, { count: c.int("num_experts", { default: 0 }) });
    transposeConvolutions(tensors, /\.conv1d\.weight$/);
  },
  ignoredTensors: [/^lm_head\./],
};
