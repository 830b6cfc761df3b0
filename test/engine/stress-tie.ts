/** Tells a draw on the edge between two tokens, which rounding decides, from a mistake: by the logits at that place. */
import type { GeneratedToken } from "../../src/engine/request.ts";
import type { Batch } from "../../src/kv/cache.ts";
import { dimension, floats, keep, readFloats, release } from "../../src/mlx/array.ts";
import type { MxArray } from "../../src/mlx/ffi.ts";
import * as mx from "../../src/mlx/ops.ts";
import { startEngine } from "./direct-engine.ts";
import { Prng } from "./prng.ts";
import { TOLERANCE } from "./stress-compare.ts";
import type { StressModel } from "./stress-models.ts";
import { requestOf } from "./stress-run.ts";
import type { StressJob } from "./stress-traffic.ts";
import { collect } from "./tiny-chat.ts";

/** Tokens of a step, so that the same sums are made in other orders. */
const PORTIONS = [256, 1, 16, 64, 700];
const TRIALS = 16;
/** Added to the logit of a token that must be drawn. */
const CERTAIN = 1e8;

interface Place {
  job: StressJob;
  /** Of the output; the last one is what is to be explained. */
  tokens: readonly GeneratedToken[];
}

interface Portioned {
  logits: Float32Array;
  /** Tokens drawn from these logits when each is moved at random by no more than the tolerance. */
  drawn: ReadonlySet<number>;
}

/**
 * Null when the last of `tokens` may have come instead of another by rounding alone: the request's own logits there are the same however
 * its prompt is portioned, and moved by no more than the tolerance they give that token. In a model with routed experts the logits of one
 * portioning may be far from those of another, as the choice of an expert is on the edge as well; then one of them must give
 * the token, and its log-probability. Otherwise what speaks against it.
 */
export async function disproveTie(place: Place, model: StressModel): Promise<string | null> {
  const portioned: Portioned[] = [];
  for (const portion of PORTIONS) portioned.push(await drawNear(place, model, portion));
  const spread = Math.max(...portioned.map(({ logits }) => distance(logits, portioned[0]!.logits)));
  if (spread >= TOLERANCE && !model.routed) return `alone its logits there differ by ${spread} with the portions of the prompt`;
  const { id, logprob } = place.tokens.at(-1)!;
  const fitting = portioned.filter(({ logits, drawn }) => {
    if (!drawn.has(id)) return false;
    return logprob === undefined || Math.abs(logSoftmaxAt(logits, id) - logprob) < TOLERANCE;
  });
  if (fitting.length > 0) return null;
  const drawn = [...new Set(portioned.flatMap((portion) => [...portion.drawn]))];
  return `no rounding gives token ${id} (${logprob}), but ${drawn} (logits differ by ${spread} with the portions)`;
}

/** Runs the request alone up to the place, its output forced, and draws there from the logits moved a little. */
async function drawNear({ job, tokens }: Place, model: StressModel, maxTokensPerStep: number): Promise<Portioned> {
  const { directory, adapters, vocabSize } = model;
  const at = tokens.length - 1;
  const random = new Prng(at + 1);
  const kept: MxArray[] = [];
  let computed = 0;
  const forward = (batch: Batch, _: number, own: (batch: Batch) => MxArray) => {
    computed += dimension(batch.tokens, 0);
    const logits = own(batch);
    const place = computed - job.request.promptTokens.length;
    if (place < 0 || place > at) return logits;
    if (place === at && kept.length === 0) kept.push(keep(logits));
    const width = dimension(logits, 1);
    const moved = Array.from({ length: width }, (_, id) => {
      if (place < at) return id === tokens[place]!.id ? CERTAIN : 0;
      return trial === 0 ? 0 : (random.next() * 2 - 1) * TOLERANCE;
    });
    return mx.add(logits, floats(moved, [1, width]));
  };
  const direct = await startEngine({ directory, adapters, maxBatchSize: 1, maxTokensPerStep, forward });
  const drawn = new Set<number>();
  let trial = 0;
  for (; trial < TRIALS && !drawn.has(tokens[at]!.id); trial++) {
    computed = 0;
    const request = { ...requestOf(job, vocabSize, []), maxTokens: at + 1, background: false };
    const { ids } = await collect(direct.engine.submit(request));
    const forced = tokens.slice(0, at).every(({ id }, i) => ids[i] === id);
    if (!forced || ids.length !== at + 1) throw new Error("an output that was forced has gone another way");
    drawn.add(ids[at]!);
  }
  const logits = readFloats(kept[0]!);
  for (const array of kept) release(array);
  await direct.close();
  return { logits, drawn };
}

const distance = (a: Float32Array, b: Float32Array) => a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);

function logSoftmaxAt(logits: Float32Array, id: number): number {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  return logits[id]! - most - Math.log(logits.reduce((sum, value) => sum + Math.exp(value - most), 0));
}
