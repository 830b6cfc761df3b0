/** Grammars for one tokenizer: compiled by workers within a time limit, and kept as long as there is room. */
import { InvalidRequest, Unavailable } from "../errors.ts";
import type { CompiledGrammar, GrammarSpec } from "./contract.ts";
import { type HostedGrammar, RemoteMatcher } from "./remote-matcher.ts";
import { type PackedVocabulary, packVocabulary, type Vocabulary } from "./vocabulary.ts";
import type { Host } from "./worker/host.ts";
import { Pool } from "./worker/pool.ts";

export interface GrammarOptions {
  /** For one grammar: 10 seconds by default. */
  compileMs?: number;
  /** For one grammar in a worker that others need as well: 4 seconds. What takes longer begins anew in one of its own. */
  quickMs?: number;
  /** For one mask: 5 seconds. */
  stepMs?: number;
  /** Grammars that are kept: 64. */
  maxGrammars?: number;
  /** Workers: 2, so that one can compile while the other's masks are waited for, and one besides for what takes long. */
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
  quickMs: 4_000,
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
  /** Where it is compiled; null while it is not. */
  host: Host | null;
  /** Settles when it is compiled; rejects with what is wrong with it. */
  ready: Promise<void> | null;
  state: "waiting" | "compiled" | "refused";
}

export class GrammarService {
  readonly #vocabulary: Vocabulary;
  readonly #maxGrammars: number;
  readonly #pool: Pool;
  /** In the order of their last use. */
  readonly #entries = new Map<string, Entry>();
  /** How many wait for a grammar. */
  readonly #waiting = new Map<string, number>();
  #packed: Promise<PackedVocabulary> | null = null;
  #nextNumber = 1;

  constructor(vocabulary: Vocabulary, options: GrammarOptions = {}) {
    const all = { ...DEFAULTS, ...options };
    this.#vocabulary = vocabulary;
    this.#maxGrammars = all.maxGrammars;
    this.#pool = new Pool(() => (this.#packed ??= packVocabulary(this.#vocabulary)), all);
  }

  /** Workers that are there, and bytes of their WebAssembly memory. */
  get usage(): { workers: number; grammars: number; memoryBytes: number } {
    return { ...this.#pool.usage, grammars: this.#entries.size };
  }

  /** Throws `InvalidRequest` for what cannot be honoured, `Overloaded` when too many wait. */
  async compile(spec: GrammarSpec, signal?: AbortSignal): Promise<CompiledGrammar> {
    const key = JSON.stringify(spec);
    if (key.length > MAX_SPEC_CHARS) {
      throw new InvalidRequest(`The grammar has ${key.length} characters; at most ${MAX_SPEC_CHARS} are taken.`);
    }
    await this.#wait(key, (compiled) => (signal ? Promise.race([compiled, aborted(signal, compiled)]) : compiled), spec);
    const host = async () => {
      const { host, number } = await this.#wait(key, (compiled) => compiled, spec);
      return { host, grammar: number };
    };
    const grammar: HostedGrammar = { vocabularySize: this.#vocabulary.size, host };
    return { matcher: () => new RemoteMatcher(grammar) };
  }

  /** Ends the workers. */
  close(): void {
    this.#pool.close();
  }

  /** Waits as long as `until` does; what nobody waits for need not be compiled. */
  async #wait<T>(key: string, until: (compiled: Promise<Home>) => Promise<T>, spec: GrammarSpec): Promise<T> {
    this.#waiting.set(key, (this.#waiting.get(key) ?? 0) + 1);
    try {
      return await until(this.#compiled(key, spec));
    } finally {
      const others = (this.#waiting.get(key) ?? 1) - 1;
      if (others > 0) this.#waiting.set(key, others);
      else {
        this.#waiting.delete(key);
        this.#pool.reconsider();
      }
    }
  }

  async #compiled(key: string, spec: GrammarSpec): Promise<Home> {
    // Again when its worker ended between the compilation and now.
    for (;;) {
      const entry = this.#use(key, spec);
      entry.ready ??= this.#compile(key, entry);
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

  async #compile(key: string, entry: Entry): Promise<void> {
    try {
      entry.host = await this.#pool.compile(entry.number, entry.spec, () => this.#waiting.has(key));
      entry.state = "compiled";
    } catch (error) {
      if (error instanceof InvalidRequest) entry.state = "refused";
      throw error;
    }
  }

  #use(key: string, spec: GrammarSpec): Entry {
    let entry = this.#entries.get(key);
    const isOld = entry?.host && (!entry.host.alive || this.#pool.isFull(entry.host));
    if (!entry || isOld) entry = { spec, number: this.#nextNumber++, host: null, ready: null, state: "waiting" };
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    this.#evict();
    return entry;
  }

  /** The least recently used go. Matchers at work have what they need: the worker counts references. */
  #evict(): void {
    for (const [key, { host, number, ready, state }] of this.#entries) {
      if (this.#entries.size <= this.#maxGrammars) return;
      if (ready !== null && state === "waiting") continue;
      this.#entries.delete(key);
      host?.forget(number);
    }
  }
}

interface Home {
  host: Host;
  number: number;
}

/** Rejects when the signal fires before. */
function aborted(signal: AbortSignal, until: Promise<unknown>): Promise<never> {
  return new Promise((_, reject) => {
    const fire = () => reject(new Unavailable("The request was cancelled."));
    if (signal.aborted) return fire();
    signal.addEventListener("abort", fire, { once: true });
    const forget = () => signal.removeEventListener("abort", fire);
    until.then(forget, forget);
  });
}
