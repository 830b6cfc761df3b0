/** How rotary frequencies are stretched for contexts longer than those of the training. Follows mlx-lm's rope_utils. */

export type RopeScaling =
  | { kind: "none" }
  | { kind: "linear"; factor: number }
  | { kind: "llama3"; factor: number; lowFreqFactor: number; highFreqFactor: number; originalMaxPositions: number }
  | {
      kind: "yarn";
      factor: number;
      originalMaxPositions: number;
      betaFast: number;
      betaSlow: number;
      mscale: number;
      mscaleAllDim: number;
    }
  /** `factors`: one for each pair, or a single one for all. */
  | { kind: "longrope"; factors: readonly number[]; originalMaxPositions: number; maxPositions: number }
  /** `partial`: which part of the pairs is rotated, their frequencies being those of a whole head. */
  | { kind: "proportional"; factor: number; partial: number };

export interface RopeFrequencies {
  /** The angle of pair i is position * positionScale / freqs[i]; infinite for pairs that stay; null: base ** (2i / dims). */
  freqs: readonly number[] | null;
  positionScale: number;
  /** What the rotated numbers of queries and keys are multiplied by. */
  gain: number;
}

export function ropeFrequencies(dims: number, base: number, scaling: RopeScaling): RopeFrequencies {
  switch (scaling.kind) {
    case "none":
      return { freqs: null, positionScale: 1, gain: 1 };
    case "linear":
      return { freqs: null, positionScale: 1 / scaling.factor, gain: 1 };
    case "llama3":
      return { freqs: llama3Freqs(dims, base, scaling), positionScale: 1, gain: 1 };
    case "yarn":
      return { freqs: yarnFreqs(dims, base, scaling), positionScale: 1, gain: yarnGain(scaling) };
    case "longrope":
      return { freqs: longropeFreqs(dims, base, scaling), positionScale: 1, gain: longropeGain(scaling) };
    case "proportional":
      return { freqs: proportionalFreqs(dims, base, scaling), positionScale: 1, gain: 1 };
  }
}

type Kind<K extends RopeScaling["kind"]> = Extract<RopeScaling, { kind: K }>;

/** base ** (2i / dims) */
export function plainFreqs(dims: number, base: number): number[] {
  return Array.from({ length: Math.floor(dims / 2) }, (_, i) => base ** ((2 * i) / dims));
}

/** Llama 3.1: long wavelengths are stretched by `factor`, short ones kept, those between blended. */
function llama3Freqs(dims: number, base: number, scaling: Kind<"llama3">): number[] {
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = scaling;
  const lowWavelength = originalMaxPositions / lowFreqFactor;
  const highWavelength = originalMaxPositions / highFreqFactor;
  return plainFreqs(dims, base).map((freq) => {
    const wavelength = 2 * Math.PI * freq;
    if (wavelength > lowWavelength) return freq * factor;
    if (wavelength <= highWavelength) return freq;
    const smooth = (originalMaxPositions / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    return freq / ((1 - smooth) / factor + smooth);
  });
}

/** YaRN (arXiv 2309.00071): pairs that turn often keep their frequency, slow ones are stretched, a ramp between them. */
function yarnFreqs(dims: number, base: number, scaling: Kind<"yarn">): number[] {
  const { factor, originalMaxPositions, betaFast, betaSlow } = scaling;
  const pairOfTurns = (turns: number) => (dims * Math.log(originalMaxPositions / (turns * 2 * Math.PI))) / (2 * Math.log(base));
  const low = Math.max(Math.floor(pairOfTurns(betaFast)), 0);
  const end = Math.min(Math.ceil(pairOfTurns(betaSlow)), dims - 1);
  const high = end === low ? end + 0.001 : end;
  return plainFreqs(dims, base).map((kept, i) => {
    const stretched = factor * kept;
    const keep = 1 - Math.min(Math.max((i - low) / (high - low), 0), 1);
    return (stretched * kept) / (stretched * keep + kept * (1 - keep));
  });
}

/** 0.1 mscale ln(factor) + 1, by which YaRN makes attention sharper. */
export function yarnMscale(factor: number, mscale: number): number {
  return factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1;
}

function yarnGain({ factor, mscale, mscaleAllDim }: Kind<"yarn">): number {
  return yarnMscale(factor, mscale) / yarnMscale(factor, mscaleAllDim);
}

/** LongRoPE (arXiv 2402.13753), with the factors for long texts throughout, since a cache cannot change them on the way. */
function longropeFreqs(dims: number, base: number, { factors }: Kind<"longrope">): number[] {
  return plainFreqs(dims, base).map((freq, i) => freq * (factors.length === 1 ? factors[0]! : factors[i]!));
}

function longropeGain({ originalMaxPositions, maxPositions }: Kind<"longrope">): number {
  const factor = maxPositions / originalMaxPositions;
  return factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalMaxPositions));
}

/** Gemma 4: the first pairs turn, the frequencies counted over the whole head; the others stay. */
function proportionalFreqs(dims: number, base: number, { factor, partial }: Kind<"proportional">): number[] {
  const rotated = Math.floor(dims * partial);
  return plainFreqs(dims, base).map((freq, i) => (2 * i < rotated ? factor * freq : Number.POSITIVE_INFINITY));
}
