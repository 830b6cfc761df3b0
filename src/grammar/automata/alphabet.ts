import { ANY_CHAR, type CharSet, charSet, hasChar, intervalsOf } from "./char-set.ts";

/**
 * All characters of texts, sorted into classes: those of one class are told apart by nothing that the alphabet was made for.
 * A table of transitions has one column a class.
 */
export class Alphabet {
  /** Begin of each stretch of characters of one class, ascending. */
  readonly starts: readonly number[];
  readonly #ends: readonly number[];
  /** Class of each stretch. */
  readonly classes: readonly number[];
  readonly width: number;

  private constructor(starts: readonly number[], ends: readonly number[], classes: readonly number[], width: number) {
    this.starts = starts;
    this.#ends = ends;
    this.classes = classes;
    this.width = width;
  }

  /** The coarsest that tells apart what the sets tell apart. */
  static of(sets: readonly CharSet[]): Alphabet {
    return Alphabet.#partition(
      sets.flatMap((set) => intervalsOf(set).flatMap(([low, high]) => [low, high + 1])),
      (char) => sets.map((set) => (hasChar(set, char) ? "1" : "0")).join(""),
    );
  }

  /** The coarsest that tells apart what either of two tells apart. */
  static join(a: Alphabet, b: Alphabet): Alphabet {
    if (a === b) return a;
    return Alphabet.#partition([...a.starts, ...b.starts], (char) => `${a.classOf(char)},${b.classOf(char)}`);
  }

  /** The same characters with classes put together: `merged[class]` is the new class. */
  merge(merged: readonly number[], width: number): Alphabet {
    return new Alphabet(
      this.starts,
      this.#ends,
      this.classes.map((old) => merged[old]!),
      width,
    );
  }

  static #partition(cuts: readonly number[], signature: (char: number) => string): Alphabet {
    const starts: number[] = [];
    const ends: number[] = [];
    const classes: number[] = [];
    const names = new Map<string, number>();
    const sorted = [...new Set(cuts)].sort((a, b) => a - b);
    let at = 0;
    for (const [low, high] of intervalsOf(ANY_CHAR)) {
      while (at < sorted.length && sorted[at]! <= low) at++;
      for (let start = low; start <= high; ) {
        const end = at < sorted.length && sorted[at]! <= high ? sorted[at++]! - 1 : high;
        const name = signature(start);
        if (!names.has(name)) names.set(name, names.size);
        starts.push(start);
        ends.push(end);
        classes.push(names.get(name)!);
        start = end + 1;
      }
    }
    return new Alphabet(starts, ends, classes, names.size);
  }

  /** Class of a character; -1 for what is none of a text. */
  classOf(char: number): number {
    let low = 0;
    let high = this.starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.starts[middle]! <= char) low = middle;
      else high = middle - 1;
    }
    return char >= this.starts[low]! && char <= this.#ends[low]! ? this.classes[low]! : -1;
  }

  /** A character of each class. */
  samples(): number[] {
    const result: number[] = [];
    this.classes.forEach((name, i) => {
      result[name] ??= this.starts[i]!;
    });
    return result;
  }

  /** The characters of some classes. */
  charsOf(wanted: (name: number) => boolean): CharSet {
    return charSet(this.classes.flatMap((name, i) => (wanted(name) ? [[this.starts[i]!, this.#ends[i]!] as const] : [])));
  }

  /** Which classes a set covers; the alphabet must tell its characters from the others. */
  classesIn(set: CharSet): Set<number> {
    return new Set(this.classes.filter((_, i) => hasChar(set, this.starts[i]!)));
  }
}

export const WHOLE_ALPHABET = Alphabet.of([ANY_CHAR]);
