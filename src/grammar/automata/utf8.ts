import { type CharSet, intersect, intervalsOf } from "./char-set.ts";

/** One byte of these intervals, [low, high, …]. */
export type ByteSet = readonly number[];

/** The texts of one character each, as sequences of bytes; the sets of one position are disjoint or equal. After utf8-ranges, by Cox and Gallant. */
export function byteSequences(set: CharSet): ByteSet[][] {
  const ascii = intersect(set, [0, 0x7f]);
  const byTail = new Map<string, { lead: number[]; tail: ByteSet[] }>();
  for (const [low, high] of intervalsOf(intersect(set, [0x80, 0x10ffff]))) {
    for (const sequence of sequencesBetween(low, high)) {
      const [lead, ...tail] = sequence;
      const name = tail.join(" ");
      const known = byTail.get(name);
      if (!known) byTail.set(name, { lead: [...lead!], tail });
      else known.lead.push(...lead!);
    }
  }
  const others = [...byTail.values()].map(({ lead, tail }) => [joined(lead), ...tail]);
  return ascii.length > 0 ? [[ascii], ...others] : others;
}

/** Adjacent intervals as one. */
function joined(intervals: readonly number[]): ByteSet {
  const result: number[] = [];
  for (const [low, high] of intervalsOf(intervals).sort(([a], [b]) => a - b)) {
    if (result.length > 0 && result.at(-1)! + 1 >= low) result[result.length - 1] = high;
    else result.push(low, high);
  }
  return result;
}

/** Splits an interval where the length of the encoding changes, and where a continuation byte does not go through all its values. */
function sequencesBetween(low: number, high: number): ByteSet[][] {
  for (const last of [0x7f, 0x7ff, 0xffff]) {
    if (low <= last && high > last) return [...sequencesBetween(low, last), ...sequencesBetween(last + 1, high)];
  }
  for (const bits of [6, 12, 18]) {
    const mask = (1 << bits) - 1;
    if ((low & ~mask) === (high & ~mask)) continue;
    if ((low & mask) !== 0) return [...sequencesBetween(low, low | mask), ...sequencesBetween((low | mask) + 1, high)];
    if ((high & mask) !== mask) return [...sequencesBetween(low, (high & ~mask) - 1), ...sequencesBetween(high & ~mask, high)];
  }
  const [first, last] = [encode(low), encode(high)];
  return [first.map((byte, i) => [byte, last[i]!])];
}

function encode(code: number): number[] {
  return [...Buffer.from(String.fromCodePoint(code))];
}
