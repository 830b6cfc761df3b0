/** The small models, their golden conversations, and requests to them. */
import { join } from "node:path";
import type { GeneratedToken, Generation, GenerationRequest, SamplingParams } from "../../src/engine/request.ts";
import { ContinuousBatchingServer, type ServerOptions } from "../../src/index.ts";
import golden from "../fixtures/models/tiny-chat/golden.json" with { type: "json" };
import golden4bit from "../fixtures/models/tiny-chat-4bit/golden.json" with { type: "json" };
import { GREEDY } from "./sampler-rows.ts";

const ROOT = join(import.meta.dir, "../..");
export const TINY_CHAT = join(ROOT, "src/assets/tiny-chat");
export const TINY_CHAT_4BIT = join(ROOT, "test/fixtures/models/tiny-chat-4bit");

export interface GoldenEntry {
  id: number;
  prompt_token_ids: number[];
  completion_text: string;
  completion_token_ids: number[];
  finish_reason: string;
  /** How close the closest decision was. */
  min_margin: number;
}

export const GOLDEN: readonly GoldenEntry[] = golden;
export const GOLDEN_4BIT: readonly GoldenEntry[] = golden4bit;

/** Counts up to its limit of 200 tokens, far from any near-tie. */
export const COUNTING = GOLDEN.find(({ id }) => id === 15)!;
/** Tells a story of 121 tokens. */
export const STORY = GOLDEN.find(({ id }) => id === 7)!;

export async function startServer(options: ServerOptions = {}, model = TINY_CHAT): Promise<ContinuousBatchingServer> {
  const server = new ContinuousBatchingServer(model, { cpu: true, ...options });
  await server.load();
  return server;
}

type RequestOptions = Partial<Omit<GenerationRequest, "sampling" | "promptTokens" | "adapter">> & Partial<SamplingParams>;

/** Greedy and without limits unless told otherwise. */
export function request(promptTokens: readonly number[], options: RequestOptions = {}): GenerationRequest {
  const { maxTokens, stop, stopTokenIds, ignoreEos, minTokens, logprobs, ...sampling } = options;
  return {
    promptTokens,
    maxTokens: maxTokens ?? null,
    stop: stop ?? [],
    stopTokenIds: stopTokenIds ?? [],
    ignoreEos: ignoreEos ?? false,
    minTokens: minTokens ?? 0,
    logprobs: logprobs ?? null,
    adapter: null,
    sampling: { ...GREEDY, ...sampling },
  };
}

export interface Answer {
  text: string;
  tokens: GeneratedToken[];
  ids: number[];
  finishReason: string | null;
  chunks: number;
}

/** Reads a generation to its end. Throws the error that ended it. */
export async function collect(generation: Generation): Promise<Answer> {
  const answer: Answer = { text: "", tokens: [], ids: [], finishReason: null, chunks: 0 };
  for await (const { text, tokens, finishReason } of generation) {
    answer.text += text;
    answer.tokens.push(...tokens);
    answer.finishReason = finishReason;
    answer.chunks++;
  }
  answer.ids = answer.tokens.map(({ id }) => id);
  return answer;
}

/** Waits until the engine has nothing left to do. */
export async function settle(server: ContinuousBatchingServer): Promise<void> {
  for (let i = 0; i < 2000; i++) {
    const { activeRequests, queueSize, kvBytes } = server.stats();
    if (activeRequests === 0 && queueSize === 0 && kvBytes === 0) return;
    await Bun.sleep(1);
  }
  throw new Error(`the engine does not come to rest: ${JSON.stringify(server.stats())}`);
}
