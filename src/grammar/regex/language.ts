/** The languages of patterns. */
import { type Dfa, difference, EMPTY, EVERYTHING, intersection, union } from "../automata/dfa.ts";
import { buildDfa } from "./nfa.ts";
import { parseRegex } from "./parser.ts";
import type { RegexNode } from "./syntax.ts";

/** Texts in which the pattern matches somewhere, as JSON Schema means it. Throws `RegexProblem` or `TooComplex`. */
export function textsWithMatch(pattern: string): Dfa {
  return languageOf(parseRegex(pattern), { before: true, after: true });
}

/** Texts that the pattern matches from the first character to the last. Throws `RegexProblem` or `TooComplex`. */
export function textsMatched(pattern: string): Dfa {
  return languageOf(parseRegex(pattern), { before: false, after: false });
}

function languageOf(node: RegexNode, search: { before: boolean; after: boolean }): Dfa {
  const options = node.type === "choice" ? node.options : [node];
  if (!options.some(beginsWithLookahead)) return buildDfa(node, search);
  return options.map((option) => optionLanguage(option, search)).reduce(union, EMPTY);
}

/** Lookahead at the beginning of a text is a second language that the text is in, or is not. */
function optionLanguage(option: RegexNode, search: { before: boolean; after: boolean }): Dfa {
  if (!beginsWithLookahead(option)) return buildDfa(option, search);
  const items = option.type === "sequence" ? [...option.items] : [option];
  const anchored = items[0]?.type === "start";
  if (anchored) items.shift();
  // Without an anchor a search could begin anywhere: then the lookahead is refused where the automaton is built.
  if (!anchored && search.before) return buildDfa(option, search);
  let within = EVERYTHING;
  while (items[0]?.type === "lookahead") {
    const { node, negative } = items.shift() as Extract<RegexNode, { type: "lookahead" }>;
    const ahead = buildDfa(node, { before: false, after: true });
    within = negative ? difference(within, ahead) : intersection(within, ahead);
  }
  return intersection(buildDfa({ type: "sequence", items }, { before: false, after: search.after }), within);
}

function beginsWithLookahead(node: RegexNode): boolean {
  const items = node.type === "sequence" ? node.items : [node];
  return (items[0]?.type === "start" ? items[1] : items[0])?.type === "lookahead";
}
