import { isRecord } from "../tokenizer-config.ts";
import { compilePattern, readBehavior, splitAt } from "./patterns.ts";
import { classes, toByteCharacters } from "./unicode.ts";

/** Cuts a normalized text into what the model takes one by one. `atStart`: the text is the beginning of the whole. */
export type PreTokenize = (text: string, atStart: boolean) => Iterable<string>;

const space = new RegExp(`[${classes.space}]`, "gu");
const punctuation = new RegExp(`[${classes.punctuation}]`, "gu");
const number = new RegExp(`[${classes.number}]`, "gu");
const wordOrOther = new RegExp(`[${classes.word}]+|[^${classes.word}${classes.space}]+`, "gu");
const gpt2 =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/**
 * The `pre_tokenizer` of tokenizer.json, as Rust's tokenizers apply it. `isStart` is false for a text that goes on after
 * another: nothing is put in front of it. Throws for a type that is not known.
 */
export function readPreTokenizer(config: unknown, isStart: boolean): PreTokenize {
  if (config === null || config === undefined) return (text) => [text];
  if (!isRecord(config)) throw new Error("pre_tokenizer is not an object");
  switch (config.type) {
    case "Sequence": {
      const list = Array.isArray(config.pretokenizers) ? config.pretokenizers : [];
      return list.map((step) => readPreTokenizer(step, isStart)).reduce(chain, (text) => [text]);
    }
    case "ByteLevel":
      return readByteLevel(config, isStart);
    case "Metaspace":
      return readMetaspace(config, isStart);
    case "Split": {
      const pattern = compilePattern(config.pattern);
      const behavior = readBehavior(config.behavior, "Isolated");
      return (text) => splitAt(text, pattern, behavior, config.invert === true);
    }
    case "Whitespace":
      return (text) => splitAt(text, wordOrOther, "Removed", true);
    case "WhitespaceSplit":
      return (text) => splitAt(text, space, "Removed");
    case "BertPreTokenizer":
      return chain(
        (text) => splitAt(text, space, "Removed"),
        (text) => splitAt(text, punctuation, "Isolated"),
      );
    case "Punctuation": {
      const behavior = readBehavior(config.behavior, "Isolated");
      return (text) => splitAt(text, punctuation, behavior);
    }
    case "Digits":
      return (text) => splitAt(text, number, config.individual_digits === true ? "Isolated" : "Contiguous");
    case "CharDelimiterSplit": {
      const pattern = compilePattern({ String: config.delimiter });
      return (text) => splitAt(text, pattern, "Removed");
    }
    case "FixedLength": {
      const length = Math.max(1, Number(config.length) || 1);
      const pattern = new RegExp(`[\\s\\S]{1,${length}}`, "gu");
      return (text) => splitAt(text, pattern, "Isolated");
    }
    default:
      throw new Error(`unknown pre_tokenizer ${JSON.stringify(config.type)}`);
  }
}

function chain(first: PreTokenize, second: PreTokenize): PreTokenize {
  return function* (text, atStart) {
    let isFirst = atStart;
    for (const piece of first(text, atStart)) {
      yield* second(piece, isFirst);
      isFirst = false;
    }
  };
}

function readByteLevel(config: Record<string, unknown>, isStart: boolean): PreTokenize {
  const addsSpace = config.add_prefix_space === true && isStart;
  const splits = config.use_regex !== false;
  return function* (text) {
    const spaced = addsSpace && !text.startsWith(" ") ? ` ${text}` : text;
    if (splits) for (const piece of splitAt(spaced, gpt2, "Isolated")) yield toByteCharacters(piece);
    else yield toByteCharacters(spaced);
  };
}

function readMetaspace(config: Record<string, unknown>, isStart: boolean): PreTokenize {
  const mark = typeof config.replacement === "string" ? config.replacement : "▁";
  const scheme = config.add_prefix_space === false ? "never" : String(config.prepend_scheme ?? "always").toLowerCase();
  const splits = config.split !== false;
  const pattern = compilePattern({ String: mark });
  return (text, atStart) => {
    const marked = text.replaceAll(" ", () => mark);
    const prepends = isStart && (scheme === "always" || (scheme === "first" && atStart)) && !marked.startsWith(mark);
    const whole = prepends ? mark + marked : marked;
    return splits ? splitAt(whole, pattern, "MergedWithNext") : [whole];
  };
}
