/** A loaded model with its engine: what the HTTP layer serves and what a library user holds. */
import { basename, resolve } from "node:path";
import { machineMemory } from "../config.ts";
import { type EngineFailure, Unavailable } from "../errors.ts";
import { openMlx } from "../mlx/array.ts";
import { locateNativeLibrary } from "../mlx/library.ts";
import { activeMemory, cacheMemory, deviceMemory, peakMemory, setCacheLimit, setMemoryLimit } from "../mlx/memory.ts";
import { type AdapterSource, checkAdapterNames } from "../models/adapter.ts";
import { type Checkpoint, openCheckpoint } from "../models/checkpoint.ts";
import { readGenerationConfig } from "../models/generation-config.ts";
import { type LoadedModel, loadModel } from "../models/load.ts";
import { ChatTemplate } from "../text/chat-template.ts";
import { loadTokenizer, type Tokenizer } from "../text/tokenizer.ts";
import { Engine } from "./engine.ts";
import { completeRequest, type GenerateOptions } from "./generate.ts";
import { planMemory } from "./memory-plan.ts";
import type {
  ChatMessage,
  ChatTemplateOptions,
  EngineStats,
  Generation,
  GenerationRequest,
  InferenceServer,
  ModelInfo,
  ServerStatus,
} from "./request.ts";

export interface ServerOptions {
  /** Rows that decode together, 64 by default. */
  maxBatchSize?: number;
  /** Tokens that one step computes at most, prefill and decode together. */
  maxTokensPerStep?: number;
  /** Requests that may wait, 1024 by default. */
  maxQueue?: number;
  /** Bytes for weights, caches and work together. */
  memoryLimit?: number;
  /** What the API calls the model; by default its path. */
  modelId?: string;
  /** LoRA adapters, directories of mlx-lm's or PEFT's, that requests choose by name. */
  adapters?: readonly AdapterSource[];
  /** Computes on the CPU even where there is a GPU. */
  cpu?: boolean;
  /** Capacity in tokens of the smallest cache row; for tests. */
  smallestSizeClass?: number;
  log?: (line: { level: "debug" | "info" | "warn" | "error"; message: string; [key: string]: unknown }) => void;
}

interface Loaded {
  loaded: LoadedModel;
  tokenizer: Tokenizer;
  template: ChatTemplate;
  engine: Engine;
  info: ModelInfo;
}

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
    const { adapters = [] } = this.#options;
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
    });
    const template = new ChatTemplate(checkpoint.tokenizerConfig ?? {}, checkpoint.chatTemplate);
    if (template.problem) this.#log("warn", template.problem);
    const loaded = await loadModel(checkpoint, { adapters });
    try {
      this.#start(checkpoint, loaded, tokenizer, template);
    } catch (error) {
      loaded.free();
      throw error;
    }
    this.#status = "ok";
    this.#log("info", `loaded ${this.model.id} in ${((performance.now() - begun) / 1000).toFixed(1)} s`, {
      device,
      architecture: loaded.architecture,
      weights_mb: Math.round(loaded.bytes / 1e6),
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
    const open = engine !== undefined;
    return {
      queueSize: engine?.queueSize ?? 0,
      activeRequests: engine?.activeCount ?? 0,
      totalRequests: engine?.totalRequests ?? 0,
      totalTokens: engine?.totalTokens ?? 0,
      generationTps: engine?.generationTps ?? 0,
      activeMemoryBytes: open ? activeMemory() : 0,
      peakMemoryBytes: open ? peakMemory() : 0,
      cacheMemoryBytes: open ? cacheMemory() : 0,
      kvBytes: engine?.kvBytes ?? 0,
    };
  }

  renderChat(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): string {
    return this.#running.template.render(messages, options);
  }

  encode(text: string, options: { addSpecialTokens: boolean }): Promise<number[]> {
    const { tokenizer, info } = this.#running;
    return tokenizer.encodeAsync(text, { ...options, maxTokens: info.contextLength });
  }

  decode(ids: readonly number[]): string {
    return this.#running.tokenizer.decode(ids, { skipSpecialTokens: true });
  }

  tokenBytes(id: number): Uint8Array {
    return this.#running.tokenizer.tokenBytes(id);
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
    await parts.engine.close(graceMs);
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

  #start(checkpoint: Checkpoint, loaded: LoadedModel, tokenizer: Tokenizer, template: ChatTemplate): void {
    const { maxBatchSize = 64, maxQueue = 1024, cpu = false } = this.#options;
    const gpuMemory = cpu ? 0 : deviceMemory();
    const limit = this.#options.memoryLimit ?? (gpuMemory > 0 ? gpuMemory : Math.floor(machineMemory() * 0.8));
    const memory = planMemory(limit, loaded);
    setMemoryLimit(limit);
    setCacheLimit(memory.cacheBytes);
    const { eosTokenIds, sampling } = readGenerationConfig(checkpoint);
    const { contextLength, vocabSize } = loaded.model;
    const engine = new Engine(loaded, tokenizer, {
      maxBatchSize,
      // A step on the CPU computes fewer tokens in the same time.
      maxTokensPerStep: this.#options.maxTokensPerStep ?? (gpuMemory > 0 ? 2048 : 256),
      maxQueue,
      contextLength,
      kvBudgetBytes: memory.kvBytes,
      eosTokenIds,
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
      defaultSampling: sampling,
    };
    this.#parts = { loaded, tokenizer, template, engine, info };
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
