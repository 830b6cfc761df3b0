/** Rotary position embedding with one offset per token. Scalings as in mlx-lm's rope_utils. */
import { floats } from "../mlx/array.ts";
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
  /** base ** (2i / dims), adjusted where the scaling asks for it; null: MLX computes them from the base. */
  readonly #freqs: number[] | null;
  readonly #scale: number;
  /** What all layers of the step at hand share: known by its positions, freed with the step. */
  #step: { positions: MxArray; shared: MxArray | null } | null = null;

  constructor(options: RopeOptions) {
    const { dims, base, scaling } = options;
    this.#options = options;
    this.#freqs = scaling.kind === "llama3" ? llama3Freqs(dims, base, scaling) : null;
    this.#scale = scaling.kind === "linear" ? 1 / scaling.factor : 1;
  }

  /** x [T, heads, headDim], positions int32 [T] */
  forward(x: MxArray, positions: MxArray): MxArray {
    const { dims, base, traditional } = this.#options;
    const cpu = currentDevice() === "cpu";
    if (this.#step?.positions !== positions) {
      this.#step = { positions, shared: cpu ? this.#angles(positions) : this.#freqs && floats(this.#freqs) };
    }
    const { shared } = this.#step;
    if (cpu) return mx.cpuRope(x, shared!, traditional);
    // MLX takes one offset per batch entry, so each token is an entry: [T, heads, 1, headDim].
    return mx.squeeze(mx.rope(mx.expandDims(x, 2), dims, traditional, base, this.#scale, positions, shared), 2);
  }

  /** Cosines and sines for our CPU primitive. */
  #angles(positions: MxArray): MxArray {
    const { dims, base } = this.#options;
    const freqs = this.#freqs ?? Array.from({ length: dims / 2 }, (_, i) => base ** ((2 * i) / dims));
    return mx.cpuRopeTable(positions, floats(freqs.map((freq) => 1 / freq)), this.#scale);
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
