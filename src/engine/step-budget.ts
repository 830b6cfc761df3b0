/** How many prompt tokens may share a step with decoding rows, so that nobody's stream stalls. Pure; times in milliseconds. */
import type { PrefillLoad } from "./scheduler.ts";

/** A step with a prompt in it may take this many times as long as one without. */
const STRETCH = 2.5;
/** The same of one that is the last of them: it delays the streams by no more than several shorter ones would. */
const LAST_STRETCH = 4;
/** How much more one who waits for a first token counts than one who waits for a next one; in a crowd, as often as there are others. */
const CROWD_WEIGHT = 4;
/** Progress that a prompt always makes. */
const LEAST = 16;
/** After so many steps in a row with a prompt in them, one without shows anew what decoding alone takes. */
const STEPS_BETWEEN_PROBES = 64;
/** Weight of a new sample in the running means; costs that rise, as attention's do along a long prompt, are followed faster. */
const WEIGHT = 0.2;
const RISING_WEIGHT = 0.5;

export interface StepTiming {
  decodeTokens: number;
  prefillTokens: number;
  ms: number;
}

export class StepBudget {
  readonly #most: number;
  /** Of steps that only decode, and how many rows those had. */
  #decodeMs: number | null = null;
  #decodeRows = 0;
  /** What one token more in a step costs. */
  #msPerToken: number | null = null;
  #sinceProbe = 0;
  /** Prompt tokens of the step before: a long prompt is begun with little and at most doubled, until its cost is known. */
  #lastLimit = 0;

  /** `most`: tokens of a step at most. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Prompt tokens for the next step. */
  prefillLimit({ decoding, prompts, left }: PrefillLoad): number {
    const free = Math.max(0, this.#most - decoding);
    if (decoding === 0) return free;
    if (this.#decodeMs === null || this.#sinceProbe >= STEPS_BETWEEN_PROBES) {
      // Decoding has not been measured by itself yet, or long ago.
      this.#sinceProbe = 0;
      return 0;
    }
    this.#sinceProbe++;
    if (this.#msPerToken === null) return Math.min(free, LEAST);
    // Streams do not hold up a crowd that has nothing yet.
    const crowd = Math.max(1, (CROWD_WEIGHT * prompts * prompts) / decoding);
    const alone = Math.max(this.#decodeMs / 2, this.#decodeMs + (decoding - this.#decodeRows) * this.#msPerToken);
    const room = alone / this.#msPerToken;
    const fitting = Math.floor(room * (STRETCH - 1) * crowd);
    const last = left <= room * (LAST_STRETCH - 1) ? left : 0;
    const begun = Math.max(last, crowd > 1 ? fitting : Math.min(fitting, 2 * this.#lastLimit));
    this.#lastLimit = Math.min(free, Math.max(LEAST, begun));
    return this.#lastLimit;
  }

  /** What a step took, from the end of the one before it. */
  record({ decodeTokens, prefillTokens, ms }: StepTiming): void {
    if (prefillTokens === 0) {
      this.#decodeMs = decodeTokens === this.#decodeRows ? blend(this.#decodeMs, ms) : ms;
      this.#decodeRows = decodeTokens;
      this.#sinceProbe = 0;
      this.#lastLimit = 0;
      return;
    }
    // Beyond the rows that were measured alone, every token counts the same.
    const known = decodeTokens === 0 || this.#decodeMs === null ? 0 : this.#decodeMs;
    const more = Math.max(1, prefillTokens + decodeTokens - (known > 0 ? this.#decodeRows : 0));
    this.#msPerToken = blend(this.#msPerToken, Math.max(ms - known, ms / 20) / more);
  }
}

/** Running mean; one sample moves it up by a factor of two at most, as a hiccup of the machine is not the model's speed. */
function blend(mean: number | null, sample: number): number {
  if (mean === null) return sample;
  return mean + (sample > mean ? RISING_WEIGHT : WEIGHT) * (Math.min(sample, 2 * mean) - mean);
}
