import { characterOfByte } from "./encoding/unicode.ts";
import { encodeUtf8 } from "./utf8.ts";

/**
 * How token texts become output, read from `decoder` in tokenizer.json: each token stands for bytes, the output is the UTF-8 text
 * of all bytes in a row, with a few characters stripped at its ends. This holds for every decoder that language models use.
 */
export interface DecodePlan {
  /** Bytes of a token, given as it stands in the vocabulary. */
  bytes(token: string, isAdded: boolean): Uint8Array;
  /** The same for the first token of an output. */
  firstBytes(token: string, isAdded: boolean): Uint8Array;
  /** Put between two tokens. */
  separator: Uint8Array;
  /** Up to `start` times `content` goes at the beginning of the output, up to `stop` times at its end. */
  strip: { content: string; start: number; stop: number };
}

interface DecoderConfig {
  type: string;
  decoders?: DecoderConfig[];
  pattern?: { String?: string; Regex?: string };
  content?: string;
  start?: number;
  stop?: number;
  replacement?: string;
  prepend_scheme?: string;
  add_prefix_space?: boolean;
  prefix?: string;
  cleanup?: boolean;
  suffix?: string;
}

type Bytes = (token: string, isAdded: boolean) => Uint8Array;

const noStrip = { content: " ", start: 0, stop: 0 };
const nothing = new Uint8Array(0);

/** The exact plan of a `decoder`, or null for one that needs more than a plan can say. */
export function planDecoding(config: unknown): DecodePlan | null {
  if (config === null || config === undefined) {
    return { bytes: encodeUtf8, firstBytes: encodeUtf8, separator: encodeUtf8(" "), strip: noStrip };
  }
  const steps = flattenSequence(config as DecoderConfig);
  if (steps[0]?.type === "ByteLevel") {
    const isPlain = steps.slice(1).every((step) => step.type === "Fuse");
    return isPlain ? { bytes: byteLevelBytes, firstBytes: byteLevelBytes, separator: nothing, strip: noStrip } : null;
  }
  if (steps.length === 1 && steps[0]?.type === "WordPiece") return planWordPiece(steps[0]);
  if (steps.length === 1 && steps[0]?.type === "BPEDecoder") return planSuffixed(steps[0].suffix ?? "</w>");
  return planTextSteps(steps);
}

/** A space before each token that does not go on with a word; as Rust does it, the clean-up sees one token at a time. */
function planWordPiece({ prefix = "##", cleanup = true }: DecoderConfig): DecodePlan {
  const clean = cleanup ? cleanUp : (text: string) => text;
  return {
    bytes: (token) => encodeUtf8(clean(prefix !== "" && token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`)),
    firstBytes: (token) => encodeUtf8(clean(token)),
    separator: nothing,
    strip: noStrip,
  };
}

/** A token with the suffix ends a word: a space follows, but for the last. */
function planSuffixed(suffix: string): DecodePlan {
  const bytes: Bytes = (token) => encodeUtf8(suffix === "" ? token : token.replaceAll(suffix, () => " "));
  return { bytes, firstBytes: bytes, separator: nothing, strip: { content: " ", start: 0, stop: 1 } };
}

function cleanUp(text: string): string {
  const pairs = [
    [" .", "."],
    [" ?", "?"],
    [" !", "!"],
    [" ,", ","],
    [" ' ", "'"],
    [" n't", "n't"],
    [" 'm", "'m"],
    [" do not", " don't"],
    [" 's", "'s"],
    [" 've", "'ve"],
    [" 're", "'re"],
  ] as const;
  return pairs.reduce((now, [from, to]) => now.replaceAll(from, to), text);
}

function flattenSequence(config: DecoderConfig): DecoderConfig[] {
  return config.type === "Sequence" ? (config.decoders ?? []).flatMap(flattenSequence) : [config];
}

/** Replacements on single tokens, then byte tokens, then one fused text that is stripped: anything else is no plan. */
function planTextSteps(steps: DecoderConfig[]): DecodePlan | null {
  const replacements: { from: string; to: string; firstTo: string }[] = [];
  let hasByteTokens = false;
  let isFused = false;
  let strip = noStrip;
  for (const step of steps) {
    if (step.type === "Replace" && step.pattern?.String && !hasByteTokens && !isFused) {
      const to = step.content ?? "";
      replacements.push({ from: step.pattern.String, to, firstTo: to });
    } else if (step.type === "Metaspace" && !hasByteTokens && !isFused) {
      const isPrepended = (step.prepend_scheme ?? "always") !== "never" && step.add_prefix_space !== false;
      replacements.push({ from: step.replacement ?? "▁", to: " ", firstTo: isPrepended ? "" : " " });
    } else if (step.type === "ByteFallback" && !hasByteTokens && !isFused) hasByteTokens = true;
    else if (step.type === "Fuse") isFused = true;
    else if (step.type === "Strip" && isFused && strip === noStrip && step.content?.length === 1) {
      strip = { content: step.content, start: step.start ?? 0, stop: step.stop ?? 0 };
    } else return null;
  }
  const toBytes =
    (target: "to" | "firstTo"): Bytes =>
    (token) => {
      let text = token;
      for (const replacement of replacements) text = text.replaceAll(replacement.from, () => replacement[target]);
      const byte = hasByteTokens ? parseByteToken(text) : null;
      return byte === null ? encodeUtf8(text) : Uint8Array.of(byte);
    };
  return { bytes: toBytes("to"), firstBytes: toBytes("firstTo"), separator: nothing, strip };
}

function parseByteToken(token: string): number | null {
  return /^<0x[0-9A-Fa-f]{2}>$/.test(token) ? Number.parseInt(token.slice(3, 5), 16) : null;
}

const byteOfCharacter = new Map(characterOfByte.map((character, byte) => [character.charCodeAt(0), byte]));

/** Added tokens, and tokens with a character outside the map, are plain text. */
function byteLevelBytes(token: string, isAdded: boolean): Uint8Array {
  if (isAdded) return encodeUtf8(token);
  const bytes = new Uint8Array(token.length);
  for (let index = 0; index < token.length; index++) {
    const byte = byteOfCharacter.get(token.charCodeAt(index));
    if (byte === undefined) return encodeUtf8(token);
    bytes[index] = byte;
  }
  return bytes;
}
