/** Drives a model step by step without the engine: what the parity tests compare logits with. */
import { openBatch } from "../../src/engine/forward.ts";
import { KvPool } from "../../src/kv/pool.ts";
import { rowBytes } from "../../src/kv/row-size.ts";
import { RowTable, sizeClasses } from "../../src/kv/rows.ts";
import { evaluate, readFloats, scope } from "../../src/mlx/array.ts";
import { DTYPES } from "../../src/mlx/dtype.ts";
import * as mx from "../../src/mlx/ops.ts";
import type { LoadedModel } from "../../src/models/load.ts";

export interface DriverSpan {
  sequence: number;
  ids: readonly number[];
  /** Number of an adapter; none by default. */
  adapter?: number;
}

export class Driver {
  readonly #loaded: LoadedModel;
  readonly rows: RowTable;
  readonly pool: KvPool;
  readonly #lengths = new Map<number, number>();

  /** `smallestClass`: small ones make sequences change classes often. `span`: longest stretch, which is what windows have room for. */
  constructor(loaded: LoadedModel, smallestClass = 256, span = 128) {
    const { model, dtype } = loaded;
    const capacities = sizeClasses(model.contextLength, smallestClass);
    this.#loaded = loaded;
    this.rows = new RowTable({
      capacities,
      rowBytes: (capacity) => rowBytes(model.caches, dtype, capacity, span),
      budgetBytes: 2 ** 32,
    });
    this.pool = new KvPool(model.caches, capacities, dtype, { span });
  }

  /** Feeds tokens of several sequences in one pass; returns per span the logits [count, vocab] as one flat array each. */
  step(spans: readonly DriverSpan[]): Float32Array[] {
    return this.#step(spans, () => true, true);
  }

  /** As the engine does it: the logits [vocab] of the last tokens of those that are sampled, nothing of the others. */
  stepOutputs(spans: readonly DriverSpan[], sampled: (span: DriverSpan) => boolean): Float32Array[] {
    return this.#step(spans, sampled, false);
  }

  #step(spans: readonly DriverSpan[], sampled: (span: DriverSpan) => boolean, all: boolean): Float32Array[] {
    const planned = spans.map((span, index) => {
      const { sequence, ids, adapter = 0 } = span;
      const start = this.#lengths.get(sequence) ?? 0;
      if (!this.rows.ensure(sequence, start + ids.length, start)) throw new Error("no room");
      this.#lengths.set(sequence, start + ids.length);
      return {
        index,
        sequence,
        start,
        count: ids.length,
        pending: 0,
        sample: sampled(span),
        adapter,
        token: (position: number) => ids[position - start]!,
      };
    });
    const vocab = this.#loaded.model.vocabSize;
    const results: Float32Array[] = new Array(spans.length);
    scope(() => {
      const open = openBatch(planned, this.rows, this.pool, null, all);
      const logits = mx.contiguous(mx.astype(this.#loaded.model.forward(open.batch), DTYPES.float32));
      evaluate(logits, ...this.pool.changed());
      this.pool.settle();
      const values = readFloats(logits);
      let at = 0;
      for (const { index, count, sample } of open.spans) {
        const rows = all ? count : Number(sample);
        results[index] = values.slice(at * vocab, (at + rows) * vocab);
        at += rows;
      }
    });
    for (const { sequence, start, count } of planned) this.rows.advance(sequence, start + count);
    return results;
  }

  /** Says that the first tokens of a sequence are in its row already. */
  skipTo(sequence: number, length: number): void {
    this.#lengths.set(sequence, length);
  }

  leave(sequence: number): void {
    this.rows.remove(sequence);
    this.#lengths.delete(sequence);
  }

  free(): void {
    this.pool.free();
  }
}
