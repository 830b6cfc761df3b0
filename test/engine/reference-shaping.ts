/** The filters of src/engine/shaping.ts written plainly, one row at a time. */
import { uniform } from "../../src/engine/random.ts";
import type { ShapedRow } from "../../src/engine/shaping.ts";

interface Choice {
  id: number;
  score: number;
}

/** Probabilities of choices, largest score first. */
function softmax(choices: readonly Choice[]): number[] {
  const largest = Math.max(...choices.map(({ score }) => score));
  const weights = choices.map(({ score }) => Math.exp(score - largest));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / total);
}

/** The first choices of a list whose probabilities reach `wanted`, and those that equal the last of them by `key`. */
function reach(choices: readonly Choice[], wanted: number, key: (choice: Choice, probability: number) => number): Choice[] {
  const probs = softmax(choices);
  const order = choices
    .map((choice, i) => ({ choice, p: probs[i]!, key: key(choice, probs[i]!) }))
    .toSorted((a, b) => a.key - b.key);
  let mass = 0;
  let last = order.at(-1)!.key;
  for (const one of order) {
    mass += one.p;
    if (mass < wanted) continue;
    last = one.key;
    break;
  }
  return order.filter((one) => one.key <= last).map(({ choice }) => choice);
}

/** Ids that can still be drawn, ascending. */
export function referenceShape(scores: readonly number[], row: ShapedRow): number[] {
  const { topNSigma = 0, typicalP = 1, topP, minP, topK, xtc } = row.sampling;
  let left: Choice[] = scores.map((score, id) => ({ id, score })).filter(({ score }) => score > -Infinity);
  const best = () => Math.max(...left.map(({ score }) => score));
  if (topNSigma > 0) {
    const mean = left.reduce((sum, { score }) => sum + score, 0) / left.length;
    const sigma = Math.sqrt(left.reduce((sum, { score }) => sum + (score - mean) ** 2, 0) / left.length);
    left = left.filter(({ score }) => score >= best() - topNSigma * sigma);
  }
  if (typicalP < 1) {
    const entropy = softmax(left).reduce((sum, p) => sum - (p > 0 ? p * Math.log(p) : 0), 0);
    left = reach(left, typicalP, (_, p) => Math.abs(-Math.log(p) - entropy));
  }
  if (topP < 1) left = reach(left, topP, ({ score }) => -score);
  if (minP > 0) left = left.filter(({ score }) => score >= best() + Math.log(minP));
  if (xtc && uniform(row.seed, ~row.position) < xtc.probability) {
    const probs = softmax(left);
    const above = left.filter((_, i) => probs[i]! > xtc.threshold);
    const least = Math.min(...above.map(({ score }) => score));
    left = left.filter(({ id, score }) => !(score > least) || row.exempt.includes(id));
  }
  if (topK > 0) {
    const kth = left.map(({ score }) => score).toSorted((a, b) => b - a)[Math.min(topK, left.length) - 1]!;
    left = left.filter(({ score }) => score >= kth);
  }
  return left.map(({ id }) => id).toSorted((a, b) => a - b);
}
