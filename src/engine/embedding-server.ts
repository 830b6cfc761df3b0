/** A loaded embedding model: what the HTTP layer serves in place of a language model. */
import { basename, resolve } from "node:path";
import { InvalidRequest, StartupError, Unavailable } from "../errors.ts";
import { openMlx } from "../mlx/array.ts";
import { locateNativeLibrary } from "../mlx/library.ts";
import { setCacheLimit, setMemoryLimit } from "../mlx/memory.ts";
import { openCheckpoint } from "../models/checkpoint.ts";
import type { EmbeddingModules } from "../models/embedding-modules.ts";
import { loadDense, loadEncoder } from "../models/load-encoder.ts";
import { loadTokenizer, type Tokenizer } from "../text/tokenizer.ts";
import { checkTexts, Embedder } from "./embedder.ts";
import { findModules } from "./language-embedder.ts";
import { memoryLimit, memoryStats, planMemory } from "./memory-plan.ts";
import type { CompiledGrammar, EngineStats, Generation, InferenceServer, ModelInfo, ServerStatus } from "./request.ts";
import type { ServerOptions } from "./server-options.ts";
import { createTextEncoder } from "./text-encoder.ts";

interface Loaded {
  tokenizer: Tokenizer;
  embedder: Embedder;
  info: ModelInfo;
  lowercases: boolean;
  free(): void;
}

/** Models of before modules.json are taken as sentence-transformers takes them, with the length that OpenAI's vectors have. */
const DEFAULT_MODULES: EmbeddingModules = { poolings: ["mean"], dense: [], normalize: true, maxTokens: null, lowercase: false };
const NEUTRAL = { temperature: 1, topP: 1, topK: 0, minP: 0, repetitionPenalty: 1 };

/** Serves `/v1/embeddings` and nothing that generates. */
export class EmbeddingServer implements InferenceServer {
  readonly #path: string;
  readonly #options: ServerOptions;
  #parts: Loaded | null = null;
  #status: ServerStatus = "loading";

  /** `modelPath`: a model directory. Nothing is read before `load`. */
  constructor(modelPath: string, options: ServerOptions = {}) {
    this.#path = resolve(modelPath);
    this.#options = options;
  }

