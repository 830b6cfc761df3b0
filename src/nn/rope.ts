/** Rotary position embedding with one offset per token. Scalings as in mlx-lm's rope_utils. */
import { floats, keep, release } from "../mlx/array.ts";
import { currentDevice, type MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";

export interface RopeOptions {
  /** How many of the head's dimensions are rotated. */
  dims: number;
  base: number;
  /** Neighbouring pairs instead of halves. */
  traditional: boolean;
  scaling: RopeScaling;
}

export type RopeScaling =
  | { kind: "none" }
  | { kind: "linear"; factor: number }
  | { kind: "llama3"; factor: number; lowFreqFactor: number; highFreqFactor: number; originalMaxPositions: number };

export class Rope {
  readonly #options: RopeOptions;
  readonly #freqs: number[] | null;
  #freqsArray: MxArray | null = null;
  /** The CPU's angles of the step at hand, which all layers share. */
  #table: { positions: MxArray; array: MxArray } | null = null;

  constructor(options: RopeOptions) {
    this.#options = options;
    this.#freqs = options.scaling.kind === "llama3" ? llama3Freqs(options.dims, options.base, options.scaling) : null;
  }

  /** x [T, heads, headDim], positions int32 [T] */
  forward(x: MxArray, positions: MxArray): MxArray {
    const { dims, base, traditional, scaling } = this.#options;
    const scale = scaling.kind === "linear" ? 1 / scaling.factor : 1;
    if (currentDevice() === "cpu") return mx.cpuRope(x, this.#angles(positions, scale), traditional);
    if (this.#freqs && this.#freqsArray === null) this.#freqsArray = keep(floats(this.#freqs));
    // MLX takes one offset per batch entry, so each token is an entry: [T, heads, 1, headDim].
    const rotated = mx.rope(mx.expandDims(x, 2), dims, traditional, base, scale, positions, this.#freqsArray);
    return mx.squeeze(rotated, 2);
  }

  #angles(positions: MxArray, scale: number): MxArray {
    if (this.#table?.positions === positions) return this.#table.array;
    this.#freqsArray ??= keep(floats(this.#inverseFreqs()));
    const array = mx.cpuRopeTable(positions, this.#freqsArray, scale);
    this.#table = { positions, array };
    return array;
  }

  /** Radians per position. */
  #inverseFreqs(): number[] {
    const { dims, base } = this.#options;
    if (this.#freqs) return this.#freqs.map((freq) => 1 / freq);
    return Array.from({ length: dims / 2 }, (_, i) => base ** ((-2 * i) / dims));
  }

  free(): void {
    if (this.#freqsArray !== null) release(this.#freqsArray);
    this.#freqsArray = null;
  }
}

/**
 * Llama 3.1's scaling: long wavelengths are stretched by `factor`, short ones kept, those between blended.
 * Returns base ** (2i / dims), adjusted; the angle is position / freqs[i].
 */
export function llama3Freqs(dims: number, base: number, scaling: Extract<RopeScaling, { kind: "llama3" }>): number[] {
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = scaling;
  const lowWavelength = originalMaxPositions / lowFreqFactor;
  const highWavelength = originalMaxPositions / highFreqFactor;
  return Array.from({ length: dims / 2 }, (_, i) => {
    const freq = base ** ((2 * i) / dims);
    const wavelength = 2 * Math.PI * freq;
    if (wavelength > lowWavelength) return freq * factor;
    if (wavelength <= highWavelength) return freq;
    const smooth = (originalMaxPositions / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    return freq / ((1 - smooth) / factor + smooth);
  });
}
