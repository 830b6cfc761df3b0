/** A thread that compiles grammars and computes masks: its event loop may be held up, and it may be ended at any time. */
import { buildGrammar, problemOf } from "../build.ts";
import type { GrammarSpec } from "../contract.ts";
import { Matching } from "./matching.ts";
import type { FromWorker, StepResult, ToWorker } from "./messages.ts";
import { TokenTable } from "./token-table.ts";
import { type Compiled, memoryBytes, prepareXgrammar, Xgrammar, XgrammarAbort } from "./xgrammar.ts";

interface Entry {
  masking: Compiled;
  exact: Compiled | null;
  shortestLimit: number;
  isJson: boolean;
}

/** Results are sent together unless they take longer. */
const BATCH_MS = 0.5;

class GrammarWorker {
  readonly #tokens: TokenTable;
  readonly #specials: readonly string[];
  readonly #busy: Int32Array;
  readonly #masks: Xgrammar;
  /** Without a vocabulary, for texts. */
  readonly #texts: Xgrammar;
  readonly #grammars = new Map<number, Entry>();
  readonly #matchers = new Map<number, Matching>();

  private constructor(tokens: TokenTable, specials: readonly string[], busy: Int32Array, masks: Xgrammar, texts: Xgrammar) {
    this.#tokens = tokens;
    this.#specials = specials;
    this.#busy = busy;
    this.#masks = masks;
    this.#texts = texts;
  }

  static async start({ vocabulary, busy }: Extract<ToWorker, { type: "start" }>): Promise<GrammarWorker> {
    const tokens = new TokenTable(vocabulary);
    const masks = await Xgrammar.open([...tokens.spellings(), ""]);
    return new GrammarWorker(tokens, vocabulary.specials, new Int32Array(busy), masks, await Xgrammar.open([]));
  }

  async handle(message: ToWorker): Promise<void> {
    switch (message.type) {
      case "compile":
        return this.#compile(message.grammar, message.spec);
      case "forget": {
        const entry = this.#grammars.get(message.grammar);
        this.#grammars.delete(message.grammar);
        entry?.masking.dispose();
        entry?.exact?.dispose();
        return;
      }
      case "open":
        return this.#open(message);
      case "step":
        return this.#step(message.steps);
      case "close":
        this.#matchers.get(message.matcher)?.dispose();
        this.#matchers.delete(message.matcher);
    }
  }

  async #compile(grammar: number, spec: GrammarSpec): Promise<void> {
    const reply = (problem: string | null, broken: boolean) =>
      send({ type: "compiled", grammar, problem, memoryBytes: memoryBytes(), broken });
    try {
      const built = buildGrammar(spec, this.#specials);
      const exact = built.exact === null ? null : await this.#texts.compile(built.exact);
      const masking = await this.#masks.compile(built.masking);
      const isJson = spec.kind === "json_schema" || spec.kind === "json_object";
      this.#grammars.set(grammar, { masking, exact, shortestLimit: built.shortestLimit, isJson });
      reply(null, false);
    } catch (error) {
      const problem = problemOf(error);
      if (problem !== null) reply(problem, false);
      else reply(`The grammar cannot be compiled: ${error instanceof Error ? error.message : error}`, true);
    }
  }

  async #open({ matcher, grammar, tokens, mask }: Extract<ToWorker, { type: "open" }>): Promise<void> {
    const entry = this.#grammars.get(grammar);
    if (!entry) return send({ type: "unknown", matcher });
    await this.#guard(matcher, async () => {
      const { masking, exact, shortestLimit, isJson } = entry;
      const limit = exact && { exact: await this.#texts.matcher(exact), shortest: shortestLimit, isJson };
      const matching = new Matching(await this.#masks.matcher(masking), limit, this.#tokens, new Int32Array(mask));
      this.#matchers.set(matcher, matching);
      for (const token of tokens) matching.accept(token);
      send({ type: "stepped", results: [[matcher, await matching.next()]] });
    });
  }

  async #step(steps: readonly (readonly [number, number])[]): Promise<void> {
    let results: StepResult[] = [];
    let begun = performance.now();
    for (const [matcher, token] of steps) {
      await this.#guard(matcher, async () => {
        const matching = this.#matchers.get(matcher);
        if (!matching) return;
        matching.accept(token);
        results.push([matcher, await matching.next()]);
      });
      if (performance.now() - begun < BATCH_MS) continue;
      if (results.length > 0) send({ type: "stepped", results });
      results = [];
      begun = performance.now();
    }
    if (results.length > 0) send({ type: "stepped", results });
  }

  /** What goes wrong with one matcher is told of that one. */
  async #guard(matcher: number, run: () => Promise<void>): Promise<void> {
    Atomics.store(this.#busy, 0, matcher);
    try {
      await run();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const broken = error instanceof XgrammarAbort || error instanceof WebAssembly.RuntimeError;
      send({ type: "failed", matcher, reason, broken });
    } finally {
      Atomics.store(this.#busy, 0, -1);
    }
  }
}

function send(message: FromWorker): void {
  postMessage(message);
}

prepareXgrammar();
let worker: GrammarWorker | null = null;
/** Messages are dealt with one after the other. */
let last: Promise<void> = Promise.resolve();

async function receive(message: ToWorker): Promise<void> {
  if (message.type === "start") {
    worker = await GrammarWorker.start(message);
    send({ type: "ready" });
  } else await worker?.handle(message);
}

addEventListener("message", (event: MessageEvent<ToWorker>) => {
  last = last.then(() => receive(event.data));
});
