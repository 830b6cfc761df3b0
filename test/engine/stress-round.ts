/** One round: random traffic for a model, alone and in a crowd. */
import type { GeneratedToken } from "../../src/engine/request.ts";
import { Prng } from "./prng.ts";
import { compare, type Difference } from "./stress-compare.ts";
import { readStressModel, type StressModel } from "./stress-models.ts";
import { answerAlone, type Outcome, runCrowd } from "./stress-run.ts";
import { disproveTie } from "./stress-tie.ts";
import { drawTraffic, type StressJob } from "./stress-traffic.ts";

/** Full attention, windows, chunks, latent keys, shared keys and values, states, experts, adapters; the first ones show most. */
export const STRESSED: readonly string[] = [
  "tiny-chat",
  "mistral-sliding",
  "gemma3n",
  "deepseek_v3-q4",
  "llama4-chunked",
  "mamba2",
  "qwen3_next-stacked",
  "qwen3_moe-stacked",
  "llama-lora",
  "granitemoehybrid-original",
  "falcon_h1",
  "lfm2",
  "nemotron_h-experts",
  "gpt_oss-mxfp4-q8",
  "gemma4-e2b",
];

export interface RoundOptions {
  /** Tokens of the longest prompt, or fewer. */
  longest: number;
  /** Requests, or fewer. */
  most: number;
}

export async function stress(name: string, seed: number, { longest, most }: RoundOptions) {
  const random = new Prng(seed * 7919 + 17);
  const model = await readStressModel(name, Math.min(longest, random.pick([100, 300, 850, 850, 1500])));
  const jobs = drawTraffic(random, { jobs: random.int(10, most), model, spreadMs: random.pick([0, 50, 300]) });
  const alone = await answerAlone(jobs, model);
  const crowd = await runCrowd(random, jobs, model);
  const counts: Record<string, number> = { cachedTokens: 0 };
  for (const outcome of crowd) {
    counts[outcome.kind] = (counts[outcome.kind] ?? 0) + 1;
    if (outcome.kind === "answered") counts.cachedTokens! += outcome.cachedTokens;
  }
  const differences: string[] = [];
  const ties: string[] = [];
  for (const [i, got] of crowd.entries()) {
    const difference = compare(alone[i]!, got);
    if (difference === null) continue;
    const proof = await disprove(difference, jobs[i]!, got, model);
    if (proof === null) ties.push(`request ${i}: ${difference.what}`);
    else differences.push(`request ${i}: ${difference.what}: ${proof}`);
  }
  return { counts, differences, ties };
}

/** What shows that the difference is not one of rounding; null when it is. */
async function disprove(difference: Difference, job: StressJob, got: Outcome, model: StressModel): Promise<string | null> {
  const output = outputOf(got);
  if (difference.token === null || output === null) return "no tokens to compare";
  return disproveTie({ job: { ...job, follows: null }, tokens: output.slice(0, difference.token + 1) }, model);
}

function outputOf(outcome: Outcome): readonly GeneratedToken[] | null {
  if (outcome.kind === "cut") return outcome.ids.map((id) => ({ id }));
  return outcome.kind === "answered" ? outcome.answer.tokens : null;
}
