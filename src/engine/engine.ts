/** The loop: plan, submit, and while that runs read what the step before has sampled. */
import { EngineFailure, InvalidRequest, type ServeError, Unavailable } from "../errors.ts";
import { KvPool } from "../kv/pool.ts";
import { longestSpan, rowBytes } from "../kv/row-size.ts";
import { RowTable, sizeClasses } from "../kv/rows.ts";
import { clearCache } from "../mlx/memory.ts";
import type { LoadedModel } from "../models/load.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { checkRequest } from "./check-request.ts";
import { Constraint } from "./constraint.ts";
import { DryPenalty } from "./dry.ts";
import { openGeneration } from "./generation.ts";
import { LateDraws } from "./late-draws.ts";
import { Output } from "./output.ts";
import { Prefixes, type PrefixOptions } from "./prefixes.ts";
import { randomSeed } from "./random.ts";
import type { FinishReason, GeneratedToken, Generation, GenerationRequest } from "./request.ts";
import { Scheduler } from "./scheduler.ts";
import { Sequence } from "./sequence.ts";
import { Step } from "./step.ts";
import { StepBudget } from "./step-budget.ts";
import { Throughput } from "./throughput.ts";

export interface EngineOptions extends PrefixOptions {
  maxBatchSize: number;
  maxTokensPerStep: number;
  maxQueue: number;
  contextLength: number;
  eosTokenIds: readonly number[];
  /** Capacity of the smallest cache row; tests make it small. */
  smallestSizeClass?: number;
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
  readonly #scheduler: Scheduler<Sequence>;
  readonly #throughput = new Throughput();
  readonly #budget: StepBudget;
  #lastStepEnd = 0;
  readonly #live = new Map<Sequence, Output>();
  /** Submitted and not read: at most two, the older one running. */
  #inFlight: Step[] = [];
  readonly #draws: LateDraws;
  /** Tokens of a line's end. */
  readonly #newlines: readonly number[];
  #wake: (() => void) | null = null;
  #nextId = 1;
  #closing = false;
  #failure: EngineFailure | null = null;
  #totalRequests = 0;
  #totalTokens = 0;
  readonly #loop: Promise<void>;

