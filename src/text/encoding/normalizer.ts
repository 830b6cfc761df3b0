import { isRecord } from "../tokenizer-config.ts";
import { Charsmap } from "./charsmap.ts";
import { compilePattern } from "./patterns.ts";
import { classes, countLeadingSpace, lowercase, toByteCharacters, trailingSpaceStart } from "./unicode.ts";

export type Normalize = (text: string) => string;

const controls = /(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}\ufffd]/gu;
const space = new RegExp(`[${classes.space}]`, "gu");
const chinese =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;
// Both sets are those of SentencePiece's nmt rules.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed.
const nmtRemoved = /[\u0001-\u0008\u000b\u000e-\u001f\u007f\u008f\u009f]/g;
const nmtSpaces = /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g;

/**
 * The `normalizer` of tokenizer.json, as Rust's tokenizers apply it. `isStart` is false for a text that goes on after another:
 * nothing is put in front of it. Throws for a type that is not known.
 */
export function readNormalizer(config: unknown, isStart: boolean): Normalize {
  if (config === null || config === undefined) return (text) => text;
  if (!isRecord(config)) throw new Error("normalizer is not an object");
  switch (config.type) {
    case "Sequence": {
      const list = Array.isArray(config.normalizers) ? config.normalizers : [];
      const steps = list.map((step) => readNormalizer(step, isStart));
      return (text) => steps.reduce((now, step) => step(now), text);
    }
    case "NFC":
    case "NFD":
    case "NFKC":
    case "NFKD": {
      const form = config.type;
      return (text) => text.normalize(form);
    }
    case "Lowercase":
      return lowercase;
    case "StripAccents":
      return (text) => text.replace(/\p{M}/gu, "");
    case "Nmt":
      return (text) => text.replace(nmtRemoved, "").replace(nmtSpaces, " ");
    case "ByteLevel":
      return toByteCharacters;
    case "Prepend": {
      const prefix = String(config.prepend ?? "");
      return (text) => (isStart && text !== "" ? prefix + text : text);
    }
    case "Replace":
      return readReplace(config);
    case "Strip":
      return (text) =>
        text.slice(
          config.strip_left ? countLeadingSpace(text) : 0,
          config.strip_right ? Math.max(trailingSpaceStart(text), config.strip_left ? countLeadingSpace(text) : 0) : undefined,
        );
    case "Precompiled":
      return readPrecompiled(config);
    case "BertNormalizer":
      return readBert(config);
    default:
      throw new Error(`unknown normalizer ${JSON.stringify(config.type)}`);
  }
}

function readReplace(config: Record<string, unknown>): Normalize {
  const pattern = compilePattern(config.pattern);
  const content = String(config.content ?? "");
  // A function, so that a `$` in the content stands for itself.
  return (text) => text.replace(pattern, () => content);
}

function readPrecompiled(config: Record<string, unknown>): Normalize {
  const base64 = config.precompiled_charsmap;
  if (base64 === null || base64 === undefined || base64 === "") return (text) => text;
  const charsmap = new Charsmap(String(base64));
  return (text) => charsmap.normalize(text);
}

function readBert(config: Record<string, unknown>): Normalize {
  const isSet = (name: string) => config[name] !== false;
  const strips = typeof config.strip_accents === "boolean" ? config.strip_accents : isSet("lowercase");
  return (text) => {
    let now = text;
    // NUL is one of the controls.
    if (isSet("clean_text")) now = now.replace(controls, "").replace(space, " ");
    if (isSet("handle_chinese_chars")) now = now.replace(chinese, " $& ");
    if (strips) now = now.normalize("NFD").replace(/\p{Mn}/gu, "");
    return isSet("lowercase") ? lowercase(now) : now;
  };
}
