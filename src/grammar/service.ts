/** Grammars for one tokenizer: compiled by workers within a time limit, and kept as long as there is room. */
import { InvalidRequest, Overloaded, Unavailable } from "../errors.ts";
import type { CompiledGrammar, GrammarSpec } from "./contract.ts";
import { type HostedGrammar, RemoteMatcher } from "./remote-matcher.ts";
import { type PackedVocabulary, packVocabulary, type Vocabulary } from "./vocabulary.ts";
import { Host } from "./worker/host.ts";

export interface GrammarOptions {
  /** For one grammar: 10 seconds by default. */
  compileMs?: number;
  /** For one mask: 5 seconds. */
  stepMs?: number;
  /** Grammars that are kept: 64. */
  maxGrammars?: number;
  /** Workers: 2, so that one can compile while the other's masks are waited for. */
  maxWorkers?: number;
  /** Grammars that may wait to be compiled: 64. */
  maxQueue?: number;
  /** WebAssembly memory, which never shrinks, above which a worker takes nothing new: 512 MiB. */
  maxWorkerBytes?: number;
  /** Without work for so long, workers are ended: 5 minutes. */
  idleMs?: number;
}

const DEFAULTS: Required<GrammarOptions> = {
  compileMs: 10_000,
  stepMs: 5_000,
  maxGrammars: 64,
  maxWorkers: 2,
  maxQueue: 64,
  maxWorkerBytes: 512 * 2 ** 20,
  idleMs: 300_000,
};

/** Longer ones are refused unread. */
const MAX_SPEC_CHARS = 1_000_000;

interface Entry {
  readonly spec: GrammarSpec;
  readonly number: number;
  /** Where it is compiled; null while it is not, and when the worker has ended. */
  host: Host | null;
  /** Settles when it is compiled; rejects with what is wrong with it. */
  ready: Promise<void> | null;
  state: "waiting" | "compiled" | "refused";
  /** How often the worker that compiled it has ended meanwhile. */
  losses: number;
}

/** A grammar under which so many workers end is the cause. */
const MOST_LOSSES = 2;

interface Job {
  entry: Entry;
  resolve(): void;
  reject(error: Error): void;
}

export class GrammarService {
  readonly #vocabulary: Vocabulary;
  readonly #options: Required<GrammarOptions>;
  /** In the order of their last use. */
  readonly #entries = new Map<string, Entry>();
  readonly #hosts = new Set<Host>();
  readonly #queue: Job[] = [];
  #packed: Promise<PackedVocabulary> | null = null;
  #nextNumber = 1;
  #idle: Timer | null = null;
  #closed = false;

  constructor(vocabulary: Vocabulary, options: GrammarOptions = {}) {
    this.#vocabulary = vocabulary;
    this.#options = { ...DEFAULTS, ...options };
  }

