/** What a search has found: text up to `at` is certain; `mark` begins there, or null when only more text can tell. */
export interface Found {
  at: number;
  mark: string | null;
}

/** A set of strings to be found in a text that is not complete yet. */
export class Marks {
  readonly texts: readonly string[];
  readonly #first: RegExp;

  /** None of them may be empty. */
  constructor(texts: readonly string[]) {
    // Of two marks at the same place the longer one counts.
    this.texts = [...new Set(texts)].sort((a, b) => b.length - a.length);
    const first = [...new Set(this.texts.map((text) => text[0]!))];
    this.#first = new RegExp(`[${first.map((char) => (/\w/.test(char) ? char : `\\u${hex(char)}`)).join("")}]`, "g");
  }

  /** The first mark in `text` from `from` on. Does not depend on what may follow, unless `ended`. */
  find(text: string, from: number, ended: boolean): Found {
    if (this.texts.length === 0) return { at: text.length, mark: null };
    this.#first.lastIndex = from;
    for (let match = this.#first.exec(text); match; match = this.#first.exec(text)) {
      const at = match.index;
      for (const mark of this.texts) {
        if (text.startsWith(mark, at)) return { at, mark };
        const rest = text.length - at;
        if (!ended && rest < mark.length && mark.startsWith(text.slice(at))) return { at, mark: null };
      }
    }
    return { at: text.length, mark: null };
  }
}

function hex(char: string): string {
  return char.charCodeAt(0).toString(16).padStart(4, "0");
}
