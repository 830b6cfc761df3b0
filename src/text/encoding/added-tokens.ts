/** Tokens that are found in a text as they are written, before the model sees it. As Rust's `AddedVocabulary`. */
import type { AddedToken } from "../tokenizer-config.ts";
import { classes, countLeadingSpace, trailingSpaceStart } from "./unicode.ts";

/** A stretch of text that is left for the model, or a token. */
export type Section = string | number;

interface Node {
  next: Map<number, Node>;
  token: AddedToken | null;
}

const endsInWord = new RegExp(`[${classes.word}]$`, "u");
const beginsWithWord = new RegExp(`^[${classes.word}]`, "u");

/** A matcher for tokens under the text that stands for each: its content, or what the normalizer makes of it. */
export class AddedTokenMatcher {
  private readonly root: Node = { next: new Map(), token: null };
  /** 1 for each UTF-16 unit that some token begins with. */
  private readonly begins = new Uint8Array(0x10000);
  private isEmpty = true;

  constructor(tokens: Iterable<readonly [text: string, token: AddedToken]>) {
    for (const [text, token] of tokens) {
      if (text === "") continue;
      let node = this.root;
      for (let at = 0; at < text.length; at++) {
        const unit = text.charCodeAt(at);
        let child = node.next.get(unit);
        if (!child) {
          child = { next: new Map(), token: null };
          node.next.set(unit, child);
        }
        node = child;
      }
      node.token ??= token;
      this.begins[text.charCodeAt(0)] = 1;
      this.isEmpty = false;
    }
  }

  /** Cuts a text; the longest token that begins first is taken. */
  split(text: string): Section[] {
    if (this.isEmpty) return text === "" ? [] : [text];
    const sections: Section[] = [];
    let from = 0;
    for (let at = 0; at < text.length; ) {
      const match = this.begins[text.charCodeAt(at)] === 1 ? this.match(text, at) : null;
      if (match === null) {
        at++;
        continue;
      }
      const { token, end } = match;
      const begin = at;
      at = end;
      if (token.single_word && !standsAlone(text, begin, end)) continue;
      // Spaces that the token before has taken stay with it.
      const start = token.lstrip ? Math.max(from, trailingSpaceStart(text.slice(from, Math.max(from, begin))) + from) : begin;
      if (from < start) sections.push(text.slice(from, start));
      sections.push(token.id);
      from = token.rstrip ? end + countLeadingSpace(text.slice(end)) : end;
    }
    if (from < text.length) sections.push(text.slice(from));
    return sections;
  }

  private match(text: string, begin: number): { token: AddedToken; end: number } | null {
    let found: { token: AddedToken; end: number } | null = null;
    let node: Node | undefined = this.root;
    for (let at = begin; at < text.length; at++) {
      node = node.next.get(text.charCodeAt(at));
      if (!node) break;
      if (node.token) found = { token: node.token, end: at + 1 };
    }
    return found;
  }
}

function standsAlone(text: string, begin: number, end: number): boolean {
  // A character outside of the basic plane has two units.
  const before = text.slice(Math.max(0, begin - 2), begin);
  return !endsInWord.test(before) && !beginsWithWord.test(text.slice(end, end + 2));
}
