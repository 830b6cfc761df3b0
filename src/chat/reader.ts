import type { Reading } from "./events.ts";
import type { Marks } from "./marks.ts";

/**
 * A text that comes in pieces, read by a coroutine: its methods wait (by `yield`) until what comes next is certain, so whatever is
 * built of them cannot tell how the text was cut. Linear time: nothing is read twice but the beginning of a mark.
 */
export class Reader {
  #text = "";
  #at = 0;
  #ended = false;
  #raw: string | null = null;

  /** Adds a piece; the coroutine goes on afterwards. */
  push(text: string): void {
    this.#text = this.#text.slice(this.#at) + text;
    this.#at = 0;
  }

  /** Nothing more comes. */
  end(): void {
    this.#ended = true;
  }

  /** From here on what is read is kept for `raw`, after `begin`, which was read before. */
  record(begin = ""): void {
    this.#raw = begin;
  }

  /** All that was read since `record`. */
  get raw(): string {
    return this.#raw ?? "";
  }

  /** Gives back what was read last. */
  unread(text: string): void {
    this.#text = text + this.#text.slice(this.#at);
    this.#at = 0;
    if (this.#raw !== null) this.#raw = this.#raw.slice(0, this.#raw.length - text.length);
  }

  /** The next character, which stays; "" at the end. */
  *peek(): Reading<string> {
    while (this.#at === this.#text.length && !this.#ended) yield;
    return this.#text[this.#at] ?? "";
  }

  /** Takes the next character, which `peek` has seen. */
  next(): string {
    return this.#take(this.#at + 1);
  }

  /** Takes `text` if it comes next. */
  *accept(text: string): Reading<boolean> {
    for (;;) {
      if (this.#text.startsWith(text, this.#at)) {
        this.#take(this.#at + text.length);
        return true;
      }
      const rest = this.#text.slice(this.#at, this.#at + text.length);
      if (this.#ended || rest.length === text.length || !text.startsWith(rest)) return false;
      yield;
    }
  }

  /** Takes the first of `texts` that comes next; none of them may begin another one. */
  *acceptOne(texts: readonly string[]): Reading<string | null> {
    for (const text of texts) if (yield* this.accept(text)) return text;
    return null;
  }

  /** Takes white space and gives it. */
  space(): Reading<string> {
    return this.takeWhile(/\s*/y);
  }

  /** Hands to `sink` as many characters as `pattern` matches, as they come: a sticky one for any number of characters of one class. */
  *passWhile(pattern: RegExp, sink: (text: string) => void): Reading<void> {
    for (;;) {
      pattern.lastIndex = this.#at;
      const length = pattern.exec(this.#text)?.[0].length ?? 0;
      if (length > 0) sink(this.#take(this.#at + length));
      if (this.#at < this.#text.length || this.#ended) return;
      yield;
    }
  }

  /** Takes as many characters, up to `most`, as `pattern` matches; it is one as for `passWhile`. */
  *takeWhile(pattern: RegExp, most = Number.POSITIVE_INFINITY): Reading<string> {
    let taken = "";
    for (;;) {
      pattern.lastIndex = this.#at;
      const length = Math.min(pattern.exec(this.#text)?.[0].length ?? 0, most - taken.length);
      taken += this.#take(this.#at + length);
      if (this.#at < this.#text.length || this.#ended || taken.length >= most) return taken;
      yield;
    }
  }

  /** Hands text to `sink` up to the next mark, which is taken and given; null: there is none up to the end. */
  *until(marks: Marks, sink: (text: string) => void): Reading<string | null> {
    for (;;) {
      const { at, mark } = marks.find(this.#text, this.#at, this.#ended);
      if (at > this.#at) sink(this.#take(at));
      if (mark !== null) return this.#take(this.#at + mark.length);
      if (this.#ended) return null;
      yield;
    }
  }

  /** The text up to the next mark, with that mark. */
  *upTo(marks: Marks): Reading<{ text: string; mark: string | null }> {
    let text = "";
    const mark = yield* this.until(marks, (piece) => {
      text += piece;
    });
    return { text, mark };
  }

  #take(to: number): string {
    const text = this.#text.slice(this.#at, to);
    if (this.#raw !== null) this.#raw += text;
    this.#at = to;
    return text;
  }
}
