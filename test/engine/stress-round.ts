/** One round: random traffic for a model, alone and in a crowd. */
import { Prng } from "./prng.ts";
import { compare } from "./stress-compare.ts";
import { readStressModel, type StressModel } from "./stress-models.ts";
import { answerAlone, type Outcome, runCrowd } from "./stress-run.ts";
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
  for (const [i, got] of crowd.entries()) {
    const difference = compare(alone[i]!, got);
    if (difference === null || (await isTie(jobs[i]!, got, model))) continue;
    differences.push(`request ${i}: ${difference}`);
  }
  return { counts, differences };
}

/** Whether the request gets the same alone when its prompt is computed in other portions: a draw on the edge between two tokens. */
async function isTie(job: StressJob, got: Outcome, model: StressModel): Promise<boolean> {
  for (const maxTokensPerStep of [1, 16, 64, 700]) {
    const [other] = await answerAlone([{ ...job, follows: null }], model, maxTokensPerStep);
    if (other && compare(other, got) === null) return true;
  }
  return false;
}
