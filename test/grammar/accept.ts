/** Checks texts against grammars, without tokens. */
import { Grammar, GrammarCompiler, GrammarMatcher, TokenizerInfo } from "@mlc-ai/web-xgrammar";
import { buildGrammar, problemOf } from "../../src/grammar/build.ts";
import type { GrammarSpec } from "../../src/grammar/contract.ts";

export interface Checker {
  /** Whether the whole text is one of the grammar's. */
  accepts(text: string | Uint8Array): boolean;
  dispose(): void;
}

export interface Refusal {
  problem: string;
}

let compiler: GrammarCompiler | null = null;

async function openCompiler(): Promise<GrammarCompiler> {
  compiler ??= await GrammarCompiler.createGrammarCompiler(await TokenizerInfo.createTokenizerInfo([]), false);
  return compiler;
}

/** What the grammar of a spec accepts, or why it is refused. */
export async function check(spec: GrammarSpec, specials: readonly string[] = []): Promise<Checker | Refusal> {
  let ebnf: string;
  try {
    const built = buildGrammar(spec, specials);
    ebnf = built.exact ?? built.masking;
  } catch (error) {
    const problem = problemOf(error);
    if (problem === null) throw error;
    return { problem };
  }
  const grammar = await Grammar.fromEBNF(ebnf);
  const compiled = await (await openCompiler()).compileGrammar(grammar);
  grammar.dispose();
  const matcher = await GrammarMatcher.createGrammarMatcher(compiled, undefined, true);
  return {
    accepts: (text) => {
      matcher.reset();
      // What becomes a std::string may be bytes.
      return matcher._acceptString(text as string) && matcher.isTerminated();
    },
    dispose: () => {
      matcher.dispose();
      compiled.dispose();
    },
  };
}

/** The same for a spec that has to be understood. */
export async function checker(spec: GrammarSpec, specials: readonly string[] = []): Promise<Checker> {
  const result = await check(spec, specials);
  if ("problem" in result) throw new Error(result.problem);
  return result;
}
