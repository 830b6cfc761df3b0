import { InvalidRequest, StartupError } from "../errors.ts";
import { macrotask } from "../macrotask.ts";
import { type DecodePlan, planDecoding } from "./decode-plan.ts";
import { decodeByLibrary } from "./decoder-fallback.ts";
import { Encoder } from "./encoding/encoder.ts";
import type { Vocabulary } from "./encoding/vocabulary.ts";
import { convertSlowTokenizer, type SlowFiles } from "./slow-tokenizer.ts";
import { cutText } from "./text-cutter.ts";
import { readTokenizerJson, type TokenizerConfig, type TokenizerJson } from "./tokenizer-config.ts";
import { concatBytes, countIncompleteTail, decodeUtf8 } from "./utf8.ts";

export interface EncodeOptions {
  /** Adds BOS and the like, as tokenizer.json says. */
  addSpecialTokens: boolean;
}

export interface AsyncEncodeOptions extends EncodeOptions {
  maxTokens?: number;
  truncateTo?: number;
}

export interface TokenPiece {
  bytes: Uint8Array;
  /** The same as text, null when the bytes end within a character. */
  text: string | null;
}

/** About 2 ms of work. */
const pieceChars = 8192;
const maxBlockMilliseconds = 4;
const noBytes: TokenPiece = { bytes: new Uint8Array(0), text: "" };

export interface TokenizerFiles {
  tokenizerJson: unknown;
  tokenizerConfig: TokenizerConfig;
  /** Where there is no tokenizer.json. */
  slowTokenizer?: SlowFiles | null;
}

/** Makes a tokenizer from the parsed files of a model. Throws `StartupError` when they are missing or not supported. */
export function loadTokenizer({ tokenizerJson, tokenizerConfig, slowTokenizer }: TokenizerFiles): Tokenizer {
  const converted = tokenizerJson ?? (slowTokenizer && convertSlowTokenizer(slowTokenizer, tokenizerConfig));
  const json = readTokenizerJson(converted, tokenizerConfig);
  try {
    return new Tokenizer(json);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartupError(`tokenizer.json is not supported: ${reason}`, { cause: error });
  }
}

/** Text to token ids and back, as the tokenizer.json of a model says. Spaces are never "cleaned up" unless its decoder does. */
export class Tokenizer {
  /** One more than the highest token id. */
  readonly vocabSize: number;
  /** Null: the decoder of this model is left to the library. */
  readonly plan: DecodePlan | null;
  private readonly encoder: Encoder;
  private readonly vocabulary: Vocabulary;
  /** UTF-16 units of the longest token. */
  private readonly longestToken: number;
  private readonly addedIds: ReadonlySet<number>;
  private readonly specialIds: ReadonlySet<number>;
  private readonly pieces: (TokenPiece | undefined)[] = [];
  private readonly decodeTokens: (tokens: string[]) => string;
  /** False when an added token may lie across a word boundary, or words are counted from the beginning of the text. */
  private readonly canCut: boolean;

  constructor(json: TokenizerJson) {
    this.encoder = new Encoder(json);
    this.vocabulary = this.encoder.vocabulary;
    this.plan = planDecoding(json.decoder);
    this.decodeTokens = this.plan ? (tokens) => tokens.join("") : decodeByLibrary(json.decoder);
    const { added } = this.encoder;
    this.addedIds = new Set(added.map((token) => token.id));
    this.specialIds = new Set(added.filter((token) => token.special).map((token) => token.id));
    this.vocabSize = this.vocabulary.size;
    this.longestToken = this.vocabulary.longest();
    const countsFromStart = JSON.stringify(json.pre_tokenizer).includes('"FixedLength"');
    this.canCut = !countsFromStart && added.every((token) => !/[ \n]\p{L}/u.test(token.content));
  }

  /** Token ids of a text. Special tokens written in it are recognised; a lone surrogate counts as U+FFFD. */
  encode(text: string, options: EncodeOptions): number[] {
    const ids: number[] = [];
    for (const _ of this.encodePiece(text.toWellFormed(), true, ids));
    return this.frame(ids, options);
  }

