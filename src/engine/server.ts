/** A loaded model with its engine: what the HTTP layer serves and what a library user holds. */
import { basename, resolve } from "node:path";
import { type EngineFailure, InvalidRequest, StartupError, Unavailable } from "../errors.ts";
import { GrammarService } from "../grammar/service.ts";
import { openMlx } from "../mlx/array.ts";
import { locateNativeLibrary } from "../mlx/library.ts";
import { deviceMemory, setCacheLimit, setMemoryLimit } from "../mlx/memory.ts";
import { checkAdapterNames } from "../models/adapter.ts";
import { type Checkpoint, openCheckpoint } from "../models/checkpoint.ts";
import { readGenerationConfig } from "../models/generation-config.ts";
import { identifyModel } from "../models/identity.ts";
import { type LoadedModel, prepareModel, readModel } from "../models/load.ts";
import { summarizeModel } from "../models/summary.ts";
import { DiskStore } from "../prefix/disk-store.ts";
import { ChatTemplate } from "../text/chat-template.ts";
import { loadTokenizer, type Tokenizer } from "../text/tokenizer.ts";
import { readTokenText } from "../text/tokenizer-config.ts";
import { checkTexts } from "./embedder.ts";
import { Engine } from "./engine.ts";
import { completeRequest, type GenerateOptions } from "./generate.ts";
import { summaryFields } from "./inspect.ts";
import { type LanguageEmbedder, openLanguageEmbedder } from "./language-embedder.ts";
import { type MemoryPlan, memoryLimit, memoryStats, planMemory } from "./memory-plan.ts";
import type {
  ChatMessage,
  ChatTemplateOptions,
  CompiledGrammar,
  EngineStats,
  Generation,
  GenerationRequest,
  GrammarSpec,
  InferenceServer,
  ModelInfo,
  ModelSummary,
  ServerStatus,
} from "./request.ts";
import type { ServerOptions } from "./server-options.ts";
import { vocabularyOf } from "./vocabulary.ts";

export type { ServerOptions } from "./server-options.ts";

interface Loaded {
  loaded: LoadedModel;
  tokenizer: Tokenizer;
  template: ChatTemplate;
  engine: Engine;
  grammars: GrammarService;
  info: ModelInfo;
  /** Null: the model makes no embeddings. */
  embedding: LanguageEmbedder | null;
}

interface StartParts extends Pick<Loaded, "loaded" | "tokenizer" | "template" | "embedding"> {
  checkpoint: Checkpoint;
  summary: ModelSummary;
  memory: MemoryPlan;
  identity: string;
  prefixStore: DiskStore | null;
}

const DEFAULT_PREFIX_DISK = 20e9;

export class ContinuousBatchingServer implements InferenceServer {
  readonly #path: string;
  readonly #options: ServerOptions;
  #parts: Loaded | null = null;
  #status: ServerStatus = "loading";
  #failure: string | null = null;

  /** `modelPath`: a model directory. Nothing is read before `load`. */
  constructor(modelPath: string, options: ServerOptions = {}) {
    this.#path = resolve(modelPath);
    this.#options = options;
  }

