import { readJson } from "../../chat/json.ts";
import { Reader } from "../../chat/reader.ts";

/**
 * Lets through as much of a text in pieces as begins a JSON value, so that whatever was let through can be read as far as it goes:
 * clients give up a whole stream over arguments that cannot.
 */
export class JsonPrefix {
  readonly #reader = new Reader();
  #parts: string[] = [];
  #isOver = false;
  readonly #reading = readJson(this.#reader, (text) => this.#parts.push(text));

  push(text: string): string {
    if (this.#isOver) return "";
    this.#parts = [];
    this.#reader.push(text);
    const { done, value } = this.#reading.next();
    this.#isOver = done === true;
    // Of what is wrong only a word is handed over before it is known to be none, and then it is the last.
    if (done === true && !value && this.#parts.at(-1)?.trim()) this.#parts.pop();
    return this.#parts.join("");
  }
}
