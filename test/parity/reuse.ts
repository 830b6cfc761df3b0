/** Logits of sequences that take up what others have computed before them, against those of the first run. */
import { PrefixCache, type PrefixSequence } from "../../src/engine/prefix-cache.ts";
import { contentSizes } from "../../src/kv/row-size.ts";
import type { LoadedModel } from "../../src/models/load.ts";
import { Driver } from "./driver.ts";

const BLOCK = 8;
const CHUNK = 16;

class KnownSequence implements PrefixSequence {
  readonly id: number;
  readonly length: number;
  readonly promptLength: number;
  readonly maxLength: number;
  readonly prefixRoot = "root";
  readonly #ids: readonly number[];
  computed = 0;
  inFlight = 0;
  cachedTokens = 0;

  constructor(id: number, ids: readonly number[]) {
    this.id = id;
    this.#ids = ids;
    this.length = ids.length;
    this.promptLength = ids.length;
    this.maxLength = ids.length + 1;
  }

  token(position: number): number {
    return this.#ids[position]!;
  }
}

export interface Reuse {
  /** Largest difference of a logit after a reused prefix. */
  maxError: number;
  /** Tokens that were not computed again. */
  reused: number;
}

/** Runs each text cold, then again after all have left; then with another ending, which branches off in its middle. */
export async function runReused(loaded: LoadedModel, texts: readonly (readonly number[])[]): Promise<Reuse> {
  const driver = new Driver(loaded, BLOCK, CHUNK);
  const cache = new PrefixCache<KnownSequence>(driver.rows, driver.pool, {
    blockTokens: BLOCK,
    sizes: contentSizes(loaded.model.caches, loaded.dtype, BLOCK),
    limitBytes: 2 ** 30,
    budgetBytes: 2 ** 32,
  });
  let nextId = 0;
  let reused = 0;
  const run = async (ids: readonly number[], withCache: boolean): Promise<Float32Array[]> => {
    const sequence = new KnownSequence(nextId++, ids);
    const rows: Float32Array[] = new Array(ids.length);
    if (withCache) cache.enter(sequence);
    driver.rows.ensure(sequence.id, ids.length, 0);
    while (sequence.computed < ids.length) {
      sequence.computed += cache.reuse(sequence);
      await cache.restore();
      driver.skipTo(sequence.id, sequence.computed);
      const count = Math.min(CHUNK - 3, ids.length - sequence.computed, cache.spanLimit(sequence));
      const part = ids.slice(sequence.computed, sequence.computed + count);
      const logits = driver.step([{ sequence: sequence.id, ids: part }])[0]!;
      const vocab = loaded.model.vocabSize;
      part.forEach((_, i) => {
        rows[sequence.computed + i] = logits.slice(i * vocab, (i + 1) * vocab);
      });
      sequence.computed += count;
      await cache.publish([sequence]);
    }
    cache.leave(sequence);
    driver.leave(sequence.id);
    reused += sequence.cachedTokens;
    return rows;
  };
  try {
    let maxError = 0;
    for (const ids of texts) {
      const branched = [...ids.slice(0, -11), ...ids.slice(0, 11)];
      for (const [text, first] of [
        [ids, true],
        [branched, false],
      ] as const) {
        const cold = await run(text, false);
        if (first) await run(text, true);
        const warm = await run(text, true);
        warm.forEach((row, i) => {
          row.forEach((value, j) => {
            const error = Math.abs(value - cold[i]![j]!);
            if (!(error <= maxError)) maxError = Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
          });
        });
      }
    }
    return { maxError, reused };
  } finally {
    cache.clear();
    driver.free();
  }
}
