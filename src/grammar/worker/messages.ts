/** What the event loop and its workers say to each other. */
import type { GrammarSpec } from "../contract.ts";
import type { PackedVocabulary } from "../vocabulary.ts";

export type ToWorker =
  | {
      type: "start";
      vocabulary: PackedVocabulary /** int32 [1]: the matcher that is at work, -1 for none. */;
      busy: SharedArrayBuffer;
    }
  | { type: "compile"; grammar: number; spec: GrammarSpec }
  | { type: "forget"; grammar: number }
  /** A matcher that has taken these tokens; its masks are written to `mask`, int32 [words]. */
  | { type: "open"; matcher: number; grammar: number; tokens: readonly number[]; mask: SharedArrayBuffer }
  | { type: "step"; steps: readonly (readonly [matcher: number, token: number])[] }
  | { type: "close"; matcher: number };

export type FromWorker =
  | { type: "ready" }
  /** `problem`: why the client's grammar cannot be had. `broken`: the worker is of no use any more. */
  | { type: "compiled"; grammar: number; problem: string | null; memoryBytes: number; broken: boolean }
  | { type: "stepped"; results: readonly StepResult[] }
  | { type: "failed"; matcher: number; reason: string; broken: boolean }
  /** The grammar of a matcher that was to be opened has been forgotten. */
  | { type: "unknown"; matcher: number };

export type StepResult = readonly [matcher: number, state: number];

/** Bits of a step's state. */
export const MAY_END = 1;
export const MUST_END = 2;

/** Words of a mask: one bit more than there are tokens, for the end. */
export function maskWords(vocabularySize: number): number {
  return Math.ceil((vocabularySize + 1) / 32);
}