  /**
   * The same ids as `encode`, without blocking the event loop for more than a few milliseconds. A text that has far more than
   * `maxTokens` is an `InvalidRequest` as soon as that is clear. With `truncateTo` so many tokens are made at most, those around
   * the text included: the text loses its end.
   */
  async encodeAsync(text: string, options: AsyncEncodeOptions): Promise<number[]> {
    const { truncateTo } = options;
    const most = 2 * ((truncateTo === undefined ? options.maxTokens : undefined) ?? Number.POSITIVE_INFINITY);
    const room = truncateTo === undefined ? Number.POSITIVE_INFINITY : this.roomIn(truncateTo, options);
    const check = (atLeast: number) => {
      if (atLeast <= most) return;
      const message = `This model's maximum context length is ${options.maxTokens} tokens, but the prompt has more than ${most}.`;
      throw new InvalidRequest(message, null, "context_length_exceeded");
    };
    check(text.length / this.longestToken);
    const ids: number[] = [];
    let begun = performance.now();
    let isStart = true;
    for (const piece of this.cut(text.toWellFormed())) {
      for (const _ of this.encodePiece(piece, isStart, ids)) {
        if (performance.now() - begun < maxBlockMilliseconds) continue;
        check(ids.length);
        await macrotask();
        begun = performance.now();
      }
      isStart = false;
      if (ids.length >= room) break;
    }
    if (ids.length > room) ids.length = room;
    return this.frame(ids, options);
  }

  /** Text of token ids. Ids without a token are left out; broken UTF-8 becomes U+FFFD. */
  decode(ids: readonly number[], options: { skipSpecialTokens: boolean }): string {
    const kept = ids.filter((id) => this.isDecoded(id, options.skipSpecialTokens));
    if (kept.length === 0) return "";
    if (!this.plan) return this.decodeTokens(kept.map((id) => this.vocabulary.tokenOf(id)!));
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
    const token = this.vocabulary.tokenOf(id);
    if (token === undefined) return noBytes.bytes;
    return (this.plan ?? fallbackPlan).bytes(token, this.addedIds.has(id));
  }

  /** The id of a token as it stands in the vocabulary (`<|im_end|>`), not of a text. */
  tokenId(token: string): number | undefined {
    return this.vocabulary.idOf(token);
  }

  isSpecial(id: number): boolean {
    return this.specialIds.has(id);
  }

  /** Whether `decode` lets this id through. */
  isDecoded(id: number, skipSpecialTokens: boolean): boolean {
    return this.vocabulary.tokenOf(id) !== undefined && !(skipSpecialTokens && this.specialIds.has(id));
  }

  /** What a token adds to an output, separator included. Only with a plan, and for ids that are decoded. */
  decodePiece(id: number, isFirst: boolean): TokenPiece {
    if (!this.plan) return noBytes;
    if (!isFirst) {
      this.pieces[id] ??= describe(concatBytes([this.plan.separator, this.tokenBytes(id)]));
      return this.pieces[id];
    }
    const token = this.vocabulary.tokenOf(id);
    return token === undefined ? noBytes : describe(this.plan.firstBytes(token, this.addedIds.has(id)));
  }

  private *encodePiece(text: string, isStart: boolean, ids: number[]): Generator<void> {
    try {
      yield* this.encoder.encode(text, isStart, ids);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new InvalidRequest(`the text cannot be tokenized: ${reason}`);
    }
  }

  private roomIn(count: number, { addSpecialTokens }: EncodeOptions): number {
    const { prefix, suffix } = this.encoder.frame;
    return Math.max(0, addSpecialTokens ? count - prefix.length - suffix.length : count);
  }

  private frame(ids: number[], options: EncodeOptions): number[] {
    const { prefix, suffix } = this.encoder.frame;
    if (!options.addSpecialTokens || prefix.length + suffix.length === 0) return ids;
    return [...prefix].concat(ids, suffix);
  }

  private cut(text: string): Iterable<string> {
    if (text.length <= 2 * pieceChars || !this.canCut) return [text];
    return cutText(text, pieceChars, (before, after) => this.isCleanCut(before, after));
  }

  private isCleanCut(before: string, after: string): boolean {
    if (this.encoder.endsInToken(before)) return false;
    const words = (text: string, isStart: boolean) => [...this.encoder.splitWords(text, isStart)];
    const whole = words(before + after, true);
    const halves = [...words(before, true), ...words(after, false)];
    return whole.length === halves.length && whole.every((word, index) => word === halves[index]);
  }
}

const fallbackPlan = planDecoding(null)!;

function describe(bytes: Uint8Array): TokenPiece {
  return { bytes, text: countIncompleteTail(bytes) > 0 ? null : decodeUtf8(bytes) };
}