  constructor(loaded: LoadedModel, tokenizer: Tokenizer, options: EngineOptions) {
    const { caches } = loaded.model;
    const capacities = sizeClasses(options.contextLength, options.smallestSizeClass);
    this.#loaded = loaded;
    this.#tokenizer = tokenizer;
    this.#options = options;
    this.#pool = new KvPool(caches, capacities, loaded.dtype);
    this.#rows = new RowTable({
      capacities,
      rowBytes: (capacity) => rowBytes(caches, loaded.dtype, capacity),
      budgetBytes: options.kvBudgetBytes,
    });
    this.#prefixes = Prefixes.open(this.#rows, this.#pool, { caches, dtype: loaded.dtype }, options);
    const limits = { ...options, maxSpan: longestSpan(caches) };
    this.#scheduler = new Scheduler(limits, this.#rows, this.#prefixes?.cache ?? null);
    this.#budget = new StepBudget(Math.max(options.maxTokensPerStep, options.maxBatchSize));
    this.#draws = new LateDraws(loaded.model.vocabSize, (sequence) => this.#judge(sequence));
    this.#newlines = tokenizer.encode("\n", { addSpecialTokens: false });
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
    return this.#throughput.perSecond;
  }

  /** Bytes of the prefix cache. */
  get prefixBytes(): number {
    return this.#prefixes?.bytes ?? 0;
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
    checkRequest(request, {
      contextLength: this.#options.contextLength,
      vocabSize: this.#loaded.model.vocabSize,
      fitsAlone: (length) => this.#rows.fitsAlone(length),
    });
    const id = this.#nextId++;
    const { contextLength, eosTokenIds } = this.#options;
    const { dry } = request.sampling;
    const sequence = new Sequence({
      id,
      request,
      contextLength,
      eosTokenIds,
      seed: randomSeed(),
      adapter: this.#adapterOf(request),
      prefixRoot: this.#prefixes?.rootOf(request),
      dry: dry && new DryPenalty(dry, (token) => this.#tokenizer.tokenBytes(token)),
      exempt: this.#newlines,
    });
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

  /** Number in the batch; 0 for none. */
  #adapterOf({ adapter }: GenerationRequest): number {
    if (adapter === null) return 0;
    const number = this.#loaded.adapters.indexOf(adapter) + 1;
    if (number === 0) throw new InvalidRequest(`There is no adapter ${JSON.stringify(adapter)}.`, "model", "model_not_found");
    return number;
  }

  async #run(): Promise<void> {
    try {
      for (;;) {
        if (this.#scheduler.idle && this.#inFlight.length === 0) {
          this.#pool.free();
          this.#rows.takeActions();
          if (this.#closing) {
            this.#prefixes?.cache.clear();
            return clearCache();
          }
          // What MLX keeps for reuse is given back unless work comes soon.
          const rest = setTimeout(clearCache, IDLE_MS);
          await this.#call();
          clearTimeout(rest);
        }
        await this.#step();
        // A macrotask: requests and disconnects get their turn between steps.
        await new Promise((resolve) => setImmediate(resolve));
        const drawn = await this.#draws.draw(this.#inFlight.at(-1) ?? null);
        if (drawn) this.#inFlight.push(drawn);
      }
    } catch (error) {
      await this.#break(error);
    }
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
    const plan = this.#scheduler.plan((load) => this.#budget.prefillLimit(load));
    this.#prefixes?.cache.restore();
    for (const sequence of plan.exhausted) this.#finish(sequence, "length", false);
    const planned = plan.items.length > 0;
    if (planned) {
      const now = performance.now();
      for (const { sequence } of plan.items) sequence.times.startedAt ??= now;
      const options = { previous: this.#inFlight.at(-1) ?? null, later: this.#draws.defers(plan.items) };
      this.#inFlight.push(Step.submit(this.#loaded.model, this.#rows, this.#pool, plan.items, options));
    }
    if (this.#inFlight.length > (planned ? 1 : 0)) await this.#read();
    else if (!planned && this.#draws.holds) await Promise.race([this.#draws.some(), this.#call()]);
    else if (!planned && !this.#scheduler.idle && this.#inFlight.length === 0) await this.#waitForReady();
  }

  /** All that is left waits for the disk. */
  async #waitForReady(): Promise<void> {
    if (!this.#scheduler.held) throw new Error("the scheduler has stalled");
    await this.#call();
  }

  async #read(): Promise<void> {
    const step = this.#inFlight[0]!;
    try {
      await step.done;
      this.#time(step);
      for (const { sequence, token } of step.read()) this.#receive(sequence, token);
    } finally {
      // The next step's graph holds the tokens itself.
      this.#inFlight.shift();
      step.free();
    }
  }

  /** A step runs from its submission, or from the end of the one before it. */
  #time({ submittedAt, decodeTokens, prefillTokens, drawnCount }: Step): void {
    const now = performance.now();
    const ms = now - Math.max(submittedAt, this.#lastStepEnd);
    this.#lastStepEnd = now;
    this.#throughput.add(ms, drawnCount);
    this.#budget.record({ decodeTokens, prefillTokens, ms });
  }

  #receive(sequence: Sequence, token: GeneratedToken): void {
    sequence.receive(token.id);
    const output = this.#live.get(sequence);
    if (sequence.finished || !output) return;
    this.#totalTokens++;
    sequence.times.firstTokenAt ??= this.#lastStepEnd;
    sequence.times.lastTokenAt = this.#lastStepEnd;
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
    await Promise.allSettled(this.#inFlight.map(({ done }) => done));
    for (const step of this.#inFlight) step.free();
    this.#inFlight = [];
    this.#prefixes?.cache.clear();
    this.#pool.free();
  }
}
