import type { Reading, Tool } from "./events.ts";
import type { Reader } from "./reader.ts";
import type { CallStructure } from "./structure.ts";
import type { Writer } from "./writer.ts";

/** What every part of a parser works with. */
export interface Context {
  readonly reader: Reader;
  readonly writer: Writer;
  /** What the request offers; a syntax that has no marks of its own takes no other names. */
  readonly tools: readonly Tool[];
}

/** Marks around reasoning. */
export interface ReasoningSyntax {
  readonly name: string;
  readonly begin: string;
  readonly end: string;
  /** It may begin in the middle of content as well; otherwise a mark there is content. */
  readonly anywhere?: boolean;
  /** Marks that say nothing more: they are left out of the content. */
  readonly dropped?: readonly string[];
  /** Special tokens that have to be in the text, where they are not the marks themselves. */
  readonly specialTokens?: readonly string[];
}

/** How a family of models writes tool calls. */
export interface ToolSyntax {
  readonly name: string;
  /** What a call, or a list of calls, begins with. */
  readonly begins: readonly string[];
  /** Special tokens of the vocabulary that have to be in the text. */
  readonly specialTokens?: readonly string[];
  /** Tokens that end an output with a call, where the model's own list of end tokens may lack them. */
  readonly endTokens?: readonly string[];
  /** What ends unfinished reasoning, because the model has forgotten to; it begins with one of `begins`. */
  readonly endsReasoning?: readonly string[];
  /** A call without a mark may be the first thing in an answer if that begins with one of these characters. */
  readonly bare?: string;
  /** What calls end with: a call that went wrong goes so far, and none of it is content right after a call. */
  readonly ends: readonly string[];
  /** For grammars. */
  readonly structure: CallStructure;
  /** Ids as the family's templates want them back. */
  readonly createId?: () => string;
  /**
   * Reads what follows a mark ("" for a bare call). False: it is no call. Then what was read since the last complete call becomes
   * content, or, with a call open, that call's text. What it could not read is left in the reader.
   */
  read(context: Context, begin: string): Reading<boolean>;
}

/** A format with messages of its own for reasoning, content and calls. */
export interface WholeSyntax {
  readonly name: string;
  readonly specialTokens: readonly string[];
  readonly endTokens: readonly string[];
  readonly structure: CallStructure;
  /** `prompt`: its end, which may be the beginning of a message. */
  read(context: Context, prompt: string): Reading<void>;
}

/** How one model writes its answers. */
export interface ChatFormat {
  /** Both jobs at once; the other two are null then. */
  readonly whole: WholeSyntax | null;
  readonly reasoning: ReasoningSyntax | null;
  readonly tools: ToolSyntax | null;
}

/** Ends a call that is complete. */
export function endCall({ reader, writer }: Context): void {
  writer.endCall();
  reader.record();
}
