/** The loop: plan, submit, and while that runs read what the step before has sampled. */
import { EngineFailure, type ServeError, Unavailable } from "../errors.ts";
import type { KvPool } from "../kv/pool.ts";
import { longestSpan } from "../kv/row-size.ts";
import type { RowTable } from "../kv/rows.ts";
import { macrotask } from "../macrotask.ts";
import { clearCache } from "../mlx/memory.ts";
import type { LoadedModel } from "../models/load.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { Admission } from "./admission.ts";
import { type CacheOptions, dropCacheMemory, openCaches } from "./caches.ts";
import { Constraint } from "./constraint.ts";
import { openGeneration } from "./generation.ts";
import { LateDraws } from "./late-draws.ts";
import { Output } from "./output.ts";
import { Pipeline } from "./pipeline.ts";
import { Prefixes, type PrefixOptions } from "./prefixes.ts";
import type { FinishReason, GeneratedToken, Generation, GenerationRequest } from "./request.ts";
import { Scheduler } from "./scheduler.ts";
import type { Sequence } from "./sequence.ts";
import { Step } from "./step.ts";

export interface EngineOptions extends PrefixOptions, CacheOptions {
  maxTokensPerStep: number;
  maxQueue: number;
  eosTokenIds: readonly number[];
  /** Called once when a step fails; everything that ran has been ended. */
  onFailure: (error: EngineFailure) => void;
}

/** Without work for so long, an engine frees the memory that it keeps for the next step. */
const IDLE_MS = 1000;

export class Engine {
  readonly #loaded: LoadedModel;
  readonly #tokenizer: Tokenizer;
  readonly #options: EngineOptions;
  readonly #rows: RowTable;
  readonly #pool: KvPool;
  readonly #prefixes: Prefixes | null;
  readonly #admission: Admission;
  readonly #scheduler: Scheduler<Sequence>;
  readonly #pipeline: Pipeline;
  readonly #live = new Map<Sequence, Output>();
  readonly #draws: LateDraws;
  #wake: (() => void) | null = null;
  #closing = false;
  #failure: EngineFailure | null = null;
  #totalRequests = 0;
  #totalTokens = 0;
  readonly #loop: Promise<void>;

