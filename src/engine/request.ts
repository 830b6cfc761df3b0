/** What the engine takes and gives: the contract between the HTTP layer (or a library user) and the batch. */
import type { CompiledGrammar, GrammarSpec } from "../grammar/contract.ts";
import type { ModelSummary } from "../models/summary.ts";

export type { CompiledGrammar, GrammarSpec, Tag, TagFormat } from "../grammar/contract.ts";
export type { ModelSummary } from "../models/summary.ts";

/** "Exclude top choices": sometimes the likeliest tokens are left out. End tokens and newlines are exempt. */
export interface XtcParams {
  /** How often, from 0 to 1. */
  probability: number;
  /** Of the tokens with more than this probability only the least likely one stays. */
  threshold: number;
}

/** "Don't repeat yourself": a token that goes on with a repetition loses multiplier * base ** (length - allowedLength). */
export interface DryParams {
  multiplier: number;
  base: number;
  /** Shorter repetitions are free. */
  allowedLength: number;
  /** How many of the last tokens of prompt and output it looks at; 0: all. */
  range: number;
  /** Texts across which nothing counts as a repetition. */
  sequenceBreakers: readonly string[];
}

/** How one row draws its next token. All of it is applied per row inside the shared batch. */
export interface SamplingParams {
  /** 0 is greedy. */
  temperature: number;
  /** 1 keeps everything. */
  topP: number;
  /** 0 keeps everything. */
  topK: number;
  /** 0 keeps everything. */
  minP: number;
  /** 1 changes nothing; looks at prompt and output. */
  repetitionPenalty: number;
  /** How many of the last tokens the repetition penalty looks at; null: all. */
  repetitionContextSize: number | null;
  /** Subtracted once per distinct token of the output so far. */
  presencePenalty: number;
  /** So many of the last tokens of prompt and output instead of the output so far. */
  presenceContextSize?: number | null;
  /** Subtracted once per occurrence in the output so far. */
  frequencyPenalty: number;
  /** So many of the last tokens of prompt and output instead of the output so far. */
  frequencyContextSize?: number | null;
  /** The most typical tokens with this probability; 1, the default, keeps everything. */
  typicalP?: number;
  /** Keeps logits so many standard deviations below the largest; 0, the default, keeps everything. */
  topNSigma?: number;
  xtc?: XtcParams | null;
  dry?: DryParams | null;
  /** Token id to what is added to its logit. */
  logitBias: ReadonlyMap<number, number>;
  /** Same seed, same request: same tokens, alone and in a crowd. Null: random. */
  seed: number | null;
}

export interface GenerationRequest {
  promptTokens: readonly number[] | Int32Array;
  /** One of `ModelInfo.adapters`; null: the model as it is. */
  adapter: string | null;
  /** Null: as far as the context goes. 0: nothing is generated. */
  maxTokens: number | null;
  sampling: SamplingParams;
  /** Strings that end the output and are never part of it. */
  stop: readonly string[];
  /** Token ids that end the output, besides the model's own end tokens. */
  stopTokenIds: readonly number[];
  ignoreEos: boolean;
  /** No end token and no stop string is honoured before this many tokens. */
  minTokens: number;
  /** Special tokens, as they stand in the vocabulary, that are part of the text; all others are left out of it. None by default. */
  keepSpecialTokens?: readonly string[];
  /** Runs only in what other requests leave. */
  background?: boolean;
  /** Only requests with the same salt share computed prefixes; none is a salt too. */
  cacheSalt?: string;
  /** Null: none. Otherwise the chosen token's log-probability and those of this many top tokens (0..20). */
  logprobs: number | null;
  /** What the output has to look like, from `InferenceServer.compileGrammar`; the choices of a request may share it. */
  grammar?: CompiledGrammar | null;
}

export type FinishReason = "stop" | "length";

export interface TokenLogprob {
  id: number;
  /** Natural log of the model's probability, before penalties and temperature. */
  logprob: number;
}

export interface GeneratedToken {
  id: number;
  /** What it added to the text that is certain; what no token has added comes after all of them. */
  text?: string;
  /** Present when the request asked for logprobs. */
  logprob?: number;
  top?: TokenLogprob[];
}

/** A piece of the output. Pieces are merged while nobody reads, so a slow reader costs no memory per token. */
export interface GenerationChunk {
  /** Text that is certain: whole characters, and never a part of a stop string. May be empty. */
  text: string;
  /** The tokens that this piece covers, end tokens and tokens cut off by a stop string included. */
  tokens: GeneratedToken[];
  /** Set in the last chunk, and only there. */
  finishReason: FinishReason | null;
  /** In the last chunk: the stop string that ended the output. */
  stopString?: string;
}

/** How far a request has come, on `performance.now()`'s clock; null: not yet. */
export interface GenerationTimes {
  /** When the first of its tokens went into a step: before that it waited. */
  startedAt: number | null;
  firstTokenAt: number | null;
  lastTokenAt: number | null;
}

