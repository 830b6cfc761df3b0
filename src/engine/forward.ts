/** From a plan's spans to the batch that a model sees. */
import type { Batch, Span } from "../kv/cache.ts";
import { layOut } from "../kv/layout.ts";
import type { KvPool } from "../kv/pool.ts";
import type { RowTable } from "../kv/rows.ts";
import { ints } from "../mlx/array.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";

export interface ForwardSpan extends Span {
  /** Token id at a position of the sequence; null when it is still being computed: then `pending` says where. */
  token(position: number): number | null;
  /** Index into the previous step's sampled tokens. */
  pending: number;
  /** Number of its adapter, 0 for none. */
  adapter: number;
}

export interface OpenBatch<T> {
  batch: Batch;
  /** The spans in flat order. */
  spans: T[];
  /** First token of each span in the flat batch, in the same order. */
  offsets: number[];
}

/**
 * Lays the spans out and opens the caches for them. `previous` int32 [n]: tokens sampled by the step before, perhaps not
 * computed yet. `all`: logits of every token instead of those that are to be sampled from.
 */
export function openBatch<T extends ForwardSpan>(
  planned: readonly T[],
  rows: RowTable,
  pool: KvPool,
  previous: MxArray | null,
  all = false,
): OpenBatch<T> {
  pool.apply(rows.takeActions());
  const layout = layOut(planned, rows);
  const spans = layout.order.map((index) => planned[index]!);
  const ids = new Int32Array(layout.tokenCount);
  const positions = new Int32Array(layout.tokenCount);
  const offsets: number[] = [];
  const pendingAt: number[] = [];
  const pendingFrom: number[] = [];
  let flat = 0;
  for (const span of spans) {
    offsets.push(flat);
    for (let i = 0; i < span.count; i++, flat++) {
      const id = span.token(span.start + i);
      positions[flat] = span.start + i;
      if (id !== null) ids[flat] = id;
      else {
        pendingAt.push(flat);
        pendingFrom.push(span.pending);
      }
    }
  }
  let tokens = ints(ids);
  if (pendingAt.length > 0) tokens = mx.putAlongAxis(tokens, ints(pendingAt), mx.take(previous!, ints(pendingFrom), 0), 0);
  const wantsAll = all || layout.outputs.length === layout.tokenCount;
  const batch: Batch = {
    tokens,
    positions: ints(positions),
    outputs: wantsAll ? null : ints(layout.outputs),
    adapters: spans.some(({ adapter }) => adapter > 0)
      ? ints(spans.flatMap(({ adapter, count }) => Array<number>(count).fill(adapter)))
      : null,
    ...pool.open(layout),
  };
  return { batch, spans, offsets };
}
