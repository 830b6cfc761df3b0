/** The workers: a few for what is compiled quickly, and one more for what is not, so that nothing slow is waited for by others. */
import { InvalidRequest, Overloaded, Unavailable } from "../../errors.ts";
import type { GrammarSpec } from "../contract.ts";
import type { PackedVocabulary } from "../vocabulary.ts";
import { Host } from "./host.ts";

export interface PoolOptions {
  compileMs: number;
  quickMs: number;
  stepMs: number;
  maxWorkers: number;
  maxQueue: number;
  maxWorkerBytes: number;
  idleMs: number;
}

interface Job {
  readonly grammar: number;
  readonly spec: GrammarSpec;
  /** Whether anybody waits for it still. */
  isWanted(): boolean;
  /** It has been found to take long. */
  slow: boolean;
  /** How often the worker that compiled it has ended meanwhile. */
  losses: number;
  resolve(host: Host): void;
  reject(error: Error): void;
}

interface Place {
  readonly slow: boolean;
  job: Job | null;
}

/** A grammar under which so many workers end is the cause. */
const MOST_LOSSES = 2;

export class Pool {
  readonly #vocabulary: () => Promise<PackedVocabulary>;
  readonly #options: PoolOptions;
  readonly #hosts = new Map<Host, Place>();
  #queue: Job[] = [];
  #idle: Timer | null = null;
  #closed = false;

  constructor(vocabulary: () => Promise<PackedVocabulary>, options: PoolOptions) {
    this.#vocabulary = vocabulary;
    this.#options = options;
  }

  get usage(): { workers: number; memoryBytes: number } {
    const hosts = [...this.#hosts.keys()];
    return { workers: hosts.length, memoryBytes: hosts.reduce((sum, host) => sum + host.memoryBytes, 0) };
  }

  /** Resolves to the worker that has it. Throws `InvalidRequest`, `Overloaded` or `Unavailable`. */
  compile(grammar: number, spec: GrammarSpec, isWanted: () => boolean): Promise<Host> {
    if (this.#closed) return Promise.reject(stopping());
    this.#dropUnwanted();
    if (this.#queue.length >= this.#options.maxQueue) {
      return Promise.reject(new Overloaded(`${this.#queue.length} grammars are waiting to be compiled.`, 1));
    }
    const compiled = new Promise<Host>((resolve, reject) => {
      this.#queue.push({ grammar, spec, isWanted, slow: false, losses: 0, resolve, reject });
    });
    void this.#work();
    return compiled;
  }

  /** To be called when somebody waits no more. */
  reconsider(): void {
    this.#dropUnwanted();
    void this.#work();
  }

  isFull(host: Host): boolean {
    return host.memoryBytes > this.#options.maxWorkerBytes;
  }

  close(): void {
    this.#closed = true;
    for (const job of this.#queue.splice(0)) job.reject(stopping());
    for (const host of [...this.#hosts.keys()]) host.end();
    if (this.#idle) clearTimeout(this.#idle);
  }

  #dropUnwanted(): void {
    const left = this.#queue.filter((job) => !job.isWanted());
    this.#queue = this.#queue.filter((job) => !left.includes(job));
    for (const job of left) job.reject(cancelled());
  }

  async #work(): Promise<void> {
    if (this.#closed) return;
    this.#rest();
    let vocabulary: PackedVocabulary;
    try {
      vocabulary = await this.#vocabulary();
    } catch (error) {
      for (const { reject } of this.#queue.splice(0)) reject(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    for (const job of [...this.#queue]) {
      if (this.#closed || !this.#queue.includes(job)) continue;
      const host = this.#freeHost(vocabulary, job.slow);
      if (host) {
        this.#queue = this.#queue.filter((other) => other !== job);
        void this.#compileOn(host, job);
      } else this.#endUnwanted(job.slow);
    }
  }

  async #compileOn(host: Host, job: Job): Promise<void> {
    const place = this.#hosts.get(host);
    if (place) place.job = job;
    const outcome = await host.compile(job.grammar, job.spec);
    if (place) place.job = null;
    const { compileMs } = this.#options;
    if (outcome.type === "done") job.resolve(host);
    else if (outcome.type === "problem") job.reject(new InvalidRequest(outcome.problem));
    else if (this.#closed) job.reject(stopping());
    else if (!job.isWanted()) job.reject(cancelled());
    else if (outcome.type === "late" && job.slow) {
      const message = `The grammar is too complex: it takes longer than ${compileMs / 1000} s to compile.`;
      job.reject(new InvalidRequest(message));
    } else if (outcome.type === "late") {
      job.slow = true;
      this.#queue.push(job);
    } else if (++job.losses < MOST_LOSSES) this.#queue.unshift(job);
    else job.reject(new InvalidRequest("The grammar cannot be compiled: the thread that did it has ended."));
    this.#retire();
    void this.#work();
  }

  /** One that compiles nothing: without matchers if there is one or can be, otherwise with the fewest. */
  #freeHost(vocabulary: PackedVocabulary, slow: boolean): Host | null {
    const usable = [...this.#hosts].filter(([host, place]) => place.slow === slow && !this.isFull(host)).map(([host]) => host);
    const free = usable.filter((host) => !host.compiling).sort((a, b) => a.liveMatchers - b.liveMatchers);
    if (free[0] && free[0].liveMatchers === 0) return free[0];
    if (usable.length >= (slow ? 1 : this.#options.maxWorkers)) return free[0] ?? null;
    const { compileMs, quickMs, stepMs } = this.#options;
    const host = new Host(vocabulary, {
      compileMs: slow ? compileMs : Math.min(quickMs, compileMs),
      stepMs,
      onLost: (lost) => this.#hosts.delete(lost),
    });
    this.#hosts.set(host, { slow, job: null });
    return host;
  }

  /** Ends a worker that compiles what nobody waits for. */
  #endUnwanted(slow: boolean): void {
    const idle = [...this.#hosts].find(([, place]) => place.slow === slow && place.job?.isWanted() === false);
    idle?.[0].end();
  }

  /** Ends workers that take nothing new, once nobody needs them. */
  #retire(): void {
    for (const host of [...this.#hosts.keys()]) {
      if (this.isFull(host) && host.liveMatchers === 0 && !host.compiling) host.end();
    }
  }

  /** Begins to wait for the time when workers that do nothing are ended. */
  #rest(): void {
    if (this.#idle) clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      this.#retire();
      const hosts = [...this.#hosts.keys()];
      if (this.#queue.length > 0 || hosts.some((host) => host.compiling || host.liveMatchers > 0)) return this.#rest();
      for (const host of hosts) host.end();
    }, this.#options.idleMs);
    this.#idle.unref();
  }
}

const stopping = () => new Unavailable("The server is shutting down.");
const cancelled = () => new Unavailable("The request was cancelled.");