  /** Reads the model. Throws `StartupError`. */
  async load(): Promise<void> {
    if (this.#parts) return;
    if (this.#options.adapters?.length) throw new StartupError("an embedding model takes no LoRA adapters");
    if (this.#options.quantize) throw new StartupError("an embedding model is not quantized while it is loaded");
    const device = openMlx(locateNativeLibrary(), this.#options.cpu ?? false);
    const begun = performance.now();
    const checkpoint = await openCheckpoint(this.#path);
    const { tokenizerJson, slowTokenizer } = checkpoint;
    const tokenizer = loadTokenizer({ tokenizerJson, slowTokenizer, tokenizerConfig: checkpoint.tokenizerConfig ?? {} });
    const modules = (await findModules(this.#path, this.#options.pooling ?? null)) ?? DEFAULT_MODULES;
    // The small part first: nothing has to be given back when it is wrong.
    const dense = await loadDense(modules.dense, this.#path);
    const encoder = await loadEncoder(checkpoint);
    try {
      const limit = memoryLimit(this.#options);
      setMemoryLimit(limit);
      setCacheLimit(planMemory(limit, { bytes: encoder.bytes + dense.bytes }).cacheBytes);
    } catch (error) {
      encoder.free();
      dense.free();
      throw error;
    }
    const { model, architecture } = encoder;
    const embedder = new Embedder(createTextEncoder({ model, modules, dense: dense.layers }), {
      // A pass on the CPU computes fewer tokens in the same time.
      maxTokensPerPass: this.#options.maxTokensPerStep ?? (device === "gpu" ? 16_384 : 2048),
      maxQueue: this.#options.maxQueue ?? 1024,
      onFailure: (error) => this.#log("error", error.message, { error }),
    });
    const maxTokens = Math.min(model.contextLength, modules.maxTokens ?? Number.POSITIVE_INFINITY);
    const dimensions = dense.layers.at(-1)?.outDim ?? model.hiddenSize * modules.poolings.length;
    const info: ModelInfo = {
      id: this.#id,
      aliases: ["default", basename(this.#id)],
      adapters: [],
      architecture,
      contextLength: maxTokens,
      vocabSize: model.vocabSize,
      created: Math.floor(Date.now() / 1000),
      summary: { ...encoder.summary, contextLength: maxTokens, maxContext: maxTokens },
      embedding: { dimensions, maxTokens },
      generates: false,
      defaultSampling: NEUTRAL,
    };
    const free = () => {
      encoder.free();
      dense.free();
    };
    this.#parts = { tokenizer, embedder, info, lowercases: modules.lowercase, free };
    this.#status = "ok";
    this.#log("info", `loaded ${info.id} in ${((performance.now() - begun) / 1000).toFixed(1)} s`, {
      device,
      architecture,
      weights_mb: Math.round((encoder.bytes + dense.bytes) / 1e6),
      dimensions,
    });
  }

  get model(): ModelInfo {
    return this.#running.info;
  }

  get status(): ServerStatus {
    return this.#status;
  }

  readonly failure = null;

  stats(): EngineStats {
    const embedder = this.#parts?.embedder;
    const open = embedder !== undefined;
    return {
      queueSize: embedder?.queueSize ?? 0,
      activeRequests: embedder?.activeCount ?? 0,
      totalRequests: embedder?.totalRequests ?? 0,
      totalTokens: 0,
      generationTps: 0,
      ...memoryStats(open),
      kvBytes: 0,
      prefixCacheBytes: 0,
      prefixCacheHitRate: 0,
    };
  }

  encode(text: string, options: { addSpecialTokens: boolean; truncateTo?: number }): Promise<number[]> {
    const { tokenizer, info, lowercases } = this.#running;
    return tokenizer.encodeAsync(lowercases ? text.toLowerCase() : text, { ...options, maxTokens: info.contextLength });
  }

  decode(ids: readonly number[], { skipSpecialTokens = true }: { skipSpecialTokens?: boolean } = {}): string {
    return this.#running.tokenizer.decode(ids, { skipSpecialTokens });
  }

  tokenBytes(id: number): Uint8Array {
    return this.#running.tokenizer.tokenBytes(id);
  }

  /** Async, so that every refusal is a rejection. */
  async embed(texts: readonly (readonly number[])[], signal?: AbortSignal): Promise<Float32Array[]> {
    const { embedder, info } = this.#running;
    return embedder.embed(checkTexts(texts, info), signal);
  }

  renderChat(): string {
    throw this.#refusal();
  }

  async compileGrammar(): Promise<CompiledGrammar> {
    throw this.#refusal();
  }

  async clearPrefixCache(): Promise<number> {
    return 0;
  }

  submit(): Generation {
    throw this.#refusal();
  }

  /** Lets what runs finish for `graceMs` milliseconds, ends the rest, frees the model. */
  async close({ graceMs = 0 }: { graceMs?: number } = {}): Promise<void> {
    const parts = this.#parts;
    if (!parts || this.#status === "stopping") return;
    this.#status = "stopping";
    await parts.embedder.close(graceMs);
    parts.free();
  }

  get #id(): string {
    return this.#options.modelId ?? this.#path;
  }

  get #running(): Loaded {
    if (!this.#parts) throw new Unavailable("The model is not loaded.");
    return this.#parts;
  }

  #refusal(): InvalidRequest {
    return new InvalidRequest(
      `The model '${this.#id}' makes embeddings only: use /v1/embeddings.`,
      "model",
      "model_not_supported",
    );
  }

  #log(level: "debug" | "info" | "warn" | "error", message: string, fields: Record<string, unknown> = {}): void {
    this.#options.log?.({ level, message, ...fields });
  }
}
