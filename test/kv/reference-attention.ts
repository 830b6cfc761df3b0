/** Attention with grouped heads, one number at a time in double precision. */

export interface Heads {
  heads: number;
  kvHeads: number;
  headDim: number;
  valueDim: number;
  scale: number;
  softcap?: number;
  sinks?: readonly number[];
}

/** What one sequence has appended to one cache: tokens of kvHeads * headDim and kvHeads * valueDim numbers. */
export interface History {
  k: Float32Array[];
  v: Float32Array[];
}

/** The result for one token that sees the tokens [first, length) of its history. q: heads * headDim numbers. */
export function attendOne(
  q: Float32Array,
  { k, v }: History,
  [first, length]: readonly [number, number],
  { heads, kvHeads, headDim, valueDim, scale, softcap, sinks }: Heads,
): number[] {
  const out: number[] = [];
  for (let head = 0; head < heads; head++) {
    const kvHead = Math.floor(head / (heads / kvHeads));
    const scores: number[] = [];
    for (let position = first; position < length; position++) {
      let dot = 0;
      for (let d = 0; d < headDim; d++) dot += q[head * headDim + d]! * k[position]![kvHead * headDim + d]!;
      scores.push(softcap === undefined ? dot * scale : softcap * Math.tanh((dot * scale) / softcap));
    }
    const sink = sinks?.[head] ?? Number.NEGATIVE_INFINITY;
    const largest = Math.max(sink, ...scores);
    const weights = scores.map((score) => Math.exp(score - largest));
    const total = weights.reduce((sum, weight) => sum + weight, Math.exp(sink - largest));
    for (let d = 0; d < valueDim; d++) {
      let sum = 0;
      weights.forEach((weight, i) => {
        sum += weight * v[first + i]![kvHead * valueDim + d]!;
      });
      out.push(sum / total);
    }
  }
  return out;
}
