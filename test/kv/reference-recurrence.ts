/** The scans of recurrent layers, one token and one number at a time in double precision. States are flat, as src/kv/cache.ts has them. */

export type Numbers = ArrayLike<number>;

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const dot = (a: Numbers, b: Numbers) => Array.from(a).reduce((sum, x, i) => sum + x * b[i]!, 0);
const part = (x: Numbers, index: number, size: number) => Array.from({ length: size }, (_, i) => x[index * size + i]!);

/** x [C], weight [K, C], bias [C] or null; `inputs`: all so far, the oldest first. */
export function convolveOne(x: Numbers, inputs: Numbers[], weight: Numbers, bias: Numbers | null, silu: boolean): number[] {
  inputs.push(x);
  const channels = x.length;
  const taps = weight.length / channels;
  return Array.from({ length: channels }, (_, c) => {
    let sum = bias?.[c] ?? 0;
    for (let k = 0; k < taps; k++) sum += weight[k * channels + c]! * (inputs[inputs.length - taps + k]?.[c] ?? 0);
    return silu ? sum * sigmoid(sum) : sum;
  });
}

export interface DeltaSizes {
  keyHeads: number;
  heads: number;
  keyDim: number;
  valueDim: number;
}

/** x [2 Hk Dk + Hv Dv]; a, b, decay, bias [Hv]; state [Hv, Dv, Dk], changed. */
export function deltaOne(
  x: Numbers,
  [a, b, decay, bias]: readonly [Numbers, Numbers, Numbers, Numbers],
  state: Float64Array,
  { keyHeads, heads, keyDim, valueDim }: DeltaSizes,
): number[] {
  const unit = (vector: number[]) => vector.map((value) => value / Math.sqrt(dot(vector, vector) + 1e-6));
  const out: number[] = [];
  for (let h = 0; h < heads; h++) {
    const group = Math.floor(h / (heads / keyHeads));
    const q = unit(part(x, group, keyDim)).map((value) => value / Math.sqrt(keyDim));
    const k = unit(part(x, keyHeads + group, keyDim));
    const g = Math.exp(decay[h]! * softplus(a[h]! + bias[h]!));
    for (let d = 0; d < valueDim; d++) {
      const row = state.subarray((h * valueDim + d) * keyDim, (h * valueDim + d + 1) * keyDim);
      const v = x[2 * keyHeads * keyDim + h * valueDim + d]!;
      const delta = sigmoid(b[h]!) * (v - g * dot(row, k));
      for (let i = 0; i < keyDim; i++) row[i] = g * row[i]! + delta * k[i]!;
      out.push(dot(row, q));
    }
  }
  return out;
}

export interface StateSpaceSizes {
  heads: number;
  groups: number;
  dim: number;
  size: number;
  limits: readonly [number, number];
}

/** x [H P + 2 G N]; dt, bias, decay, skip [H]; state [H, P, N], changed. */
export function stateSpaceOne(
  x: Numbers,
  [dt, bias, decay, skip]: readonly [Numbers, Numbers, Numbers, Numbers],
  state: Float64Array,
  { heads, groups, dim, size, limits: [low, high] }: StateSpaceSizes,
): number[] {
  const out: number[] = [];
  const shared = Array.from({ length: 2 * groups * size }, (_, i) => x[heads * dim + i]!);
  for (let h = 0; h < heads; h++) {
    const group = Math.floor(h / (heads / groups));
    const [b, c] = [part(shared, group, size), part(shared, groups + group, size)];
    const step = Math.min(Math.max(softplus(dt[h]! + bias[h]!), low), high);
    for (let p = 0; p < dim; p++) {
      const value = x[h * dim + p]!;
      const row = state.subarray((h * dim + p) * size, (h * dim + p + 1) * size);
      for (let i = 0; i < size; i++) row[i] = Math.exp(step * decay[h]!) * row[i]! + step * value * b[i]!;
      out.push(dot(row, c) + skip[h]! * value);
    }
  }
  return out;
}