  /** Workers that are there, and bytes of their WebAssembly memory. */
  get usage(): { workers: number; grammars: number; memoryBytes: number } {
    const hosts = [...this.#hosts];
    return {
      workers: hosts.length,
      grammars: this.#entries.size,
      memoryBytes: hosts.reduce((sum, host) => sum + host.memoryBytes, 0),
    };
  }

  /** Throws `InvalidRequest` for what cannot be honoured, `Overloaded` when too many wait. */
  async compile(spec: GrammarSpec, signal?: AbortSignal): Promise<CompiledGrammar> {
    const key = JSON.stringify(spec);
    if (key.length > MAX_SPEC_CHARS) {
      throw new InvalidRequest(`The grammar has ${key.length} characters; at most ${MAX_SPEC_CHARS} are taken.`);
    }
    const grammar: HostedGrammar = {
      vocabularySize: this.#vocabulary.size,
      host: async () => {
        const { host, number } = await this.#compiled(key, spec);
        return { host, grammar: number };
      },
    };
    const compiled = grammar.host();
    await (signal ? Promise.race([compiled, aborted(signal, compiled)]) : compiled);
    return { matcher: () => new RemoteMatcher(grammar) };
  }

  /** Ends the workers. */
  close(): void {
    this.#closed = true;
    for (const job of this.#queue.splice(0)) job.reject(new Unavailable("The server is shutting down."));
    for (const host of [...this.#hosts]) host.end();
    if (this.#idle) clearTimeout(this.#idle);
  }

  async #compiled(key: string, spec: GrammarSpec): Promise<{ host: Host; number: number }> {
    // Again when its worker ended between the compilation and now.
    for (;;) {
      const entry = this.#use(key, spec);
      entry.ready ??= this.#enqueue(entry);
      try {
        await entry.ready;
      } catch (error) {
        // What is wrong with a grammar stays wrong; that there was no room does not.
        if (entry.state !== "refused") entry.ready = null;
        throw error;
      }
      if (entry.host?.alive) return { host: entry.host, number: entry.number };
      entry.ready = null;
    }
  }

  #use(key: string, spec: GrammarSpec): Entry {
    let entry = this.#entries.get(key);
    const isOld = entry?.host && (!entry.host.alive || this.#isFull(entry.host));
    if (!entry || isOld) {
      entry = { spec, number: this.#nextNumber++, host: null, ready: null, state: "waiting", losses: 0 };
    }
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    this.#evict();
    return entry;
  }

  /** The least recently used go. Matchers at work have what they need: the worker counts references. */
  #evict(): void {
    for (const [key, { host, number, ready, state }] of this.#entries) {
      if (this.#entries.size <= this.#options.maxGrammars) return;
      if (ready !== null && state === "waiting") continue;
      this.#entries.delete(key);
      host?.forget(number);
    }
  }

  #enqueue(entry: Entry): Promise<void> {
    if (this.#closed) return Promise.reject(new Unavailable("The server is shutting down."));
    if (this.#queue.length >= this.#options.maxQueue) {
      return Promise.reject(new Overloaded(`${this.#queue.length} grammars are waiting to be compiled.`, 1));
    }
    const waiting = new Promise<void>((resolve, reject) => this.#queue.push({ entry, resolve, reject }));
    waiting.catch(() => {});
    void this.#work();
    return waiting;
  }

  async #work(): Promise<void> {
    this.#rest();
    this.#packed ??= packVocabulary(this.#vocabulary);
    let vocabulary: PackedVocabulary;
    try {
      vocabulary = await this.#packed;
    } catch (error) {
      for (const { reject } of this.#queue.splice(0)) reject(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    for (;;) {
      const host = this.#closed || this.#queue.length === 0 ? null : this.#freeHost(vocabulary);
      if (!host) return;
      const job = this.#queue.shift()!;
      void this.#compileOn(host, job);
    }
  }

  async #compileOn(host: Host, job: Job): Promise<void> {
    const { entry, resolve, reject } = job;
    const outcome = await host.compile(entry.number, entry.spec);
    if (outcome.type === "done") {
      entry.host = host;
      entry.state = "compiled";
      resolve();
    } else if (this.#closed) reject(new Unavailable("The server is shutting down."));
    else if (outcome.type === "lost" && ++entry.losses < MOST_LOSSES) this.#queue.unshift(job);
    else {
      entry.state = "refused";
      const ended = "The grammar cannot be compiled: the thread that did it has ended.";
      reject(new InvalidRequest(outcome.type === "lost" ? ended : outcome.problem));
    }
    this.#retire();
    void this.#work();
  }

  /** One that compiles nothing: without matchers if there is one or can be, otherwise with the fewest. */
  #freeHost(vocabulary: PackedVocabulary): Host | null {
    const usable = [...this.#hosts].filter((host) => !this.#isFull(host));
    const free = usable.filter((host) => !host.compiling).sort((a, b) => a.liveMatchers - b.liveMatchers);
    if (free[0] && free[0].liveMatchers === 0) return free[0];
    if (usable.length >= this.#options.maxWorkers) return free[0] ?? null;
    const host = new Host(vocabulary, { ...this.#options, onLost: (lost) => this.#hosts.delete(lost) });
    this.#hosts.add(host);
    return host;
  }

  #isFull(host: Host): boolean {
    return host.memoryBytes > this.#options.maxWorkerBytes;
  }

  /** Ends workers that take nothing new, once nobody needs them. */
  #retire(): void {
    for (const host of this.#hosts) if (this.#isFull(host) && host.liveMatchers === 0 && !host.compiling) host.end();
  }

  /** Begins to wait for the time when workers that do nothing are ended. */
  #rest(): void {
    if (this.#idle) clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      this.#retire();
      if (this.#queue.length > 0 || [...this.#hosts].some((host) => host.compiling || host.liveMatchers > 0)) return this.#rest();
      for (const host of [...this.#hosts]) host.end();
    }, this.#options.idleMs);
    this.#idle.unref();
  }
}

/** Rejects when the signal fires before. What is compiled meanwhile is kept for the next one who wants it. */
function aborted(signal: AbortSignal, until: Promise<unknown>): Promise<never> {
  return new Promise((_, reject) => {
    const fire = () => reject(new Unavailable("The request was cancelled."));
    if (signal.aborted) return fire();
    signal.addEventListener("abort", fire, { once: true });
    const forget = () => signal.removeEventListener("abort", fire);
    until.then(forget, forget);
  });
}