/** One running request. Iterate it once; leaving the loop early cancels it. An error thrown is a `ServeError`. */
export interface Generation extends AsyncIterable<GenerationChunk> {
  readonly id: number;
  readonly promptTokenCount: number;
  /** Tokens sampled so far, the end token included. */
  readonly completionTokenCount: number;
  /** Prompt tokens that were taken from the prefix cache. */
  readonly cachedTokenCount: number;
  readonly times: Readonly<GenerationTimes>;
  cancel(): void;
}

export interface EngineStats {
  queueSize: number;
  /** Sequences that hold a row in the batch. */
  activeRequests: number;
  totalRequests: number;
  /** Tokens generated since the start. */
  totalTokens: number;
  /** Generated tokens per second over the last seconds in which anything ran. */
  generationTps: number;
  activeMemoryBytes: number;
  peakMemoryBytes: number;
  cacheMemoryBytes: number;
  /** Bytes of the KV pools now allocated. */
  kvBytes: number;
  /** Bytes of computed prefixes in memory. */
  prefixCacheBytes: number;
  /** Share of the prompt tokens of all requests that have left that were taken from the prefix cache. */
  prefixCacheHitRate: number;
}

export interface ModelInfo {
  /** What `/v1/models` shows: the id or path given to `--model`, or `tiny-chat` for the embedded one. */
  id: string;
  /** Other names that a request may use (`default`, the last part of the path). */
  aliases: readonly string[];
  /** Names of the LoRA adapters that a request may choose. */
  adapters: readonly string[];
  architecture: string;
  contextLength: number;
  vocabSize: number;
  /** Unix seconds. */
  created: number;
  /** The text of all chat templates, which shows how the model writes calls and reasoning. */
  chatTemplate?: string | null;
  /** What it is made of and how much memory it takes. */
  summary?: ModelSummary;
  /** What it makes vectors of; null or absent: it makes none. */
  embedding?: EmbeddingInfo | null;
  /** False: it makes vectors only. */
  generates?: boolean;
  /** From generation_config.json, or neutral values. */
  defaultSampling: Pick<SamplingParams, "temperature" | "topP" | "topK" | "minP" | "repetitionPenalty">;
}

export interface EmbeddingInfo {
  /** Of a vector. */
  dimensions: number;
  /** Of a text. */
  maxTokens: number;
}

export type ServerStatus = "loading" | "ok" | "stopping" | "failed";

export interface ChatMessage {
  role: string;
  content?: string | null | { type: string; [key: string]: unknown }[];
  [key: string]: unknown;
}

export interface ChatTemplateOptions {
  tools?: readonly unknown[] | null;
  /** Extra variables for the template, e.g. `enable_thinking`. */
  kwargs?: Readonly<Record<string, unknown>>;
  /** Default true. */
  addGenerationPrompt?: boolean;
}

/** What the HTTP layer knows of the engine. `ContinuousBatchingServer` implements it; tests use an imitation. */
export interface InferenceServer {
  readonly model: ModelInfo;
  readonly status: ServerStatus;
  /** Why `status` is `failed`. */
  readonly failure: string | null;
  stats(): EngineStats;
  /** Renders the chat template. Throws `InvalidRequest` when the template refuses or there is none. */
  renderChat(messages: readonly ChatMessage[], options?: ChatTemplateOptions): string;
  /** Token ids of a text; `addSpecialTokens` adds BOS and the like as the tokenizer says (rendered chats have their own).
   *  Long texts are taken in pieces, so that the event loop stays free. */
  encode(text: string, options: { addSpecialTokens: boolean; truncateTo?: number }): Promise<number[]>;
  /** Special tokens are left out unless told otherwise. */
  decode(ids: readonly number[], options?: { skipSpecialTokens?: boolean }): string;
  /** The bytes that one token stands for (logprobs show them; a token may be part of a character). */
  tokenBytes(id: number): Uint8Array;
  /**
   * Makes a grammar that requests can be held to, away from the event loop; equal ones are kept. Throws `InvalidRequest`
   * (without a param) for what cannot be understood, honoured or compiled in time.
   */
  compileGrammar(spec: GrammarSpec, signal?: AbortSignal): Promise<CompiledGrammar>;
  /** Forgets all computed prefixes. Returns the bytes of memory given back. */
  clearPrefixCache(): Promise<number>;
  /**
   * A vector for each text, given as token ids with the model's special tokens. Rejects with `InvalidRequest`, also when the model
   * makes none, `Overloaded`, `Unavailable` or `EngineFailure`.
   */
  embed(texts: readonly (readonly number[])[], signal?: AbortSignal): Promise<Float32Array[]>;
  /** Throws `InvalidRequest`, `Overloaded` or `Unavailable` at once, before anything is computed. */
  submit(request: GenerationRequest, signal?: AbortSignal): Generation;
}
