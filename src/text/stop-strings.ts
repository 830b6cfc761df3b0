export interface StopResult {
  /** Certain text: no part of it can belong to a stop string any more. */
  text: string;
  stopped: boolean;
  /** The stop string that was found. */
  stop?: string;
}

interface Pattern {
  stop: string;
  /** Knuth-Morris-Pratt failure lengths. */
  failure: Int32Array;
  /** How many characters of `stop` the text so far ends with. */
  matched: number;
}

/**
 * Finds stop strings in a text that comes in pieces. The stop string that is complete first wins (of two that end at the same
 * place the longer one), so the result does not depend on how the text is cut. Linear time, holds back no more than needed.
 */
export class StopMatcher {
  private readonly patterns: Pattern[];
  private held = "";
  private found: string | undefined;

  /** Empty strings never match. */
  constructor(stops: readonly string[]) {
    this.patterns = [...new Set(stops)]
      .filter((stop) => stop.length > 0)
      .map((stop) => ({ stop, failure: computeFailure(stop), matched: 0 }));
  }

  /** Takes the next piece. Once stopped, everything further is swallowed. */
  push(piece: string): StopResult {
    if (this.found !== undefined) return { text: "", stopped: true, stop: this.found };
    if (this.patterns.length === 0) return { text: piece, stopped: false };
    for (let index = 0; index < piece.length; index++) {
      const stop = this.advance(piece.charCodeAt(index));
      if (stop === undefined) continue;
      const text = (this.held + piece.slice(0, index + 1)).slice(0, -stop.length);
      this.found = stop;
      this.held = "";
      return { text, stopped: true, stop };
    }
    const all = this.held + piece;
    const kept = this.patterns.reduce((longest, pattern) => Math.max(longest, pattern.matched), 0);
    this.held = all.slice(all.length - kept);
    return { text: all.slice(0, all.length - kept), stopped: false };
  }

  /** What was held back; call it when the output ends. */
  flush(): string {
    const text = this.held;
    this.held = "";
    for (const pattern of this.patterns) pattern.matched = 0;
    return text;
  }

  private advance(code: number): string | undefined {
    let longest: string | undefined;
    for (const pattern of this.patterns) {
      const { stop, failure } = pattern;
      let matched = pattern.matched;
      while (matched > 0 && stop.charCodeAt(matched) !== code) matched = failure[matched - 1]!;
      if (stop.charCodeAt(matched) === code) matched++;
      pattern.matched = matched;
      if (matched === stop.length && stop.length > (longest?.length ?? 0)) longest = stop;
    }
    return longest;
  }
}

function computeFailure(stop: string): Int32Array {
  const failure = new Int32Array(stop.length);
  for (let index = 1, length = 0; index < stop.length; index++) {
    while (length > 0 && stop[index] !== stop[length]) length = failure[length - 1]!;
    if (stop[index] === stop[length]) length++;
    failure[index] = length;
  }
  return failure;
}
