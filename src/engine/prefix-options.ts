/** What a prefix cache is told: how large its blocks are, and how much of them it may keep. */
import type { CacheSizes } from "../prefix/boundaries.ts";
import type { NewContent } from "./array-payload.ts";

export interface PrefixCacheOptions {
  blockTokens: number;
  sizes: CacheSizes;
  /** The most bytes; less when live rows need the memory. */
  limitBytes: number;
  /** Bytes that rows and blocks may have together. */
  budgetBytes: number;
  /** By how many bytes it may grow at this moment without holding up those that run; as it likes, by default. */
  growth?: () => number;
  /** Called when the copies have been computed; they live until it is done. It never rejects. */
  onKept?: (contents: readonly NewContent[]) => Promise<void>;
}
