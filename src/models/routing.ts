/** The ways to choose experts by the scores of a router. */
import { StartupError } from "../errors.ts";
import { dimension, dtypeOf, scalar } from "../mlx/array.ts";
import { DTYPES } from "../mlx/dtype.ts";
import { times, topK } from "../mlx/fast.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { Linear } from "../nn/linear.ts";
import type { Parameter } from "../nn/parameter.ts";
import type { Router, Routing } from "./moe.ts";

/** The softmax over all experts, of which the `k` best are taken as they are or, `normalized`, divided by their sum. */
export function chooseBySoftmax(logits: MxArray, k: number, normalized: boolean): Routing {
  const scores = mx.softmax(logits, -1);
  const experts = topK(scores, k);
  const chosen = mx.takeAlongAxis(scores, experts, -1);
  return { experts, weights: normalized ? mx.divide(chosen, mx.sum(chosen, -1, true)) : chosen };
}

/** The `k` best, weighted by the softmax over them alone. */
export function chooseThenSoftmax(logits: MxArray, k: number): Routing {
  const experts = topK(logits, k);
  return { experts, weights: mx.softmax(mx.takeAlongAxis(logits, experts, -1), -1) };
}

/** The experts stand in so many groups, of which only the best `topGroups` are chosen from; 1: no groups. */
export interface Groups {
  groups: number;
  topGroups: number;
}

/** DeepSeek-V2's choice: the softmax over all experts; a group is as good as its best one. `scale`: of the weights. */
export function chooseFromGroups(logits: MxArray, { k, scale, ...groups }: Groups & { k: number; scale: number }): Routing {
  const scores = keepGroups(mx.softmax(logits, -1), groups, 1);
  const experts = topK(scores, k);
  return { experts, weights: times(mx.takeAlongAxis(scores, experts, -1), scale) };
}

export interface SigmoidChoice extends Groups {
  k: number;
  /** The weights are divided by their sum. */
  normalized: boolean;
  /** Added to that sum. */
  eps?: number;
  /** Of the weights. */
  scale: number;
}

/**
 * DeepSeek-V3's choice: the sigmoid of each score by itself. `correction`, float [experts], is added for the choice only, not for the
 * weights; a group is as good as its two best experts together.
 */
export function chooseBySigmoid(logits: MxArray, correction: MxArray | null, choice: SigmoidChoice): Routing {
  const { k, normalized, eps = 0, scale } = choice;
  const scores = mx.sigmoid(mx.astype(logits, DTYPES.float32));
  const corrected = correction ? mx.add(scores, mx.astype(correction, DTYPES.float32)) : scores;
  const experts = topK(keepGroups(corrected, choice, 2), k);
  let weights = mx.takeAlongAxis(scores, experts, -1);
  if (k > 1 && normalized) weights = mx.divide(weights, mx.add(mx.sum(weights, -1, true), scalar(eps)));
  return { experts, weights: times(weights, scale) };
}

/** Scores outside of the best groups become 0, as mlx-lm has it. A group is as good as its `best` best experts together. */
function keepGroups(scores: MxArray, { groups, topGroups }: Groups, best: 1 | 2): MxArray {
  if (groups === 1) return scores;
  const tokens = dimension(scores, 0);
  const grouped = mx.reshape(scores, [tokens * groups, -1]);
  const quality = mx.sum(mx.takeAlongAxis(grouped, topK(grouped, best), -1), -1, false);
  const chosen = topK(mx.reshape(quality, [tokens, groups]), topGroups);
  const none = mx.zeros([tokens, groups], dtypeOf(scores));
  const kept = mx.putAlongAxis(none, chosen, mx.full([tokens, topGroups], 1, dtypeOf(scores)), -1);
  return mx.reshape(mx.multiply(mx.reshape(grouped, [tokens, groups, -1]), mx.expandDims(kept, 2)), [tokens, -1]);
}

export function softmaxRouter(gate: Linear, k: number, normalized: boolean): Router {
  return (x, batch) => chooseBySoftmax(gate.forward(x, batch), k, normalized);
}

export function topSoftmaxRouter(gate: Linear, k: number): Router {
  return (x, batch) => chooseThenSoftmax(gate.forward(x, batch), k);
}

export function sigmoidRouter(gate: Linear, correction: Parameter | null, choice: SigmoidChoice): Router {
  return (x, batch) => chooseBySigmoid(gate.forward(x, batch), correction?.array ?? null, choice);
}

/** Throws `StartupError` unless so many experts can be chosen. `where`: the file's name. */
export function checkChoice(
  where: string,
  experts: number,
  { k, groups = 1, topGroups = 1 }: Pick<SigmoidChoice, "k"> & Partial<SigmoidChoice>,
): void {
  const wrong =
    k > experts
      ? `${k} experts for each token cannot be chosen from ${experts}`
      : groups > 1 && (experts % groups !== 0 || experts / groups < 2)
        ? `${experts} experts cannot stand in ${groups} groups`
        : topGroups > groups
          ? `${topGroups} of ${groups} groups of experts cannot be chosen`
          : groups > 1 && k > (experts / groups) * topGroups
            ? `${topGroups} groups of experts have fewer than the ${k} that a token goes to`
            : null;
  if (wrong !== null) throw new StartupError(`${where}: ${wrong}`);
}
