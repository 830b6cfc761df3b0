/** Sets of code points as sorted, disjoint intervals: [low, high, low, high, …], both ends included. */
export type CharSet = readonly number[];

export const LAST_CODE_POINT = 0x10ffff;

/** Every character of texts: all code points but the surrogates. */
export const ANY_CHAR: CharSet = [0, 0xd7ff, 0xe000, LAST_CODE_POINT];

/** Special tokens are characters of their own, beyond those of texts: number n is this plus n. */
export const FIRST_SPECIAL = LAST_CODE_POINT + 1;
export const MOST_SPECIALS = 1 << 18;

/** The union of intervals in any order, which may overlap. */
export function charSet(intervals: readonly (readonly [low: number, high: number])[]): CharSet {
  const sorted = intervals.filter(([low, high]) => low <= high).sort(([a], [b]) => a - b);
  const result: number[] = [];
  for (const [low, high] of sorted) {
    const last = result.length - 1;
    if (last > 0 && low <= result[last]! + 1) result[last] = Math.max(result[last]!, high);
    else result.push(low, high);
  }
  return result;
}

export function intervalsOf(set: CharSet): [low: number, high: number][] {
  return Array.from({ length: set.length / 2 }, (_, i) => [set[2 * i]!, set[2 * i + 1]!]);
}

export function unite(...sets: readonly CharSet[]): CharSet {
  return charSet(sets.flatMap(intervalsOf));
}

export function intersect(a: CharSet, b: CharSet): CharSet {
  const result: number[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const low = Math.max(a[i]!, b[j]!);
    const high = Math.min(a[i + 1]!, b[j + 1]!);
    if (low <= high) result.push(low, high);
    if (a[i + 1]! < b[j + 1]!) i += 2;
    else j += 2;
  }
  return result;
}

/** What is not in the set, special tokens included. */
export function complement(set: CharSet): CharSet {
  const result: number[] = [];
  let next = 0;
  for (const [low, high] of intervalsOf(set)) {
    if (low > next) result.push(next, low - 1);
    next = high + 1;
  }
  const last = FIRST_SPECIAL + MOST_SPECIALS - 1;
  if (next <= last) result.push(next, last);
  return result;
}

export function subtract(a: CharSet, b: CharSet): CharSet {
  return intersect(a, complement(b));
}

export function hasChar(set: CharSet, codePoint: number): boolean {
  let low = 0;
  let high = set.length / 2 - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (codePoint < set[2 * middle]!) high = middle - 1;
    else if (codePoint > set[2 * middle + 1]!) low = middle + 1;
    else return true;
  }
  return false;
}

export function charsOf(text: string): CharSet {
  return charSet([...text].map((char) => [char.codePointAt(0)!, char.codePointAt(0)!]));
}
