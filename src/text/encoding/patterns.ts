import { SplitPreTokenizer } from "@huggingface/tokenizers";
import { isRecord } from "../tokenizer-config.ts";

/** What becomes of the matches of a pattern, by Rust's names. */
export const splitBehaviors = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"] as const;
export type SplitBehavior = (typeof splitBehaviors)[number];

/** A `pattern` of tokenizer.json, `{String}` or Oniguruma's `{Regex}`, as a global expression. Throws for one that JavaScript cannot do. */
export function compilePattern(pattern: unknown): RegExp {
  if (isRecord(pattern) && typeof pattern.String === "string") return new RegExp(escapeRegExp(pattern.String), "gu");
  if (isRecord(pattern) && typeof pattern.Regex === "string") {
    // The library translates Oniguruma's syntax.
    const { pattern: compiled } = new SplitPreTokenizer({ type: "Split", pattern: { Regex: pattern.Regex } } as never);
    if (compiled) return compiled;
  }
  throw new Error("a pattern is neither a String nor a Regex");
}

export function readBehavior(value: unknown, missing: SplitBehavior): SplitBehavior {
  if (value === undefined || value === null) return missing;
  const found = splitBehaviors.find((name) => name.toLowerCase() === String(value).toLowerCase().replaceAll("_", ""));
  if (!found) throw new Error(`unknown split behavior ${JSON.stringify(value)}`);
  return found;
}

interface Stretch {
  start: number;
  end: number;
  isMatch: boolean;
}

/** The parts of a text, cut at the matches; never an empty one. `pattern` must be global. */
export function* splitAt(text: string, pattern: RegExp, behavior: SplitBehavior, invert = false): Generator<string> {
  const stretches = findStretches(text, pattern, invert);
  const merged = behavior === "Isolated" || behavior === "Removed" ? stretches : merge([...stretches], behavior);
  for (const { start, end, isMatch } of merged) {
    if (start < end && !(isMatch && behavior === "Removed")) yield text.slice(start, end);
  }
}

function* findStretches(text: string, pattern: RegExp, invert: boolean): Generator<Stretch> {
  let at = 0;
  for (const match of text.matchAll(pattern)) {
    if (at < match.index) yield { start: at, end: match.index, isMatch: invert };
    at = match.index + match[0].length;
    yield { start: match.index, end: at, isMatch: !invert };
  }
  if (at < text.length) yield { start: at, end: text.length, isMatch: invert };
}

/** As `NormalizedString::split` of Rust's tokenizers joins them. */
function merge(stretches: Stretch[], behavior: SplitBehavior): Stretch[] {
  const backward = behavior === "MergedWithNext";
  const ordered = backward ? stretches.reverse() : stretches;
  const merged: Stretch[] = [];
  let wasMatch = false;
  for (const stretch of ordered) {
    const last = merged.at(-1);
    const joins = behavior === "Contiguous" ? stretch.isMatch === wasMatch : stretch.isMatch && !wasMatch;
    wasMatch = stretch.isMatch;
    if (!joins || !last) merged.push({ ...stretch, isMatch: false });
    else if (backward) last.start = stretch.start;
    else last.end = stretch.end;
  }
  return backward ? merged.reverse() : merged;
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/-]/g, (character) => (character === "-" ? "\\x2d" : `\\${character}`));
}
