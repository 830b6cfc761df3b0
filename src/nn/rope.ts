/** Rotary position embedding with one offset per token. */
import { dtypeOf, floats, scalar, shapeOf } from "../mlx/array.ts";
import { currentDevice, type MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import { plainFreqs, type RopeFrequencies, type RopeScaling, ropeFrequencies } from "./rope-frequencies.ts";

export type { RopeScaling } from "./rope-frequencies.ts";

export interface RopeOptions {
  /** How many of the head's dimensions are rotated: its first ones. */
  dims: number;
  base: number;
  /** Neighbouring pairs instead of halves. */
  traditional: boolean;
  scaling: RopeScaling;
  /** Our CPU primitives instead of a graph of MLX's own operations; by default where arrays are on the CPU. */
  kernels?: boolean;
}

/** What all layers of a step share. */
type Shared =
  /** Cosines and sines, the gain included, for our CPU primitive. */
  | { table: MxArray }
  /** For MLX's operation; `gain` is a factor for each dimension of a head. */
  | { freqs: MxArray | null; gain: MxArray | null };

export class Rope {
  readonly #options: RopeOptions;
  readonly #frequencies: RopeFrequencies;
  /** Known by its positions, freed with the step. */
  #step: { positions: MxArray; shared: Shared } | null = null;

  constructor(options: RopeOptions) {
    this.#options = options;
    this.#frequencies = ropeFrequencies(options.dims, options.base, options.scaling);
  }

  /** x [T, heads, headDim], positions int32 [T] */
  forward(x: MxArray, positions: MxArray): MxArray {
    const { dims, base, traditional, kernels } = this.#options;
    if (this.#step?.positions !== positions) {
      const cpu = kernels ?? currentDevice() === "cpu";
      this.#step = { positions, shared: cpu ? { table: this.#angles(positions) } : this.#factors(x) };
    }
    const { shared } = this.#step;
    if ("table" in shared) return mx.cpuRope(x, shared.table, traditional);
    const { freqs, gain } = shared;
    const scaled = gain ? mx.multiply(x, gain) : x;
    // MLX takes one offset per batch entry, so each token is an entry: [T, heads, 1, headDim].
    const entries = mx.expandDims(scaled, 2);
    return mx.squeeze(mx.rope(entries, dims, traditional, base, this.#frequencies.positionScale, positions, freqs), 2);
  }

  #angles(positions: MxArray): MxArray {
    const { dims, base } = this.#options;
    const { freqs, positionScale, gain } = this.#frequencies;
    const inverse = (freqs ?? plainFreqs(dims, base)).map((freq) => 1 / freq);
    const table = mx.cpuRopeTable(positions, floats(inverse), positionScale);
    return gain === 1 ? table : mx.multiply(table, scalar(gain));
  }

  #factors(x: MxArray): Shared {
    const { freqs, gain } = this.#frequencies;
    const headDim = shapeOf(x).at(-1) ?? 0;
    const factors = Array.from({ length: headDim }, (_, i) => (i < this.#options.dims ? gain : 1));
    return { freqs: freqs && floats(freqs), gain: gain === 1 ? null : mx.astype(floats(factors), dtypeOf(x)) };
  }
}
