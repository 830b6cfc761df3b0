/** Gated delta net: linear attention whose state forgets and corrects. As in mlx_lm/models/qwen3_next.py and qwen3_5.py. */
import { StartupError } from "../errors.ts";
import type { Batch } from "../kv/cache.ts";
import { DTYPES } from "../mlx/dtype.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import { GatedRmsNorm } from "../nn/gated-norm.ts";
import type { AdapterChoice, Linear } from "../nn/linear.ts";
import type { Parameter } from "../nn/parameter.ts";
import type { Layer } from "./block.ts";
import { CausalConvolution, readTaps } from "./causal-convolution.ts";
import type { CacheList } from "./decoder.ts";
import { decayOf } from "./mamba2-mixer.ts";
import type { ConfigReader } from "./model-config.ts";
import type { Weights } from "./weights.ts";

export interface DeltaNetSpec {
  hiddenSize: number;
  keyHeads: number;
  heads: number;
  keyDim: number;
  valueDim: number;
  taps: number;
  normEps: number;
}

/** What a layer gets out of x [T, hidden]. */
export interface DeltaInputs {
  /** Queries, keys and values of all heads, [T, 2 keyHeads * keyDim + heads * valueDim]. */
  qkv: MxArray;
  /** Of the output, [T, heads * valueDim]. */
  z: MxArray;
  /** Of beta and of the decay, [T, heads]. */
  b: MxArray;
  a: MxArray;
}

export interface DeltaProjections {
  forward(x: MxArray, batch: AdapterChoice): DeltaInputs;
}

export function readDeltaNet(c: ConfigReader, hiddenSize: number, normEps: number): DeltaNetSpec {
  const count = (name: string) => c.int(name, { min: 1, max: 2 ** 16 });
  const [keyHeads, heads] = [count("linear_num_key_heads"), count("linear_num_value_heads")];
  if (heads % keyHeads !== 0)
    throw new StartupError(`${c.where}: ${heads} value heads of the delta net cannot share ${keyHeads} key heads`);
  return {
    hiddenSize,
    keyHeads,
    heads,
    keyDim: count("linear_key_head_dim"),
    valueDim: count("linear_value_head_dim"),
    taps: readTaps(c, "linear_conv_kernel_dim"),
    normEps,
  };
}

export class GatedDeltaNet implements Layer {
  readonly projections: DeltaProjections;
  readonly conv1d: CausalConvolution;
  readonly dt_bias: Parameter;
  readonly A_log: Parameter;
  readonly norm: GatedRmsNorm;
  readonly out_proj: Linear;
  readonly #spec: DeltaNetSpec;
  readonly #cache: number;

  constructor(spec: DeltaNetSpec, projections: DeltaProjections, weights: Weights, prefix: string, caches: CacheList) {
    const { hiddenSize, keyHeads, heads, keyDim, valueDim, taps, normEps } = spec;
    const channels = 2 * keyHeads * keyDim + heads * valueDim;
    this.projections = projections;
    this.conv1d = new CausalConvolution({ channels, taps, bias: false, silu: true }, weights, `${prefix}.conv1d`, caches);
    this.dt_bias = weights.tensor(`${prefix}.dt_bias`, [heads], (bias) => mx.astype(bias, DTYPES.float32));
    this.A_log = weights.tensor(`${prefix}.A_log`, [heads], decayOf);
    this.norm = new GatedRmsNorm(weights.tensor(`${prefix}.norm.weight`, [valueDim]), { eps: normEps, gateLast: true });
    this.out_proj = weights.linear(`${prefix}.out_proj`, heads * valueDim, hiddenSize, false);
    this.#spec = spec;
    this.#cache = caches.add({ kind: "state", shape: [heads, valueDim, keyDim] });
  }

  forward(x: MxArray, batch: Batch): MxArray {
    const { keyHeads, heads, valueDim } = this.#spec;
    const { qkv, z, a, b } = this.projections.forward(x, batch);
    const gates = { a, b, decay: this.A_log.array, bias: this.dt_bias.array, keyHeads };
    const y = batch.recurrence.gatedDelta(this.#cache, this.conv1d.forward(qkv, batch), gates);
    const out = this.norm.forward(y, mx.reshape(z, [-1, heads, valueDim]));
    return this.out_proj.forward(mx.reshape(out, [-1, heads * valueDim]), batch);
  }
}
