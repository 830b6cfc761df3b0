/** SentencePiece's `precompiled_charsmap`: a double-array trie (darts-clone) from UTF-8 prefixes to their replacements. */
import { decodeUtf8, encodeUtf8 } from "../utf8.ts";

/** Characters that are each a grapheme of their own when another of them, or nothing, follows. */
const plain = "\\x20-\\x7e\\u00c0-\\u024f\\u0400-\\u045f\\u3041-\\u3096\\u30a1-\\u30fa\\u3400-\\u9fff\\uac00-\\ud7a3";
const runs = new RegExp(`[${plain}]+(?![^${plain}])`, "gu");
const longestWhole = 5;
const segmenter = new Intl.Segmenter("und", { granularity: "grapheme" });

export class Charsmap {
  private readonly units: Uint32Array;
  /** Replacements, each ended by a zero byte. */
  private readonly replacements: Uint8Array;
  /** What became of characters of the basic plane: undefined where not asked yet, null where they stay. */
  private readonly known: (string | null | undefined)[] = [];

  /** Throws when the blob is not one. */
  constructor(base64: string) {
    const blob = Uint8Array.fromBase64(base64);
    const size = blob.length < 4 ? 0 : new DataView(blob.buffer).getUint32(0, true);
    if (size === 0 || size % 4 !== 0 || 4 + size > blob.length) throw new Error("precompiled_charsmap is not valid");
    this.units = new Uint32Array(blob.slice(4, 4 + size).buffer);
    this.replacements = blob.slice(4 + size);
  }

  /** As Rust's `spm_precompiled` does it: short graphemes as a whole where they are known, else character by character. */
  normalize(text: string): string {
    let out = "";
    let at = 0;
    for (const run of text.matchAll(runs)) {
      out += this.normalizeGraphemes(text.slice(at, run.index)) + this.normalizePlain(run[0]);
      at = run.index + run[0].length;
    }
    return out + this.normalizeGraphemes(text.slice(at));
  }

  private normalizePlain(text: string): string {
    let out = "";
    let from = 0;
    for (let index = 0; index < text.length; index++) {
      const replacement = this.replaceCharacter(text[index]!);
      if (replacement === null) continue;
      out += text.slice(from, index) + replacement;
      from = index + 1;
    }
    return from === 0 ? text : out + text.slice(from);
  }

  private normalizeGraphemes(text: string): string {
    if (text === "") return "";
    let out = "";
    for (const { segment } of segmenter.segment(text)) {
      const bytes = encodeUtf8(segment);
      const whole = bytes.length <= longestWhole ? this.replace(bytes) : null;
      if (whole !== null) out += whole;
      else for (const character of segment) out += this.replaceCharacter(character) ?? character;
    }
    return out;
  }

  private replaceCharacter(character: string): string | null {
    if (character.length > 1) return this.replace(encodeUtf8(character));
    const code = character.charCodeAt(0);
    let found = this.known[code];
    if (found === undefined) {
      found = this.replace(encodeUtf8(character));
      this.known[code] = found;
    }
    return found;
  }

  /** What stands for the shortest known prefix, which is taken for the whole. */
  private replace(bytes: Uint8Array): string | null {
    let node = offsetOf(this.units[0]!);
    for (const byte of bytes) {
      if (byte === 0) return null;
      node ^= byte;
      const unit = this.units[node] ?? 0;
      if ((unit & 0x800000ff) >>> 0 !== byte) return null;
      node ^= offsetOf(unit);
      if (((unit >>> 8) & 1) === 1) return this.readReplacement((this.units[node] ?? 0) & 0x7fffffff);
    }
    return null;
  }

  private readReplacement(start: number): string {
    const end = this.replacements.indexOf(0, start);
    return decodeUtf8(this.replacements.subarray(start, end < 0 ? undefined : end));
  }
}

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}
