/**
 * xgrammar, compiled to WebAssembly: what is used of it, without its leaks. It ends by "aborting" on mistakes, after which nothing
 * of it may be used; what it wanted to say then goes to the console, which in a worker nobody reads but this module.
 */
import { type CompiledGrammar, Grammar, GrammarCompiler, GrammarMatcher, TokenizerInfo } from "@mlc-ai/web-xgrammar";

let said = "";
let memory: WebAssembly.Memory | null = null;

/** To be called first, once a worker. */
export function prepareXgrammar(): void {
  console.error = (...parts: unknown[]) => {
    said = parts.join(" ");
  };
  console.warn = () => {};
  type Instantiate = (source: Uint8Array, imports?: unknown) => Promise<{ instance: WebAssembly.Instance }>;
  const instantiate = WebAssembly.instantiate as unknown as Instantiate;
  // The package does not tell how much memory it holds.
  const watching: Instantiate = async (source, imports) => {
    const result = await instantiate(source, imports);
    memory ??= Object.values(result.instance.exports).find((value) => value instanceof WebAssembly.Memory) ?? null;
    return result;
  };
  WebAssembly.instantiate = watching as unknown as typeof WebAssembly.instantiate;
}

export function memoryBytes(): number {
  return memory?.buffer.byteLength ?? 0;
}

/** Aborted: the message is what was said before. */
export class XgrammarAbort extends Error {
  override readonly name = "XgrammarAbort";
}

async function guarded<T>(run: () => T | Promise<T>): Promise<T> {
  said = "";
  try {
    return await run();
  } catch (error) {
    const reason = said.replace(/^.*\.cc:\d+: /, "") || String(error);
    throw new XgrammarAbort(reason, { cause: error });
  }
}

export interface Compiled {
  handle: CompiledGrammar;
  dispose(): void;
}

export interface Matcher {
  /** int32: bits of the tokens that may follow. */
  mask(): Promise<Int32Array>;
  accept(token: number): boolean;
  acceptBytes(bytes: Uint8Array): boolean;
  /** Takes back what the last call has accepted. */
  undo(): void;
  dispose(): void;
}

export class Xgrammar {
  readonly #compiler: GrammarCompiler;
  readonly #vocabularySize: number;

  private constructor(compiler: GrammarCompiler, vocabularySize: number) {
    this.#compiler = compiler;
    this.#vocabularySize = vocabularySize;
  }

  /** Tokens as GPT-2's vocabulary spells bytes; the last one stands for the end. None: only texts can be checked. */
  static open(tokens: readonly string[]): Promise<Xgrammar> {
    return guarded(async () => {
      const end = tokens.length > 0 ? [tokens.length - 1] : undefined;
      const info = await TokenizerInfo.createTokenizerInfo([...tokens], "byte_level", false, tokens.length, end);
      const compiler = await GrammarCompiler.createGrammarCompiler(info, false);
      info.dispose();
      return new Xgrammar(compiler, tokens.length);
    });
  }

  compile(ebnf: string): Promise<Compiled> {
    return guarded(async () => {
      const grammar = await Grammar.fromEBNF(ebnf);
      const handle = await this.#compiler.compileGrammar(grammar);
      grammar.dispose();
      return { handle, dispose: () => handle.dispose() };
    });
  }

  matcher({ handle }: Compiled): Promise<Matcher> {
    return guarded(async () => {
      const size = this.#vocabularySize;
      // The package asks the grammar for its tokenizer only to learn its size, and never gives that back.
      const source = { handle: handle.handle, tokenizerInfo: () => ({ getVocabSize: () => size }) } as unknown as CompiledGrammar;
      const matcher = await GrammarMatcher.createGrammarMatcher(source, undefined, size === 0);
      return {
        mask: () => guarded(() => matcher.getNextTokenBitmask()),
        accept: (token) => matcher.acceptToken(token),
        // What becomes a std::string may be bytes.
        acceptBytes: (bytes) => matcher._acceptString(bytes as unknown as string),
        undo: () => matcher.rollBack(1),
        dispose: () => matcher.dispose(),
      };
    });
  }
}
