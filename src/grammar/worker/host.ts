/** One worker, seen from the event loop. */
import type { GrammarSpec } from "../contract.ts";
import type { PackedVocabulary } from "../vocabulary.ts";
import type { FromWorker, ToWorker } from "./messages.ts";

/** What a matcher of the worker's hears. */
export interface HostedMatcher {
  stepped(state: number): void;
  /** It can say no more. */
  failed(reason: string): void;
  /** The worker is gone, and with it what the matcher knew; `late`: because of a grammar that it compiled. */
  lost(reason: "late" | "lost"): void;
}

export interface HostOptions {
  /** For one grammar. */
  compileMs: number;
  /** Between two answers, while masks are asked for. */
  stepMs: number;
  /** The worker has been ended, or has ended itself. */
  onLost(host: Host): void;
}

/** Done, or why the grammar cannot be had, or that the worker has been ended: because it took too long, or for another reason. */
export type Outcome = { type: "done" } | { type: "problem"; problem: string } | { type: "late" } | { type: "lost" };

interface Compilation {
  resolve(outcome: Outcome): void;
  timer: Timer | null;
}

export class Host {
  readonly #worker: Worker;
  readonly #options: HostOptions;
  readonly #busy = new Int32Array(new SharedArrayBuffer(4)).fill(-1);
  readonly #matchers = new Map<number, HostedMatcher>();
  /** Matchers that wait for an answer. */
  readonly #asking = new Set<number>();
  #steps: [number, number][] = [];
  #compilation: Compilation | null = null;
  #watch: Timer | null = null;
  #ready = false;
  #alive = true;
  memoryBytes = 0;

  constructor(vocabulary: PackedVocabulary, options: HostOptions) {
    this.#options = options;
    // In the executable as well: see `writeEntry` of the build.
    this.#worker = new Worker(new URL("./grammar-worker.ts", import.meta.url).href);
    this.#worker.addEventListener("message", (event: MessageEvent<FromWorker>) => this.#receive(event.data));
    this.#worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.end();
    });
    this.#worker.addEventListener("close", () => this.end());
    // A process that has nothing else to do may exit.
    this.#worker.unref();
    this.#send({ type: "start", vocabulary, busy: this.#busy.buffer as SharedArrayBuffer });
  }

  get alive(): boolean {
    return this.#alive;
  }

  get liveMatchers(): number {
    return this.#matchers.size;
  }

  get compiling(): boolean {
    return this.#compilation !== null;
  }

  /** One at a time. A worker that takes too long is ended. */
  compile(grammar: number, spec: GrammarSpec): Promise<Outcome> {
    return new Promise((resolve) => {
      this.#compilation = { resolve, timer: null };
      if (this.#ready) this.#startTimer();
      this.#send({ type: "compile", grammar, spec });
    });
  }

  forget(grammar: number): void {
    this.#send({ type: "forget", grammar });
  }

  open(matcher: number, grammar: number, tokens: readonly number[], mask: SharedArrayBuffer, hosted: HostedMatcher): void {
    this.#matchers.set(matcher, hosted);
    this.#ask(matcher);
    this.#send({ type: "open", matcher, grammar, tokens, mask });
  }

  /** Those of one turn of the event loop are sent together. */
  step(matcher: number, token: number): void {
    this.#ask(matcher);
    if (this.#steps.push([matcher, token]) === 1) queueMicrotask(() => this.#sendSteps());
  }

  close(matcher: number): void {
    if (!this.#matchers.delete(matcher)) return;
    this.#asking.delete(matcher);
    this.#sendSteps();
    this.#send({ type: "close", matcher });
    this.#rewatch();
  }

  /** Ends the worker; its matchers are told, and who waits for a grammar. */
  end(reason: "late" | "lost" = "lost"): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#worker.terminate();
    if (this.#watch) clearTimeout(this.#watch);
    const compilation = this.#compilation;
    this.#compilation = null;
    if (compilation?.timer) clearTimeout(compilation.timer);
    this.#options.onLost(this);
    compilation?.resolve({ type: reason });
    const matchers = [...this.#matchers.values()];
    this.#matchers.clear();
    for (const matcher of matchers) matcher.lost(reason);
  }

  #ask(matcher: number): void {
    this.#asking.add(matcher);
    if (this.#watch === null) this.#rewatch();
  }

  #sendSteps(): void {
    const steps = this.#steps;
    this.#steps = [];
    if (steps.length > 0) this.#send({ type: "step", steps });
  }

  #send(message: ToWorker): void {
    if (this.#alive) this.#worker.postMessage(message);
  }

  #receive(message: FromWorker): void {
    if (!this.#alive) return;
    switch (message.type) {
      case "ready":
        this.#ready = true;
        this.#startTimer();
        return;
      case "compiled":
        this.memoryBytes = message.memoryBytes;
        this.#compiled(message.problem);
        if (message.broken) this.end();
        return;
      case "stepped":
        for (const [matcher, state] of message.results) this.#answered(matcher)?.stepped(state);
        this.#rewatch();
        return;
      case "failed": {
        const hosted = this.#answered(message.matcher);
        this.#matchers.delete(message.matcher);
        hosted?.failed(message.reason);
        if (message.broken) this.end();
        else this.#rewatch();
        return;
      }
      case "unknown": {
        const hosted = this.#answered(message.matcher);
        this.#matchers.delete(message.matcher);
        hosted?.lost("lost");
      }
    }
  }

  #answered(matcher: number): HostedMatcher | undefined {
    this.#asking.delete(matcher);
    return this.#matchers.get(matcher);
  }

  #compiled(problem: string | null): void {
    const compilation = this.#compilation;
    this.#compilation = null;
    if (compilation?.timer) clearTimeout(compilation.timer);
    compilation?.resolve(problem === null ? { type: "done" } : { type: "problem", problem });
    this.#rewatch();
  }

  #startTimer(): void {
    if (!this.#compilation || this.#compilation.timer) return;
    this.#compilation.timer = setTimeout(() => this.end("late"), this.#options.compileMs);
  }

  /** An answer that does not come, while nothing is compiled, is the fault of the matcher that is at work. */
  #rewatch(): void {
    if (this.#watch) clearTimeout(this.#watch);
    this.#watch = null;
    if (this.#asking.size === 0 || !this.#alive) return;
    this.#watch = setTimeout(() => {
      this.#watch = null;
      if (this.#compilation || !this.#ready) return this.#rewatch();
      const guilty = Atomics.load(this.#busy, 0);
      const hosted = this.#matchers.get(guilty);
      this.#matchers.delete(guilty);
      hosted?.failed(`its grammar takes longer than ${this.#options.stepMs} ms to say what may follow`);
      this.end();
    }, this.#options.stepMs);
  }
}
