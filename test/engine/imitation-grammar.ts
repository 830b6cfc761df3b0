/** Grammars made of functions, as slow and as faulty as a test wants them. */
import type { AllowedTokens, CompiledGrammar, TokenMatcher } from "../../src/grammar/contract.ts";

export interface Behaviour {
  /** What may follow after these tokens: ids, or "any". */
  allow(tokens: readonly number[]): readonly number[] | "any";
  mayEnd?(tokens: readonly number[]): boolean;
  mustEnd?(tokens: readonly number[]): boolean;
  /** Milliseconds until the answer; none by default. */
  delay?(tokens: readonly number[]): number;
  /** After so many tokens the matcher throws. */
  failAfter?: number;
}

export interface ImitationGrammar extends CompiledGrammar {
  /** Matchers made, and those that are disposed of. */
  made: number;
  disposed: number;
  /** Tokens that matchers were given, in turn. */
  seen: number[][];
}

export function grammar(behaviour: Behaviour, vocabSize = 4096): ImitationGrammar {
  const result: ImitationGrammar = {
    made: 0,
    disposed: 0,
    seen: [],
    matcher: () => {
      result.made++;
      const tokens: number[] = [];
      result.seen.push(tokens);
      return matcher(behaviour, tokens, vocabSize, () => result.disposed++);
    },
  };
  return result;
}

function matcher(behaviour: Behaviour, tokens: number[], vocabSize: number, onDispose: () => void): TokenMatcher {
  let disposed = false;
  let busy = false;
  return {
    async next(token): Promise<AllowedTokens> {
      if (busy) throw new Error("two calls at a time");
      busy = true;
      if (token !== null) tokens.push(token);
      const ms = behaviour.delay?.(tokens) ?? 0;
      if (ms > 0) await Bun.sleep(ms);
      busy = false;
      if (disposed) throw new Error("disposed of");
      if (tokens.length === behaviour.failAfter) throw new Error("this matcher is broken");
      const ids = behaviour.allow(tokens);
      return {
        mask: ids === "any" ? null : bits(ids, vocabSize),
        mayEnd: behaviour.mayEnd?.(tokens) ?? false,
        mustEnd: behaviour.mustEnd?.(tokens) ?? false,
      };
    },
    dispose() {
      if (!disposed) onDispose();
      disposed = true;
    },
  };
}

export function bits(ids: readonly number[], vocabSize: number): Int32Array {
  const words = new Int32Array(Math.ceil(vocabSize / 32));
  for (const id of ids) words[id >> 5]! |= 1 << (id & 31);
  return words;
}
