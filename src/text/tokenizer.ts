import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { InvalidRequest, StartupError } from "../errors.ts";
import { type DecodePlan, planDecoding } from "./decode-plan.ts";
import { cutText } from "./text-cutter.ts";
import { readTokenizerJson, type TokenizerConfig, type TokenizerJson } from "./tokenizer-config.ts";
import { concatBytes, countIncompleteTail, decodeUtf8 } from "./utf8.ts";
import { canSplitWords, WordSplitter } from "./word-splitter.ts";

export interface EncodeOptions {
  /** Adds BOS and the like, as tokenizer.json says. */
  addSpecialTokens: boolean;
}

export interface TokenPiece {
  bytes: Uint8Array;
  /** The same as text, null when the bytes end within a character. */
  text: string | null;
}

/** About 3 ms of work. */
const pieceChars = 8192;
const maxBlockMilliseconds = 5;
const noBytes: TokenPiece = { bytes: new Uint8Array(0), text: "" };

/** Makes a tokenizer from the parsed files of a model. Throws `StartupError` when they are missing or not supported. */
export function loadTokenizer(files: { tokenizerJson: unknown; tokenizerConfig: TokenizerConfig }): Tokenizer {
  const json = readTokenizerJson(files.tokenizerJson, files.tokenizerConfig);
  try {
    return new Tokenizer(json, files.tokenizerConfig);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartupError(`tokenizer.json is not supported: ${reason}`, { cause: error });
  }
}

/** Text to token ids and back, as the tokenizer.json of a model says. Spaces are never "cleaned up" when decoding. */
export class Tokenizer {
  /** One more than the highest token id. */
  readonly vocabSize: number;
  /** Null: the decoder of this model is left to the library. */
  readonly plan: DecodePlan | null;
  /** Characters of the longest token. */
  private readonly longestToken: number;
  private readonly library: LibraryTokenizer;
  private readonly addedIds: ReadonlySet<number>;
  private readonly specialIds: ReadonlySet<number>;
  private readonly pieces: (TokenPiece | undefined)[] = [];
  private readonly prefix: number[];
  private readonly suffix: number[];
  /** False when an added token may lie across a word boundary. */
  private readonly canCut: boolean;
  private readonly rightStripping: string[];

  constructor(json: TokenizerJson, config: TokenizerConfig) {
    this.library = new LibraryTokenizer(json, config);
    if (canSplitWords(json.model)) this.library.pre_tokenizer = new WordSplitter(this.library.pre_tokenizer);
    this.plan = planDecoding(json.decoder);
    this.addedIds = new Set(json.added_tokens.map((token) => token.id));
    this.specialIds = new Set(json.added_tokens.filter((token) => token.special).map((token) => token.id));
    this.vocabSize = this.library.model?.vocab.length ?? 0;
    this.longestToken = (this.library.model?.vocab ?? []).reduce((most, token) => Math.max(most, token?.length ?? 0), 1);
    [this.prefix, this.suffix] = this.readFrame();
    this.canCut = json.added_tokens.every((token) => !/[ \n]\p{L}/u.test(token.content));
    this.rightStripping = json.added_tokens.filter((token) => token.rstrip).map((token) => token.content);
  }

  /** Token ids of a text. Special tokens written in it are recognised; a lone surrogate counts as U+FFFD. */
  encode(text: string, options: EncodeOptions): number[] {
    return this.frame(this.encodePiece(text.toWellFormed()), options);
  }

  /**
   * The same ids as `encode`, without blocking the event loop for long where the text has places to cut. A text that has
   * far more than `maxTokens` is an `InvalidRequest` as soon as that is clear.
   */
  async encodeAsync(text: string, options: EncodeOptions & { maxTokens?: number }): Promise<number[]> {
    const most = 2 * (options.maxTokens ?? Number.POSITIVE_INFINITY);
    const check = (atLeast: number) => {
      if (atLeast <= most) return;
      const message = `This model's maximum context length is ${options.maxTokens} tokens, but the prompt has more than ${most}.`;
      throw new InvalidRequest(message, null, "context_length_exceeded");
    };
    check(text.length / this.longestToken);
    if (text.length <= 2 * pieceChars || !this.canCut) return this.encode(text, options);
    const ids: number[] = [];
    let begun = performance.now();
    for (const piece of cutText(text.toWellFormed(), pieceChars, (before, after) => this.isCleanCut(before, after))) {
      for (const id of this.encodePiece(piece)) ids.push(id);
      check(ids.length);
      if (performance.now() - begun < maxBlockMilliseconds) continue;
      await new Promise((resolve) => setImmediate(resolve));
      begun = performance.now();
    }
    return this.frame(ids, options);
  }

