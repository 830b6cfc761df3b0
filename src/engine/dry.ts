/**
 * DRY ("Don't Repeat Yourself", p-e-w 2024): a token that would go on with a repetition is penalised, the more so the longer what is
 * repeated has become. What it costs is bounded, whatever the text.
 */
import type { DryParams } from "./request.ts";

/** Comparisons for one token, the latest repetitions first: far more than ordinary text needs. */
const MOST_COMPARISONS = 2 ** 16;

/** Repetitions longer than allowed by more than this count as just so long. */
const LONGEST_EXCESS = 50;

/** Whether a sequence breaker ends within a token: `perhaps` if tokens before it have begun one. */
type Breaks = "never" | "always" | "perhaps";

export class DryPenalty {
  readonly #params: DryParams;
  readonly #tokenBytes: (id: number) => Uint8Array;
  /** As texts of bytes, each character one of them. */
  readonly #breakers: readonly string[];
  readonly #longestBreaker: number;
  readonly #breaks = new Map<number, Breaks>();
  /** Prompt and output; the first `#count` are there. */
  #tokens = new Int32Array();
  #count = 0;

  /** `tokenBytes`: what a token stands for, since breakers are text. */
  constructor(params: DryParams, tokenBytes: (id: number) => Uint8Array) {
    this.#params = params;
    this.#tokenBytes = tokenBytes;
    this.#breakers = params.sequenceBreakers.map((breaker) => latin1(Buffer.from(breaker)));
    this.#longestBreaker = Math.max(0, ...this.#breakers.map((breaker) => breaker.length));
  }

  /** What the next token's logits are reduced by. Both lists only grow from call to call. */
  penalties(prompt: Int32Array, output: readonly number[]): Map<number, number> {
    const { multiplier, base, allowedLength } = this.#params;
    this.#append(prompt, output);
    const penalties = new Map<number, number>();
    for (const [id, length] of this.#repetitions()) {
      if (length >= allowedLength) penalties.set(id, multiplier * base ** (length - allowedLength));
    }
    return penalties;
  }

  #append(prompt: Int32Array, output: readonly number[]): void {
    const count = prompt.length + output.length;
    if (count > this.#tokens.length) {
      const grown = new Int32Array(Math.ceil(count * 1.25) + 64);
      grown.set(this.#count === 0 ? prompt : this.#tokens.subarray(0, this.#count));
      this.#tokens = grown;
    }
    for (let i = Math.max(this.#count, prompt.length); i < count; i++) this.#tokens[i] = output[i - prompt.length]!;
    this.#count = count;
  }

  /** For each token that has once followed what the text ends with: how many tokens of it, at most. */
  #repetitions(): Map<number, number> {
    const { range, allowedLength } = this.#params;
    const start = range > 0 ? Math.max(0, this.#count - range) : 0;
    const tokens = this.#tokens.subarray(start, this.#count);
    const last = tokens.length - 1;
    const longest = allowedLength + LONGEST_EXCESS;
    const lengths = new Map<number, number>();
    if (last < 1 || this.#isBreak(start + last)) return lengths;
    let at = last;
    for (let comparisons = 0; at > 0 && comparisons < MOST_COMPARISONS; comparisons++) {
      at = tokens.lastIndexOf(tokens[last]!, at - 1);
      if (at < 0) break;
      if (this.#isBreak(start + at + 1)) continue;
      let length = 1;
      while (length < longest && length <= at && tokens[at - length] === tokens[last - length]) {
        if (this.#isBreak(start + last - length)) break;
        length++;
      }
      comparisons += length;
      const next = tokens[at + 1]!;
      lengths.set(next, Math.max(length, lengths.get(next) ?? 0));
    }
    return lengths;
  }

  /** Whether a sequence breaker ends within the token at `position`. */
  #isBreak(position: number): boolean {
    const id = this.#tokens[position]!;
    let breaks = this.#breaks.get(id);
    if (breaks === undefined) {
      breaks = this.#judge(this.#text(id));
      this.#breaks.set(id, breaks);
    }
    if (breaks !== "perhaps") return breaks === "always";
    let before = "";
    // A token has at least one byte, or is none that matters.
    const first = Math.max(0, position - this.#longestBreaker);
    for (let i = position - 1; i >= first && before.length < this.#longestBreaker - 1; i--) {
      before = this.#text(this.#tokens[i]!) + before;
    }
    const both = before + this.#text(id);
    return this.#breakers.some((breaker) => {
      const found = both.lastIndexOf(breaker);
      return found >= 0 && found + breaker.length > before.length;
    });
  }

  #judge(text: string): Breaks {
    if (this.#breakers.some((breaker) => text.includes(breaker))) return "always";
    return this.#breakers.some((breaker) => endsInside(breaker, text)) ? "perhaps" : "never";
  }

  #text(id: number): string {
    return latin1(this.#tokenBytes(id));
  }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

/** Whether `breaker`, begun before the text, may end in it. */
function endsInside(breaker: string, text: string): boolean {
  for (let length = 1; length < breaker.length; length++) if (text.startsWith(breaker.slice(-length))) return true;
  return false;
}
