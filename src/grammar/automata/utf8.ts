import { type CharSet, FIRST_SPECIAL, intersect, intervalsOf, LAST_CODE_POINT, MOST_SPECIALS } from "./char-set.ts";

/** One byte of these intervals, [low, high, …]. */
export type ByteSet = readonly number[];

/**
 * The texts of one character each, as sequences of bytes; the sets of one position are disjoint or equal. After utf8-ranges, by
 * Cox and Gallant. Special tokens are written as no text is, see `specialBytes`.
 */
export function byteSequences(set: CharSet): ByteSet[][] {
  const ascii = intersect(set, [0, 0x7f]);
  const byTail = new Map<string, { lead: number[]; tail: ByteSet[] }>();
  const add = ([lead, ...tail]: ByteSet[]) => {
    const name = tail.join(" ");
    const known = byTail.get(name);
    if (known) known.lead.push(...lead!);
    else byTail.set(name, { lead: [...lead!], tail });
  };
  for (const [low, high] of intervalsOf(intersect(set, [0x80, LAST_CODE_POINT]))) sequencesBetween(low, high).forEach(add);
  for (const [low, high] of intervalsOf(intersect(set, [FIRST_SPECIAL, FIRST_SPECIAL + MOST_SPECIALS - 1]))) {
    specialsBetween(low - FIRST_SPECIAL, high - FIRST_SPECIAL).forEach(add);
  }
  const others = [...byTail.values()].map(({ lead, tail }) => [joined(lead), ...tail]);
  return ascii.length > 0 ? [[ascii], ...others] : others;
}

/** How special token number n is written: a byte that UTF-8 does not have, and three of seven bits. */
export function specialBytes(number: number): number[] {
  return [0xff, 0x80 | (number >> 14), 0x80 | ((number >> 7) & 0x7f), 0x80 | (number & 0x7f)];
}

function specialsBetween(low: number, high: number): ByteSet[][] {
  for (const bits of [7, 14]) {
    const mask = (1 << bits) - 1;
    if ((low & ~mask) === (high & ~mask)) continue;
    if ((low & mask) !== 0) return [...specialsBetween(low, low | mask), ...specialsBetween((low | mask) + 1, high)];
    if ((high & mask) !== mask) return [...specialsBetween(low, (high & ~mask) - 1), ...specialsBetween(high & ~mask, high)];
  }
  const [first, last] = [specialBytes(low), specialBytes(high)];
  return [first.map((byte, i) => [byte, last[i]!])];
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