  /** Text of token ids. Ids without a token are left out; broken UTF-8 becomes U+FFFD. */
  decode(ids: readonly number[], options: { skipSpecialTokens: boolean }): string {
    const kept = ids.filter((id) => this.isDecoded(id, options.skipSpecialTokens));
    if (kept.length === 0) return "";
    if (!this.plan) return this.library.decode(kept, { skip_special_tokens: false, clean_up_tokenization_spaces: false });
    const bytes = concatBytes(kept.map((id, index) => this.decodePiece(id, index === 0).bytes));
    const { content, start, stop } = this.plan.strip;
    const text = decodeUtf8(bytes);
    let from = 0;
    let to = text.length;
    while (from < start && text[from] === content) from++;
    while (to > from && text.length - to < stop && text[to - 1] === content) to--;
    return text.slice(from, to);
  }

  /** The bytes that one token stands for inside a text; none for an id without a token. */
  tokenBytes(id: number): Uint8Array {
    const token = this.library.id_to_token(id);
    if (token === undefined) return noBytes.bytes;
    return (this.plan ?? fallbackPlan).bytes(token, this.addedIds.has(id));
  }

  /** The id of a token as it stands in the vocabulary (`<|im_end|>`), not of a text. */
  tokenId(token: string): number | undefined {
    return this.library.token_to_id(token);
  }

  isSpecial(id: number): boolean {
    return this.specialIds.has(id);
  }

  /** Whether `decode` lets this id through. */
  isDecoded(id: number, skipSpecialTokens: boolean): boolean {
    return this.library.id_to_token(id) !== undefined && !(skipSpecialTokens && this.specialIds.has(id));
  }

  /** What a token adds to an output, separator included. Only with a plan, and for ids that are decoded. */
  decodePiece(id: number, isFirst: boolean): TokenPiece {
    if (!this.plan) return noBytes;
    if (!isFirst) {
      this.pieces[id] ??= describe(concatBytes([this.plan.separator, this.tokenBytes(id)]));
      return this.pieces[id];
    }
    const token = this.library.id_to_token(id);
    return token === undefined ? noBytes : describe(this.plan.firstBytes(token, this.addedIds.has(id)));
  }

  private encodePiece(text: string): number[] {
    try {
      const { ids } = this.library.encode(text, { add_special_tokens: false });
      // The library gives undefined for a character that neither the vocabulary nor an unknown token covers.
      return ids.filter((id) => id !== undefined);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new InvalidRequest(`the text cannot be tokenized: ${reason}`);
    }
  }

  private frame(ids: number[], options: EncodeOptions): number[] {
    if (!options.addSpecialTokens || this.prefix.length + this.suffix.length === 0) return ids;
    return this.prefix.concat(ids, this.suffix);
  }

  /** What the post-processor puts around every text. */
  private readFrame(): [number[], number[]] {
    const probe = "a";
    const bare = this.library.encode(probe, { add_special_tokens: false }).ids;
    const framed = this.library.encode(probe, { add_special_tokens: true }).ids;
    const extra = framed.length - bare.length;
    for (let start = extra; start >= 0; start--) {
      if (bare.every((id, index) => framed[start + index] === id)) {
        return [framed.slice(0, start), framed.slice(start + bare.length)];
      }
    }
    throw new Error("the post_processor does more than putting tokens around a text");
  }

  private isCleanCut(before: string, after: string): boolean {
    if (this.rightStripping.some((token) => before.endsWith(token))) return false;
    const whole = this.splitWords(before + after);
    const halves = [...this.splitWords(before), ...this.splitWords(after)];
    return whole.length === halves.length && whole.every((word, index) => word === halves[index]);
  }

  private splitWords(text: string): string[] {
    const { normalizer, pre_tokenizer } = this.library;
    const normalized = normalizer ? normalizer.normalize(text) : text;
    return pre_tokenizer ? pre_tokenizer.pre_tokenize(normalized, { section_index: 0 }) : [normalized];
  }
}

const fallbackPlan = planDecoding(null)!;

function describe(bytes: Uint8Array): TokenPiece {
  return { bytes, text: countIncompleteTail(bytes) > 0 ? null : decodeUtf8(bytes) };
}
