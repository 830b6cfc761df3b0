import type {
  ChatMessage,
  ChatTemplateOptions,
  CompiledGrammar,
  EngineStats,
  Generation,
  GenerationChunk,
  GenerationRequest,
  GrammarSpec,
  InferenceServer,
  ModelInfo,
  ServerStatus,
} from "../../src/engine/request.ts";

/** What one generation does: chunks, waits between them, and errors. */
export type Step = GenerationChunk | { waitMs: number } | { fail: Error };

/** One token a UTF-8 byte; ids above that are named special tokens. */
export const endToken = 300;

export interface Submitted {
  request: GenerationRequest;
  signal: AbortSignal | undefined;
  cancelled: boolean;
  /** Chunks that were taken by the reader. */
  taken: number;
}

/** Words of text as chunks, one token a byte, then the end. */
export function script(words: readonly string[], finishReason: "stop" | "length" = "stop"): Step[] {
  const steps: Step[] = words.map((text) => ({ text, tokens: [...Buffer.from(text)].map((id) => ({ id })), finishReason: null }));
  steps.push({ text: "", tokens: finishReason === "stop" ? [{ id: endToken }] : [], finishReason });
  return steps;
}

/** A server without a model: it follows scripts and keeps what it was asked. */
export class ImitationServer implements InferenceServer {
  status: ServerStatus = "ok";
  failure: string | null = null;
  model: ModelInfo = {
    id: "tiny-chat",
    aliases: ["default"],
    adapters: [],
    architecture: "llama",
    contextLength: 4096,
    vocabSize: 512,
    created: 1700000000,
    embedding: { dimensions: 4, maxTokens: 64 },
    defaultSampling: { temperature: 0.6, topP: 0.95, topK: 20, minP: 0.01, repetitionPenalty: 1.1 },
  };
  submitted: Submitted[] = [];
  rendered: { messages: readonly ChatMessage[]; options: ChatTemplateOptions | undefined }[] = [];
  encoded: { text: string; addSpecialTokens: boolean }[] = [];
  compiled: GrammarSpec[] = [];
  /** Thrown by `compileGrammar`. */
  grammarRefusal: Error | null = null;
  /** What the next generations do; the last one stays for all that follow. */
  scripts: (Step[] | ((request: GenerationRequest) => Iterable<Step>))[] = [script(["Hello", " world"])];
  /** Thrown by `submit` from this submission on. */
  refusal: { after: number; error: Error } | null = null;

  stats(): EngineStats {
    return {
      queueSize: 2,
      activeRequests: this.submitted.length > 0 ? 1 : 0,
      totalRequests: this.submitted.length,
      totalTokens: 11,
      generationTps: 145.23,
      activeMemoryBytes: 1,
      peakMemoryBytes: 28.5e9,
      cacheMemoryBytes: 2,
      kvBytes: 3,
      prefixCacheBytes: 4,
      prefixCacheHitRate: 0.5,
    };
  }

  renderChat(messages: readonly ChatMessage[], options?: ChatTemplateOptions): string {
    this.rendered.push({ messages, options });
    return messages.map(({ role, content }) => `<${role}>${content}`).join("");
  }

  async encode(text: string, options: { addSpecialTokens: boolean; truncateTo?: number }): Promise<number[]> {
    this.encoded.push({ text, ...options });
    return [...Buffer.from(text)].slice(0, options.truncateTo);
  }

  decode(ids: readonly number[]): string {
    return Buffer.from(ids).toString();
  }

  tokenBytes(id: number): Uint8Array {
    return id < 256 ? Uint8Array.of(id) : Buffer.from(`<|${id}|>`);
  }

  /** A grammar that allows everything and may always end. */
  async compileGrammar(spec: GrammarSpec): Promise<CompiledGrammar> {
    this.compiled.push(spec);
    if (this.grammarRefusal !== null) throw this.grammarRefusal;
    const next = async () => ({ mask: null, mayEnd: true, mustEnd: false });
    return { matcher: () => ({ next, dispose() {} }) };
  }

  cleared = 0;
  async clearPrefixCache(): Promise<number> {
    this.cleared++;
    return 1024;
  }

  /** Texts that were given to `embed`. */
  embedded: (readonly number[])[][] = [];

  /** The first ids of a text as a vector of four dimensions. */
  async embed(texts: readonly (readonly number[])[], signal?: AbortSignal): Promise<Float32Array[]> {
    signal?.throwIfAborted();
    if (this.refusal !== null && this.embedded.length >= this.refusal.after) throw this.refusal.error;
    this.embedded.push([...texts]);
    return texts.map((ids) => normalize(Float32Array.from({ length: 4 }, (_, i) => ids[i] ?? 0)));
  }

  submit(request: GenerationRequest, signal?: AbortSignal): Generation {
    if (this.refusal !== null && this.submitted.length >= this.refusal.after) throw this.refusal.error;
    const entry: Submitted = { request, signal, cancelled: false, taken: 0 };
    this.submitted.push(entry);
    const next = this.scripts.length > 1 ? this.scripts.shift()! : this.scripts[0]!;
    const zero = request.maxTokens === 0;
    const steps = zero ? script([], "length") : typeof next === "function" ? next(request) : next;
    return imitate(this.submitted.length, request, entry, steps, signal);
  }
}

function normalize(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}

function imitate(
  id: number,
  request: GenerationRequest,
  entry: Submitted,
  steps: Iterable<Step>,
  signal?: AbortSignal,
): Generation {
  let wake = () => {};
  let count = 0;
  const cancel = () => {
    entry.cancelled = true;
    wake();
  };
  signal?.addEventListener("abort", cancel);
  async function* run(): AsyncGenerator<GenerationChunk> {
    for (const step of steps) {
      if (entry.cancelled) return;
      if ("fail" in step) throw step.fail;
      if ("waitMs" in step) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          setTimeout(resolve, step.waitMs);
        });
        continue;
      }
      count += step.tokens.length;
      entry.taken++;
      yield step;
    }
  }
  return {
    id,
    promptTokenCount: request.promptTokens.length,
    cachedTokenCount: 0,
    times: { startedAt: 1000, firstTokenAt: 1100, lastTokenAt: 1300 },
    get completionTokenCount() {
      return count;
    },
    cancel,
    [Symbol.asyncIterator]: run,
  };
}
