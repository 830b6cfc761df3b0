/** Load on a server: who asks what, and when. */
import { type Completion, complete, type Target } from "./stream.ts";

/** `concurrency` clients, each asking the next prompt as soon as its last is answered. */
export async function askInTurn(
  target: Target,
  prompts: readonly string[],
  maxTokens: number,
  concurrency: number,
): Promise<Completion[]> {
  const results: Completion[] = [];
  const queue = prompts.values();
  const work = async () => {
    for (const prompt of queue) results.push(await complete(target, { prompt, maxTokens }));
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, prompts.length) }, work));
  return results;
}

/** All at the same moment. */
export function askTogether(target: Target, requests: readonly { prompt: string; maxTokens: number }[]): Promise<Completion[]> {
  return Promise.all(requests.map((request) => complete(target, request)));
}

export interface MixedResult {
  long: Completion[];
  short: Completion[];
}

/** Long and short answers side by side; a batch that waits for its longest gives both the same time. */
export async function askMixed(
  target: Target,
  nextPrompt: () => string,
  sizes: { count: number; longTokens: number; shortTokens: number },
): Promise<MixedResult> {
  const requests = (maxTokens: number) => Array.from({ length: sizes.count }, () => ({ prompt: nextPrompt(), maxTokens }));
  const all = await askTogether(target, [...requests(sizes.longTokens), ...requests(sizes.shortTokens)]);
  return { long: all.slice(0, sizes.count), short: all.slice(sizes.count) };
}
