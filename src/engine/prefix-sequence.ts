/** What the prefix cache sees of a sequence, and notes of it. */
import { blockKey } from "../prefix/keys.ts";
import type { ArrayPayload } from "./array-payload.ts";
import type { Schedulable } from "./scheduler.ts";

export interface PrefixSequence extends Schedulable {
  readonly promptLength: number;
  /** Under which its blocks are kept: equal for those that may share. */
  readonly prefixRoot: string;
  /** Prompt tokens that were taken from the cache, and not computed here before. */
  cachedTokens: number;
  /** Token id at a position; null while it is in flight. */
  token(position: number): number | null;
}

export interface Tracked {
  /** Of its blocks as far as their tokens are known. */
  keys: string[];
  /** Blocks that are in the cache or have been given up. */
  done: number;
  /** A state whose block's tokens are not known yet. */
  pending: { blocks: number; state: ArrayPayload } | null;
  /** Block whose state was kept last while decoding: the next one takes its place. */
  lastState: string | null;
  /** The last block could not be kept: nobody need wait for those to come. */
  givenUp: boolean;
  /** The most tokens that it has had in its row. */
  reached: number;
}

export const track = (): Tracked => ({ keys: [], done: 0, pending: null, lastState: null, givenUp: false, reached: 0 });

/** Adds the keys of whole blocks whose tokens are known by now, so many of them at most. True when there are more. */
export function extendKeys(
  sequence: PrefixSequence,
  { keys }: Tracked,
  blockTokens: number,
  most = Number.POSITIVE_INFINITY,
): boolean {
  const known = Math.floor((sequence.length - sequence.inFlight) / blockTokens);
  const end = Math.min(known, keys.length + most);
  const tokens = new Int32Array(blockTokens);
  while (keys.length < end) {
    const first = keys.length * blockTokens;
    for (let i = 0; i < blockTokens; i++) tokens[i] = sequence.token(first + i)!;
    keys.push(blockKey(keys.at(-1) ?? sequence.prefixRoot, tokens));
  }
  return end < known;
}