  constructor(loaded: LoadedModel, tokenizer: Tokenizer, options: EngineOptions) {
    this.#loaded = loaded;
    this.#tokenizer = tokenizer;
    this.#options = options;
    [this.#rows, this.#pool] = openCaches(loaded, options);
    const { caches } = loaded.model;
    this.#prefixes = Prefixes.open(this.#rows, this.#pool, { caches, dtype: loaded.dtype }, options);
    this.#admission = new Admission({ ...options, loaded, tokenizer, rows: this.#rows, prefixes: this.#prefixes });
    const limits = { ...options, maxSpan: longestSpan(caches) };
    this.#scheduler = new Scheduler(limits, this.#rows, this.#prefixes?.cache ?? null);
    this.#pipeline = new Pipeline(Math.max(options.maxTokensPerStep, options.maxBatchSize));
    this.#draws = new LateDraws(loaded.model.vocabSize, (sequence) => this.#judge(sequence));
    this.#loop = this.#run();
  }

  get queueSize(): number {
    return this.#scheduler.queueSize;
  }

  get activeCount(): number {
    return this.#scheduler.activeCount;
  }

  get totalRequests(): number {
    return this.#totalRequests;
  }

  get totalTokens(): number {
    return this.#totalTokens;
  }

  get generationTps(): number {
    return this.#pipeline.throughput.perSecond;
  }

  /** Bytes of the prefix cache. */
  get prefixBytes(): number {
    return this.#prefixes?.bytes ?? 0;
  }

  /** Share of the prompt tokens so far that were taken from it. */
  get prefixHitRate(): number {
    return this.#prefixes?.cache.hitRate ?? 0;
  }

  /** How much is noted of requests for it; 0 at rest. */
  get prefixNotes(): number {
    return this.#prefixes?.cache.noted ?? 0;
  }

  /** Forgets all computed prefixes. Returns the bytes given back. */
  async clearPrefixCache(): Promise<number> {
    return (await this.#prefixes?.clear()) ?? 0;
  }

  get kvBytes(): number {
    return this.#rows.bytes;
  }

  /** Queues a request. Throws `InvalidRequest`, `Overloaded`, `Unavailable` or `EngineFailure`, before anything is computed. */
  submit(request: GenerationRequest, signal?: AbortSignal): Generation {
    if (this.#failure) throw new Unavailable(this.#failure.message);
    if (this.#closing) throw new Unavailable("The server is shutting down.");
    const sequence = this.#admission.open(request);
    const output = new Output(this.#tokenizer, request.stop, request.keepSpecialTokens);
    const cancel = () => this.#cancel(sequence);
    if (signal?.aborted) {
      sequence.finished = true;
      output.fail(new Unavailable("The request was cancelled."));
    } else if (sequence.maxLength === sequence.length) output.finish("length", false);
    else {
      if (request.grammar) sequence.constraint = new Constraint(request.grammar.matcher());
      this.#enqueue(sequence);
      this.#live.set(sequence, output);
      signal?.addEventListener("abort", cancel, { once: true });
      this.#wake?.();
    }
    this.#totalRequests++;
    return openGeneration(sequence, output, cancel, () => signal?.removeEventListener("abort", cancel));
  }

  #enqueue(sequence: Sequence): void {
    try {
      this.#scheduler.enqueue(sequence);
    } catch (error) {
      sequence.constraint?.dispose();
      throw error;
    }
    this.#prefixes?.lookUp(sequence, () => this.#wake?.());
  }

  /** Takes nothing more, lets what runs finish for `graceMs`, cancels the rest and frees the caches. */
  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    this.#wake?.();
    const timer = setTimeout(() => this.#failAll(new Unavailable("The server is shutting down.")), graceMs);
    await this.#loop;
    clearTimeout(timer);
    await this.#prefixes?.close();
  }

  async #run(): Promise<void> {
    try {
      for (;;) {
        if (this.#scheduler.idle && this.#pipeline.depth === 0) {
          this.#pool.free();
          this.#rows.takeActions();
          if (this.#closing) {
            this.#dropMemory();
            return clearCache();
          }
          await this.#rest();
        }
        await this.#step();
        // A macrotask: requests and disconnects get their turn between steps.
        await macrotask();
        const drawn = await this.#draws.draw(this.#pipeline.newest);
        if (drawn) this.#pipeline.push(drawn);
      }
    } catch (error) {
      await this.#break(error);
    }
  }

  /** Until a request comes. */
  async #rest(): Promise<void> {
    // What MLX keeps for reuse is given back unless work comes soon.
    const timer = setTimeout(clearCache, IDLE_MS);
    const called = this.#call();
    await this.#prefixes?.prepareUntil(called);
    await called;
    clearTimeout(timer);
    // Others that have come by now are begun together with the first.
    await macrotask();
  }

  /** Waits for a request, or for the engine to be closed. */
  #call(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = null;
        resolve();
      };
    });
  }

  /** Submits one step, then reads the one before it. */
  async #step(): Promise<void> {
    this.#prefixes?.cache.publish(this.#live.keys());
    const plan = this.#scheduler.plan((load) => this.#pipeline.budget.prefillLimit(load));
    this.#prefixes?.cache.restore();
    for (const sequence of plan.exhausted) this.#finish(sequence, "length", false);
    const planned = plan.items.length > 0;
    if (planned) {
      const now = performance.now();
      for (const { sequence } of plan.items) sequence.times.startedAt ??= now;
      const options = { previous: this.#pipeline.newest, later: this.#draws.defers(plan.items) };
      this.#pipeline.push(Step.submit(this.#loaded.model, this.#rows, this.#pool, plan.items, options));
    }
    if (this.#pipeline.depth > (planned ? 1 : 0)) {
      await this.#pipeline.read((sequence, token) => this.#receive(sequence, token));
    } else if (!planned && this.#draws.holds) await Promise.race([this.#draws.some(), this.#call()]);
    else if (!planned && !this.#scheduler.idle && this.#pipeline.depth === 0) await this.#waitForReady();
  }

  /** All that is left waits for the disk. */
  async #waitForReady(): Promise<void> {
    if (!this.#scheduler.held) throw new Error("the scheduler has stalled");
    await this.#call();
  }

  #receive(sequence: Sequence, token: GeneratedToken): void {
    sequence.receive(token.id);
    const output = this.#live.get(sequence);
    if (sequence.finished || !output) return;
    this.#totalTokens++;
    const { lastEnd } = this.#pipeline;
    sequence.times.firstTokenAt ??= lastEnd;
    sequence.times.lastTokenAt = lastEnd;
    try {
      const ended = sequence.endTokenIds.has(token.id);
      const stoppable = sequence.output.length >= sequence.minTokens;
      const stopped = output.push(token, { hidden: ended, stoppable });
      if (stopped || ended) this.#finish(sequence, "stop", stopped);
      else if (sequence.prompt.length + sequence.output.length >= sequence.maxLength) this.#finish(sequence, "length", false);
      else sequence.constraint?.accept(token.id);
    } catch (error) {
      this.#fail(sequence, new EngineFailure("The output of this request could not be decoded.", { cause: error }));
    }
  }

  /** Ends a sequence whose grammar is at its end or cannot go on. */
  #judge(sequence: Sequence): void {
    const { failure = null, allowed = null } = sequence.constraint ?? {};
    if (failure) {
      const options = { cause: failure.cause };
      this.#fail(sequence, new EngineFailure("The output of this request could not be held to its grammar.", options));
    } else if (allowed?.mustEnd) this.#finish(sequence, "stop", false);
  }

  #finish(sequence: Sequence, reason: FinishReason, stopped: boolean): void {
    this.#live.get(sequence)?.finish(reason, stopped);
    this.#drop(sequence);
  }

  #fail(sequence: Sequence, error: ServeError): void {
    this.#live.get(sequence)?.fail(error);
    this.#drop(sequence);
  }

  #cancel(sequence: Sequence): void {
    if (!sequence.finished) this.#fail(sequence, new Unavailable("The request was cancelled."));
  }

  #drop(sequence: Sequence): void {
    sequence.finished = true;
    sequence.constraint?.dispose();
    this.#draws.drop(sequence);
    this.#wake?.();
    this.#live.delete(sequence);
    if (this.#failure === null) this.#prefixes?.cache.leave(sequence);
    this.#scheduler.remove(sequence);
  }

  #failAll(error: ServeError): void {
    for (const sequence of [...this.#live.keys()]) this.#fail(sequence, error);
  }

  /** A step could not be built or computed: its caches are in an unknown state, so nothing can go on. */
  async #break(cause: unknown): Promise<void> {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const failure = new EngineFailure(`The engine failed: ${reason}`, { cause });
    this.#failure = failure;
    this.#failAll(failure);
    this.#options.onFailure(failure);
    // The step behind fails as well, and is heard by nobody else.
    await this.#pipeline.drain();
    this.#dropMemory();
    this.#pool.free();
  }

  /** All that is kept for requests to come. */
  #dropMemory(): void {
    this.#prefixes?.drop();
    dropCacheMemory();
  }
}
