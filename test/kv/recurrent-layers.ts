/** Recurrent layers with random constants, each with its reference: what the recurrence tests run. */
import type { Recurrence } from "../../src/kv/cache.ts";
import { floats } from "../../src/mlx/array.ts";
import type { MxArray } from "../../src/mlx/ffi.ts";
import type { Prng } from "../engine/prng.ts";
import { convolveOne, type DeltaSizes, deltaOne, type StateSpaceSizes, stateSpaceOne } from "./reference-recurrence.ts";

export interface RecurrentLayer {
  /** Of its state. */
  shape: number[];
  /** Numbers of a token: the projection and what comes with it. */
  widths: number[];
  run(recurrence: Recurrence, cache: number, inputs: MxArray[]): MxArray;
  /** A sequence's own reference, called token after token. */
  start(): (inputs: Float32Array[]) => number[];
}

export interface Constants {
  vector(length: number): Float32Array;
}

const negative = (values: Float32Array) => values.map((value) => -0.02 - Math.abs(value));

export function convolution(
  { vector }: Constants,
  taps: number,
  channels: number,
  biased: boolean,
  silu: boolean,
): RecurrentLayer {
  const [weight, bias] = [vector(taps * channels), biased ? vector(channels) : null];
  return {
    shape: [taps - 1, channels],
    widths: [channels],
    run: (recurrence, cache, [x]) =>
      recurrence.convolve(cache, x!, floats(weight, [taps, channels]), { bias: bias && floats(bias), silu }),
    start: () => {
      const inputs: ArrayLike<number>[] = [];
      return ([x]) => convolveOne(x!, inputs, weight, bias, silu);
    },
  };
}

export function gatedDelta({ vector }: Constants, sizes: DeltaSizes): RecurrentLayer {
  const { keyHeads, heads, keyDim, valueDim } = sizes;
  const [decay, bias] = [negative(vector(heads)), vector(heads)];
  return {
    shape: [heads, valueDim, keyDim],
    widths: [2 * keyHeads * keyDim + heads * valueDim, heads, heads],
    run: (recurrence, cache, [x, a, b]) =>
      recurrence.gatedDelta(cache, x!, { a: a!, b: b!, decay: floats(decay), bias: floats(bias), keyHeads }),
    start: () => {
      const state = new Float64Array(heads * valueDim * keyDim);
      return ([x, a, b]) => deltaOne(x!, [a!, b!, decay, bias], state, sizes);
    },
  };
}

export function stateSpace({ vector }: Constants, sizes: StateSpaceSizes): RecurrentLayer {
  const { heads, groups, dim, size, limits } = sizes;
  const [bias, decay, skip] = [vector(heads), negative(vector(heads)), vector(heads)];
  return {
    shape: [heads, dim, size],
    widths: [heads * dim + 2 * groups * size, heads],
    run: (recurrence, cache, [x, dt]) =>
      recurrence.stateSpace(cache, x!, { dt: dt!, bias: floats(bias), decay: floats(decay), skip: floats(skip), limits }),
    start: () => {
      const state = new Float64Array(heads * dim * size);
      return ([x, dt]) => stateSpaceOne(x!, [dt!, bias, decay, skip], state, sizes);
    },
  };
}

/** Every kind, with sizes that fill registers and sizes that do not. */
export function everyLayer(random: Prng): RecurrentLayer[] {
  const constants = { vector: (length: number) => Float32Array.from({ length }, () => random.normal()) };
  return [
    convolution(constants, 4, 37, true, true),
    convolution(constants, 3, 64, false, false),
    convolution(constants, 6, 16, true, false),
    gatedDelta(constants, { keyHeads: 2, heads: 4, keyDim: 16, valueDim: 24 }),
    gatedDelta(constants, { keyHeads: 1, heads: 3, keyDim: 20, valueDim: 5 }),
    stateSpace(constants, { heads: 4, groups: 2, dim: 16, size: 32, limits: [0, Number.POSITIVE_INFINITY] }),
    stateSpace(constants, { heads: 3, groups: 1, dim: 5, size: 20, limits: [0.4, 0.9] }),
  ];
}
