/** Mamba-2's mixer: a projection, a convolution, a state space with a gate. As in mlx_lm/models/mamba2.py. */
import { StartupError } from "../errors.ts";
import type { Batch } from "../kv/cache.ts";
import { DTYPES } from "../mlx/dtype.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import { cutColumns } from "../nn/columns.ts";
import type { Linear } from "../nn/linear.ts";
import type { Parameter } from "../nn/parameter.ts";
import { CausalConvolution } from "./causal-convolution.ts";
import type { CacheList } from "./decoder.ts";
import type { ConfigReader } from "./model-config.ts";
import type { Weights } from "./weights.ts";

export interface Mamba2Spec {
  hiddenSize: number;
  heads: number;
  headDim: number;
  /** So many of b and c, each shared by as many heads. */
  groups: number;
  stateSize: number;
  taps: number;
  convolutionBias: boolean;
  /** Of the projections into the mixer and out of it. */
  bias: boolean;
  outputBias?: boolean;
  /** Of a step of time. */
  limits: readonly [low: number, high: number];
}

/** What becomes of the outputs y [T, inner] with the gate [T, inner]. */
export type Gating = (y: MxArray, gate: MxArray) => MxArray;

/** Throws `StartupError` when heads and groups do not fit. `where`: the file's name. */
export function checkMamba2(where: string, { heads, groups }: Mamba2Spec): void {
  if (heads % groups !== 0) throw new StartupError(`${where}: ${heads} heads of Mamba cannot share ${groups} groups`);
}

/** The field `name`, in which published configs have a bare Infinity. */
export function readStepLimits(c: ConfigReader, name: string, fallback: readonly [number, number]): [number, number] {
  const [low = 0, high = 0] = c.numbers(name, { default: fallback, length: 2, unbounded: true });
  if (low > high) throw new StartupError(`${c.where}: ${name} goes from ${low} to ${high}`);
  return [low, high];
}

const inFloat32 = (x: MxArray) => mx.astype(x, DTYPES.float32);

/** The negative decay that a logarithm stands for. */
export const decayOf = (logarithm: MxArray) => mx.negative(mx.exp(inFloat32(logarithm)));

export class Mamba2Mixer {
  readonly in_proj: Linear;
  readonly conv1d: CausalConvolution;
  readonly out_proj: Linear;
  readonly dt_bias: Parameter;
  readonly A_log: Parameter;
  readonly D: Parameter;
  readonly #spec: Mamba2Spec;
  readonly #widths: readonly number[];
  readonly #gating: Gating;
  readonly #cache: number;

  constructor(spec: Mamba2Spec, gating: Gating, weights: Weights, prefix: string, caches: CacheList) {
    const { hiddenSize, heads, headDim, groups, stateSize, taps, bias, outputBias = bias } = spec;
    const inner = heads * headDim;
    const channels = inner + 2 * groups * stateSize;
    this.in_proj = weights.linear(`${prefix}.in_proj`, hiddenSize, inner + channels + heads, bias);
    const convolution = { channels, taps, bias: spec.convolutionBias, silu: true };
    this.conv1d = new CausalConvolution(convolution, weights, `${prefix}.conv1d`, caches);
    this.dt_bias = weights.tensor(`${prefix}.dt_bias`, [heads], inFloat32);
    this.A_log = weights.tensor(`${prefix}.A_log`, [heads], decayOf);
    this.D = weights.tensor(`${prefix}.D`, [heads], inFloat32);
    this.out_proj = weights.linear(`${prefix}.out_proj`, inner, hiddenSize, outputBias);
    this.#spec = spec;
    this.#widths = [inner, channels, heads];
    this.#gating = gating;
    this.#cache = caches.add({ kind: "state", shape: [heads, headDim, stateSize] });
  }

  forward(x: MxArray, batch: Batch): MxArray {
    const [gate, inputs, dt] = cutColumns(this.in_proj.forward(x, batch), this.#widths) as [MxArray, MxArray, MxArray];
    const y = batch.recurrence.stateSpace(this.#cache, this.conv1d.forward(inputs, batch), {
      dt,
      bias: this.dt_bias.array,
      decay: this.A_log.array,
      skip: this.D.array,
      limits: this.#spec.limits,
    });
    return this.out_proj.forward(this.#gating(y, gate), batch);
  }
}
