/** Causal attention with grouped heads, one number at a time in double precision. */

export interface Heads {
  heads: number;
  kvHeads: number;
  headDim: number;
  scale: number;
}

/** What one sequence has appended to one layer: tokens of kvHeads * headDim numbers. */
export interface History {
  k: Float32Array[];
  v: Float32Array[];
}

/** The result for one token that sees the first `length` tokens of its history. q: heads * headDim numbers. */
export function attendOne(
  q: Float32Array,
  { k, v }: History,
  length: number,
  { heads, kvHeads, headDim, scale }: Heads,
): number[] {
  const out: number[] = [];
  for (let head = 0; head < heads; head++) {
    const kvOffset = Math.floor(head / (heads / kvHeads)) * headDim;
    const scores: number[] = [];
    for (let position = 0; position < length; position++) {
      let dot = 0;
      for (let d = 0; d < headDim; d++) dot += q[head * headDim + d]! * k[position]![kvOffset + d]!;
      scores.push(dot * scale);
    }
    const largest = Math.max(...scores);
    const weights = scores.map((score) => Math.exp(score - largest));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    for (let d = 0; d < headDim; d++) {
      let sum = 0;
      for (let position = 0; position < length; position++) sum += weights[position]! * v[position]![kvOffset + d]!;
      out.push(sum / total);
    }
  }
  return out;
}
