import type { Tokenizer } from "./tokenizer.ts";
import { concatBytes, countIncompleteTail, decodeUtf8 } from "./utf8.ts";

export interface DetokenizerOptions {
  /** Default true. */
  skipSpecialTokens?: boolean;
  /** Special tokens that are shown all the same. */
  shownIds?: ReadonlySet<number>;
}

/**
 * Token ids in, text out as soon as it is certain: whole characters only. All pieces together are `tokenizer.decode(ids)`, and a
 * token costs the same however long the output is. One per sequence.
 */
export class Detokenizer {
  private readonly tokenizer: Tokenizer;
  private readonly skipSpecialTokens: boolean;
  private readonly shownIds: ReadonlySet<number> | undefined;
  private isFirst = true;
  private pending: Uint8Array = new Uint8Array(0);
  private stripsLeft: number;
  private held = "";
  private readonly window: DecodeWindow | null;

  constructor(tokenizer: Tokenizer, options: DetokenizerOptions = {}) {
    this.tokenizer = tokenizer;
    this.skipSpecialTokens = options.skipSpecialTokens ?? true;
    this.shownIds = options.shownIds;
    this.stripsLeft = tokenizer.plan?.strip.start ?? 0;
    this.window = tokenizer.plan ? null : new DecodeWindow((ids) => tokenizer.decode(ids, { skipSpecialTokens: false }));
  }

  /** Text that this token makes certain; often empty in the middle of a character. */
  push(id: number): string {
    const isSkipped = this.skipSpecialTokens && !this.shownIds?.has(id);
    if (!this.tokenizer.isDecoded(id, isSkipped)) return "";
    if (this.window) return this.window.push(id);
    const piece = this.tokenizer.decodePiece(id, this.isFirst);
    this.isFirst = false;
    if (piece.text !== null && this.pending.length === 0) return this.strip(piece.text);
    const bytes = concatBytes([this.pending, piece.bytes]);
    const certain = bytes.length - countIncompleteTail(bytes);
    this.pending = bytes.slice(certain);
    return this.strip(decodeUtf8(bytes.subarray(0, certain)));
  }

  /** The rest, with U+FFFD for a character that was never finished; call it once, when the output ends. */
  flush(): string {
    if (this.window) return this.window.flush();
    const text = this.strip(decodeUtf8(this.pending), true);
    this.pending = new Uint8Array(0);
    return text;
  }

  private strip(piece: string, isLast = false): string {
    const rule = this.tokenizer.plan!.strip;
    let text = piece;
    while (this.stripsLeft > 0 && text.length > 0) {
      if (text[0] === rule.content) {
        text = text.slice(1);
        this.stripsLeft--;
      } else this.stripsLeft = 0;
    }
    if (rule.stop === 0) return text;
    text = this.held + text;
    let end = text.length;
    while (end > 0 && text.length - end < rule.stop && text[end - 1] === rule.content) end--;
    this.held = isLast ? "" : text.slice(end);
    return text.slice(0, end);
  }
}

/** No character needs more tokens than this; without a bound, endless invalid bytes would cost quadratic time. */
const maxOpenTokens = 16;

/**
 * For decoders without a plan: decodes a window of the last tokens with and without the new one and gives the difference, as vLLM
 * and text-generation-inference do. Exact wherever a token's text depends only on its close neighbours.
 */
class DecodeWindow {
  private readonly decode: (ids: number[]) => string;
  private ids: number[] = [];
  private readCount = 0;

  constructor(decode: (ids: number[]) => string) {
    this.decode = decode;
  }

  push(id: number): string {
    this.ids.push(id);
    const before = this.decode(this.ids.slice(0, this.readCount));
    const after = this.decode(this.ids);
    const isOpen = after.length <= before.length || after.endsWith("\ufffd");
    if (isOpen && this.ids.length - this.readCount < maxOpenTokens) return "";
    const text = after.slice(before.length);
    this.ids = this.ids.slice(this.readCount);
    this.readCount = this.ids.length;
    return text;
  }

  flush(): string {
    const before = this.decode(this.ids.slice(0, this.readCount));
    const text = this.decode(this.ids).slice(before.length);
    this.ids = [];
    this.readCount = 0;
    return text;
  }
}
