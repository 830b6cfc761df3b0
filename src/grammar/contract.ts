/** What the engine and its callers know of grammars. */

/** What an output has to look like. Compiled grammars are kept by the spec's text. */
export type GrammarSpec =
  /** Any JSON object. */
  | { kind: "json_object" }
  /** A JSON value that satisfies the schema: an object or a boolean. Object keys come in the schema's order. */
  | { kind: "json_schema"; schema: unknown }
  /** A text that the pattern (ECMAScript's syntax) matches as a whole. */
  | { kind: "regex"; pattern: string }
  /** One of the texts. */
  | { kind: "choice"; choices: readonly string[] }
  /** A context-free grammar in xgrammar's EBNF (of GBNF's kind); the rule to begin with is `root`. */
  | { kind: "ebnf"; text: string }
  /** Text, tags and the formats between them, see `TagFormat`. */
  | { kind: "structural_tag"; format: TagFormat };

/**
 * What structural tags are made of, as in xgrammar. Strings name special tokens by their text, such as `<|channel|>`. Text of
 * `any_text` goes on until what follows it in the sequence or tag begins; at the end of a format, until the output ends.
 */
export type TagFormat =
  | { type: "const_string"; value: string }
  | { type: "json_schema"; json_schema: unknown }
  | { type: "regex"; pattern: string }
  | { type: "grammar"; grammar: string }
  | { type: "any_text" }
  | { type: "sequence"; elements: readonly TagFormat[] }
  | { type: "or"; elements: readonly TagFormat[] }
  | Tag
  /** Free text in which a trigger, the beginning of some tags, must become one of them. */
  | {
      type: "triggered_tags";
      triggers: readonly string[];
      tags: readonly Tag[];
      at_least_one?: boolean;
      stop_after_first?: boolean;
    }
  | { type: "tags_with_separator"; tags: readonly Tag[]; separator: string; at_least_one?: boolean; stop_after_first?: boolean };

export interface Tag {
  type: "tag";
  begin: string;
  content: TagFormat;
  end: string;
}

/** A grammar for one tokenizer. Any number of matchers, also at the same time; it needs no disposal. */
export interface CompiledGrammar {
  matcher(): TokenMatcher;
}

/** Follows one output. */
export interface TokenMatcher {
  /**
   * Takes the token sampled last (null: there is none yet) and gives what may follow. One call at a time. Rejects when the
   * token is none that was allowed or the grammar cannot go on; the matcher is of no use then.
   */
  next(token: number | null): Promise<AllowedTokens>;
  /** May be called at any time, also twice. */
  dispose(): void;
}

export interface AllowedTokens {
  /** Bit `id & 31` of word `id >> 5` is set for the tokens that may follow, end tokens not among them. Null: any token. */
  mask: Int32Array | null;
  /** The output may end here. */
  mayEnd: boolean;
  /** Nothing may follow: the output is complete. */
  mustEnd: boolean;
}