  /** Reads the model and starts the engine. Throws `StartupError`. */
  async load(): Promise<void> {
    if (this.#parts) return;
    const { adapters = [], quantize = null, onProgress } = this.#options;
    checkAdapterNames(
      adapters.map(({ name }) => name),
      [this.#id, ...this.#aliases],
    );
    const device = openMlx(locateNativeLibrary(), this.#options.cpu ?? false);
    const begun = performance.now();
    const checkpoint = await openCheckpoint(this.#path);
    const tokenizer = loadTokenizer({
      tokenizerJson: checkpoint.tokenizerJson,
      tokenizerConfig: checkpoint.tokenizerConfig ?? {},
      slowTokenizer: checkpoint.slowTokenizer,
    });
    const template = new ChatTemplate(checkpoint.tokenizerConfig ?? {}, checkpoint.chatTemplates);
    if (template.problem) this.#log("warn", template.problem);
    const prepared = await prepareModel(checkpoint, { adapters, quantize });
    const limit = memoryLimit(this.#options);
    const memory = planMemory(limit, { bytes: prepared.weights.plannedBytes });
    const summary = summarizeModel(prepared, memory.kvBytes);
    setMemoryLimit(limit);
    const prefixStore = await this.#openPrefixStore();
    const loaded = await readModel(prepared, onProgress);
    try {
      const paths = adapters.map(({ path }) => path);
      const identity = await identifyModel(checkpoint, paths, [device, String(loaded.dtype), String(loaded.bytes)]);
      const embedding = await this.#openEmbedding(loaded, checkpoint, memory);
      this.#start({ checkpoint, loaded, tokenizer, template, embedding, identity, prefixStore, summary, memory });
    } catch (error) {
      loaded.free();
      throw error;
    }
    this.#status = "ok";
    this.#log("info", `loaded ${this.model.id} in ${((performance.now() - begun) / 1000).toFixed(1)} s`, {
      device,
      architecture: loaded.architecture,
      ...summaryFields(summary),
    });
  }

  get model(): ModelInfo {
    return this.#running.info;
  }

  get status(): ServerStatus {
    return this.#status;
  }

  get failure(): string | null {
    return this.#failure;
  }

  stats(): EngineStats {
    const engine = this.#parts?.engine;
    const embedder = this.#parts?.embedding?.embedder;
    const open = engine !== undefined;
    return {
      queueSize: (engine?.queueSize ?? 0) + (embedder?.queueSize ?? 0),
      activeRequests: (engine?.activeCount ?? 0) + (embedder?.activeCount ?? 0),
      totalRequests: (engine?.totalRequests ?? 0) + (embedder?.totalRequests ?? 0),
      totalTokens: engine?.totalTokens ?? 0,
      generationTps: engine?.generationTps ?? 0,
      ...memoryStats(open),
      kvBytes: engine?.kvBytes ?? 0,
      prefixCacheBytes: engine?.prefixBytes ?? 0,
      prefixCacheHitRate: engine?.prefixHitRate ?? 0,
    };
  }

  renderChat(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): string {
    return this.#running.template.render(messages, options);
  }

  encode(text: string, options: { addSpecialTokens: boolean; truncateTo?: number }): Promise<number[]> {
    const { tokenizer, info } = this.#running;
    return tokenizer.encodeAsync(text, { ...options, maxTokens: info.contextLength });
  }

  decode(ids: readonly number[], { skipSpecialTokens = true }: { skipSpecialTokens?: boolean } = {}): string {
    return this.#running.tokenizer.decode(ids, { skipSpecialTokens });
  }

  tokenBytes(id: number): Uint8Array {
    return this.#running.tokenizer.tokenBytes(id);
  }

  compileGrammar(spec: GrammarSpec, signal?: AbortSignal): Promise<CompiledGrammar> {
    return this.#running.grammars.compile(spec, signal);
  }

  async clearPrefixCache(): Promise<number> {
    return this.#running.engine.clearPrefixCache();
  }

  async embed(texts: readonly (readonly number[])[], signal?: AbortSignal): Promise<Float32Array[]> {
    const { info, embedding } = this.#running;
    if (embedding) return embedding.embedder.embed(checkTexts(texts, info), signal);
    throw new InvalidRequest(
      `The model '${this.#id}' makes no embeddings: it says nothing of pooling.`,
      "model",
      "model_not_supported",
    );
  }

  submit(request: GenerationRequest, signal?: AbortSignal): Generation {
    return this.#running.engine.submit(request, signal);
  }

  /** Generates from a prompt or a conversation: `for await (const { text } of await server.generate({ prompt }))`. */
  async generate(options: GenerateOptions): Promise<Generation> {
    const { template, tokenizer, info, engine } = this.#running;
    const isChat = options.messages !== undefined;
    const prompt = isChat ? template.render(options.messages, options) : options.prompt;
    const promptTokens = typeof prompt === "string" ? await tokenizer.encodeAsync(prompt, { addSpecialTokens: !isChat }) : prompt;
    return engine.submit(completeRequest(promptTokens, options, info), options.signal);
  }

  /** Lets what runs finish for `graceMs` milliseconds, cancels the rest, frees the model. */
  async close({ graceMs = 0 }: { graceMs?: number } = {}): Promise<void> {
    const parts = this.#parts;
    if (!parts || this.#status === "stopping") return;
    this.#status = "stopping";
    await Promise.all([parts.engine.close(graceMs), parts.embedding?.embedder.close(graceMs)]);
    parts.grammars.close();
    parts.embedding?.free();
    parts.loaded.free();
  }

  get #id(): string {
    return this.#options.modelId ?? this.#path;
  }

  get #aliases(): string[] {
    return ["default", basename(this.#id)];
  }

  get #running(): Loaded {
    if (!this.#parts) throw new Unavailable("The model is not loaded.");
    return this.#parts;
  }

  async #openPrefixStore(): Promise<DiskStore | null> {
    const { prefixCacheDirectory: directory, prefixCacheDisk: limitBytes = DEFAULT_PREFIX_DISK } = this.#options;
    if (directory === undefined) return null;
    if (this.#options.prefixCacheMemory === 0) {
      this.#log("warn", "computed prefixes are not kept on disk either, as there is no memory to take them up into");
      return null;
    }
    const onRefusal = (error: unknown) =>
      this.#log("warn", `${directory} takes no more computed prefixes: they are kept in memory only`, { error });
    return DiskStore.open({ directory: resolve(directory), limitBytes, onRefusal });
  }

  /** A model whose embeddings cannot be made still generates, unless they were asked for. */
  async #openEmbedding(loaded: LoadedModel, checkpoint: Checkpoint, { kvBytes }: MemoryPlan): Promise<LanguageEmbedder | null> {
    const { pooling = null, maxQueue = 1024 } = this.#options;
    const maxTokensPerStep = this.#maxTokensPerStep;
    const onFailure = (error: EngineFailure) => this.#log("error", error.message, { error });
    try {
      return await openLanguageEmbedder(loaded, checkpoint, { pooling, kvBytes, maxTokensPerStep, maxQueue, onFailure });
    } catch (error) {
      if (!(error instanceof StartupError) || pooling !== null) throw error;
      this.#log("warn", `there will be no embeddings: ${error.message}`);
      return null;
    }
  }

  /** A step on the CPU computes fewer tokens in the same time. */
  get #maxTokensPerStep(): number {
    const onGpu = !this.#options.cpu && deviceMemory() > 0;
    return this.#options.maxTokensPerStep ?? (onGpu ? 2048 : 256);
  }

  #start({ checkpoint, loaded, tokenizer, template, embedding, identity, prefixStore, summary, memory }: StartParts): void {
    const { maxBatchSize = 64, maxQueue = 1024 } = this.#options;
    const kvBytes = embedding?.kvBytes ?? memory.kvBytes;
    setCacheLimit(memory.cacheBytes);
    const { eosTokenIds, sampling } = readGenerationConfig(checkpoint, { neutral: this.#options.ignoreGenerationConfig });
    const endToken = tokenizer.tokenId(readTokenText(checkpoint.tokenizerConfig?.eos_token) ?? "");
    const { contextLength, vocabSize } = loaded.model;
    // Where no config names them, the tokenizer does, as in mlx-lm.
    const endTokenIds = eosTokenIds.length === 0 && endToken !== undefined ? [endToken] : eosTokenIds;
    const engine = new Engine(loaded, tokenizer, {
      maxBatchSize,
      maxTokensPerStep: this.#maxTokensPerStep,
      maxQueue,
      contextLength,
      kvBudgetBytes: kvBytes,
      modelIdentity: identity,
      prefixStore,
      onWarning: (message, error) => this.#log("warn", message, { error }),
      prefixCacheBytes: this.#options.prefixCacheMemory ?? Math.floor(kvBytes / 2),
      eosTokenIds: endTokenIds,
      smallestSizeClass: this.#options.smallestSizeClass,
      onFailure: (error) => this.#fail(error),
    });
    const info: ModelInfo = {
      id: this.#id,
      aliases: this.#aliases,
      adapters: loaded.adapters,
      architecture: loaded.architecture,
      contextLength,
      vocabSize,
      created: Math.floor(Date.now() / 1000),
      chatTemplate: template.source,
      embedding: embedding?.info ?? null,
      summary,
      defaultSampling: sampling,
    };
    const grammars = new GrammarService(vocabularyOf(tokenizer, vocabSize, endTokenIds));
    this.#parts = { loaded, tokenizer, template, engine, grammars, info, embedding };
  }

  #fail(error: EngineFailure): void {
    this.#status = "failed";
    this.#failure = error.message;
    this.#log("error", error.message, { error });
  }

  #log(level: "debug" | "info" | "warn" | "error", message: string, fields: Record<string, unknown> = {}): void {
    this.#options.log?.({ level, message, ...fields });
  }
}
