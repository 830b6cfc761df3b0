import type { CompiledGrammar } from "../engine/request.ts";
import type { ReasoningState } from "./reasoning-state.ts";

type Matcher = ReturnType<CompiledGrammar["matcher"]>;
type Allowed = Awaited<ReturnType<Matcher["next"]>>;

export interface GateOptions {
  state: ReasoningState;
  /** Holds the answer once the reasoning is over; null: the answer is free. */
  answer: CompiledGrammar | null;
  /** The most tokens of reasoning; null: any number. */
  budget: number | null;
  /** The first token of `state.begin`; null: it cannot be told. */
  beginToken: number | null;
  /** Tokens of `state.forcedEnd`. */
  forcedEnd: readonly number[];
  vocabSize: number;
  tokenBytes(id: number): Uint8Array;
}

/** Longer than any end of reasoning with the tokens that it lies in. */
const longestTail = 256;
const free: Allowed = { mask: null, mayEnd: true, mustEnd: false };

/**
 * A grammar that leaves reasoning free, up to a number of tokens, and holds only the answer after it. After the last token of the
 * budget the reasoning's end is forced; a model may end it earlier.
 */
export function gateReasoning(options: GateOptions): CompiledGrammar {
  return { matcher: () => new ReasoningGate(options) };
}

class ReasoningGate implements Matcher {
  readonly #options: GateOptions;
  #phase: ReasoningState["start"];
  #answer: Matcher | null;
  /** Bytes of the last tokens, as characters of one byte. */
  #tail = "";
  #spent = 0;
  /** What is left to force. */
  #forced: number[] | null = null;

  constructor(options: GateOptions) {
    this.#options = options;
    this.#phase = options.state.start;
    this.#answer = options.answer?.matcher() ?? null;
  }

  async next(token: number | null): Promise<Allowed> {
    if (this.#phase === "possible") return this.#decide(token);
    if (this.#phase === "over") return this.#next(token);
    const isOver = token !== null && this.#count(token);
    return isOver ? this.#next(null) : this.#nextOfReasoning();
  }

  dispose(): void {
    this.#answer?.dispose();
  }

  /** The first token shows whether there will be reasoning. */
  async #decide(token: number | null): Promise<Allowed> {
    const { beginToken, answer, vocabSize } = this.#options;
    if (token === null) {
      const allowed = await this.#next(null);
      if (beginToken === null || allowed.mask === null) return allowed;
      const mask = new Int32Array(Math.ceil(vocabSize / 32));
      mask.set(allowed.mask.subarray(0, mask.length));
      addToken(mask, beginToken);
      return { ...allowed, mask, mustEnd: false };
    }
    // White space before the mark is nothing yet, as long as no grammar minds it.
    if (token !== beginToken && this.#answer === null && isSpace(this.#options.tokenBytes(token))) return free;
    if (token !== beginToken) {
      this.#phase = "over";
      return this.#next(token);
    }
    this.#phase = "open";
    // The first answer's matcher has been asked already.
    this.#answer?.dispose();
    this.#answer = answer?.matcher() ?? null;
    return this.#nextOfReasoning();
  }

  async #next(token: number | null): Promise<Allowed> {
    return this.#answer ? this.#answer.next(token) : free;
  }

  /** Whether the reasoning is over with this token of it. */
  #count(token: number): boolean {
    const { state, tokenBytes } = this.#options;
    this.#spent++;
    this.#tail = (this.#tail + String.fromCharCode(...tokenBytes(token))).slice(-longestTail);
    const isOver = state.isEnd(Buffer.from(this.#tail, "latin1").toString());
    if (isOver) this.#phase = "over";
    return isOver;
  }

  #nextOfReasoning(): Allowed {
    const { budget, forcedEnd, vocabSize } = this.#options;
    if (this.#forced === null && budget !== null && this.#spent >= budget) this.#forced = [...forcedEnd];
    const forced = this.#forced?.shift();
    // Without an answer that is asked for, an output may also end within its reasoning.
    if (forced === undefined) return { ...free, mayEnd: this.#answer === null };
    const mask = new Int32Array(Math.ceil(vocabSize / 32));
    addToken(mask, forced);
    return { mask, mayEnd: false, mustEnd: false };
  }
}

function isSpace(bytes: Uint8Array): boolean {
  return bytes.length > 0 && bytes.every((byte) => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d));
}

function addToken(mask: Int32Array, id: number): void {
  const word = mask[id >> 5];
  if (word !== undefined) mask[id >> 5] = word | (1 << (id & 31));
}
