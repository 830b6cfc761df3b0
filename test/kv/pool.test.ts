import { beforeAll, describe, expect, test } from "bun:test";
import { type AttentionCache, firstSeen, type Span, valueDimOf } from "../../src/kv/cache.ts";
import { layOut } from "../../src/kv/layout.ts";
import { KvPool } from "../../src/kv/pool.ts";
import { rowBytes, slotsOf } from "../../src/kv/row-size.ts";
import { RowTable } from "../../src/kv/rows.ts";
import { evaluate, floats, keep, liveArrays, openMlx, readFloats, release, scope, submit } from "../../src/mlx/array.ts";
import { DTYPES } from "../../src/mlx/dtype.ts";
import { times } from "../../src/mlx/fast.ts";
import type { MxArray } from "../../src/mlx/ffi.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { activeMemory } from "../../src/mlx/memory.ts";
import * as mx from "../../src/mlx/ops.ts";
import { Prng } from "../engine/prng.ts";
import { attendOne, type Heads, type History } from "./reference-attention.ts";

const HEADS = 4;
/** What is attended in a step, in this order: every kind of cache, and what a layer may do besides. */
interface Layer {
  cache: number;
  /** Reads what the layer before has written. */
  shared?: boolean;
  softcap?: number;
  sinks?: readonly number[];
}

const CACHES: AttentionCache[] = [
  { kind: "full", kvHeads: 2, headDim: 32 },
  { kind: "full", kvHeads: 1, headDim: 20, valueDim: 36 },
  { kind: "window", size: 9, kvHeads: 4, headDim: 8 },
  { kind: "window", size: 40, kvHeads: 1, headDim: 32, valueDim: 16 },
  { kind: "chunk", size: 24, kvHeads: 2, headDim: 16 },
  { kind: "latent", kvHeads: 1, headDim: 40, valueDim: 32 },
];
const SINKS = [0.3, -2, 1.5, 4];
const LAYERS: Layer[] = [
  { cache: 0 },
  { cache: 0, shared: true },
  { cache: 1, softcap: 2 },
  { cache: 2, sinks: SINKS },
  { cache: 2, shared: true, softcap: 3 },
  { cache: 3 },
  { cache: 4 },
  { cache: 5 },
];
/** Longest stretch of the tests: with it the rings of the larger classes turn over. */
const SPAN = 24;
const CAPACITIES = [8, 16, 32, 64, 128];

interface Sequence {
  id: number;
  length: number;
  histories: History[];
}

/** A step on its way: what was asked, and the results that the pool is computing. */
interface Flight {
  done: Promise<void>;
  outputs: MxArray[];
  expected: number[][];
}

class Batches {
  readonly #random: Prng;
  readonly rows: RowTable;
  readonly pool: KvPool;
  live: Sequence[] = [];
  counts = { steps: 0, moved: 0, gaps: 0, segments: 0, shrunk: 0, mixed: 0, narrow: 0 };
  #nextId = 1;
  #bytes = 0;

  constructor(seed: number, kernels: boolean, budgetTokens: number, room: number) {
    const bytes = (capacity: number) => rowBytes(CACHES, DTYPES.float32, capacity, SPAN);
    this.#random = new Prng(seed);
    this.rows = new RowTable({ capacities: CAPACITIES, rowBytes: bytes, budgetBytes: (budgetTokens / 128) * bytes(128) });
    this.pool = new KvPool(CACHES, CAPACITIES, DTYPES.float32, { kernels, span: SPAN, room: () => room });
  }

  #vector(length: number): Float32Array {
    return Float32Array.from({ length }, () => this.#random.normal());
  }

  /** Random joins, leaves and spans, as the scheduler would plan them. */
  plan(crowd: number): Span[] {
    const random = this.#random;
    const spans: Span[] = [];
    for (const sequence of this.live) {
      if (random.chance(0.25)) continue;
      const count = Math.min(CAPACITIES.at(-1)! - sequence.length, random.chance(0.7) ? 1 : random.int(2, 20));
      const before = this.rows.place(sequence.id)!.sizeClass;
      if (count === 0 || !this.rows.ensure(sequence.id, sequence.length + count, sequence.length)) continue;
      if (this.rows.place(sequence.id)!.sizeClass !== before) this.counts.moved++;
      spans.push({ sequence: sequence.id, start: sequence.length, count, sample: random.chance(0.8) });
    }
    while (this.live.length < crowd && random.chance(0.7)) {
      const count = random.int(1, 24);
      const id = this.#nextId++;
      if (!this.rows.ensure(id, count + 1, 0)) break;
      this.live.push({ id, length: 0, histories: CACHES.map(() => ({ k: [], v: [] })) });
      spans.push({ sequence: id, start: 0, count, sample: random.chance(0.5) });
    }
    for (const { id, length } of [...this.live]) {
      if (length < CAPACITIES.at(-1)! && !random.chance(this.live.length > crowd ? 0.4 : 0.05)) continue;
      this.rows.remove(id);
      this.live = this.live.filter((sequence) => sequence.id !== id);
    }
    return spans.filter(({ sequence }) => this.live.some(({ id }) => id === sequence));
  }

  /** Submits a step with random projections and works out what must come. */
  submit(spans: readonly Span[]): Flight {
    this.counts.steps++;
    if (this.rows.bytes < this.#bytes) this.counts.shrunk++;
    this.#bytes = this.rows.bytes;
    const expected: number[][] = LAYERS.map(() => []);
    // As in a last layer: of many tokens only the outputs are asked for.
    const ofOutputs = this.#random.chance(0.4);
    if (ofOutputs && spans.some(({ sample }) => !sample)) this.counts.narrow++;
    const { result, done } = submit(() => {
      this.pool.apply(this.rows.takeActions());
      const layout = layOut(spans, this.rows);
      const { attend } = this.pool.open(layout);
      for (const { singles, segments } of layout.groups) {
        this.counts.segments += segments.length;
        if (singles.length > 0 && singles.at(-1)!.row - singles[0]!.row >= singles.length) this.counts.gaps++;
        if (singles.length > 0 && segments.length > 0) this.counts.mixed++;
      }
      const outputs: MxArray[] = [];
      LAYERS.forEach(({ cache, shared = false, softcap, sinks }, layer) => {
        const spec = CACHES[cache]!;
        const { q, k, v } = this.#project(spec);
        const heads: Heads = { ...headsOf(spec), ...(softcap && { softcap }), ...(sinks && { sinks }) };
        const [qs, ks, vs] = [[] as number[], [] as number[], [] as number[]];
        let flat = 0;
        for (const index of layout.order) {
          const { sequence, start, count } = spans[index]!;
          const history = this.live.find(({ id }) => id === sequence)!.histories[cache]!;
          for (let position = start; position < start + count; position++) {
            const query = q();
            const asked = !ofOutputs || layout.outputs.includes(flat++);
            if (asked) qs.push(...query);
            if (!shared) {
              const key = k();
              const value = spec.kind === "latent" ? key.slice(0, valueDimOf(spec)) : v();
              ks.push(...key);
              vs.push(...value);
              history.k.push(key);
              history.v.push(value);
            }
            if (asked) expected[layer]!.push(...attendOne(query, history, [firstSeen(spec, position), position + 1], heads));
          }
        }
        const array = (values: number[], count: number, dim: number) => floats(values, [layout.tokenCount, count, dim]);
        const own = shared ? null : array(ks, spec.kvHeads, spec.headDim);
        const values = shared || spec.kind === "latent" ? null : array(vs, spec.kvHeads, valueDimOf(spec));
        const options = { scale: heads.scale, ofOutputs, ...(softcap && { softcap }), ...(sinks && { sinks: floats(sinks) }) };
        let queries = floats(qs, [qs.length / (HEADS * spec.headDim), HEADS, spec.headDim]);
        // As in a model, what reads a cache comes after what has written it.
        if (shared) queries = mx.add(queries, times(mx.slice(outputs.at(-1)!, [0, 0], [1, 1]), 0));
        outputs.push(keep(mx.contiguous(attend(cache, queries, own, values, options))));
      });
      const changed = this.pool.changed();
      this.pool.settle();
      return { outputs: [...outputs, ...changed], awaited: outputs.length, result: outputs };
    });
    for (const { sequence, start, count } of spans) {
      this.rows.advance(sequence, start + count);
      this.live.find(({ id }) => id === sequence)!.length = start + count;
    }
    return { done, outputs: result, expected };
  }

  #project(spec: AttentionCache) {
    const { kvHeads, headDim } = spec;
    return {
      q: () => this.#vector(HEADS * headDim),
      k: () => this.#vector(kvHeads * headDim),
      v: () => this.#vector(kvHeads * valueDimOf(spec)),
    };
  }
}

const headsOf = (spec: AttentionCache): Heads => ({
  heads: HEADS,
  kvHeads: spec.kvHeads,
  headDim: spec.headDim,
  valueDim: valueDimOf(spec),
  scale: spec.headDim ** -0.5,
});

/** Largest difference between what came and what was expected. */
async function land({ done, outputs, expected }: Flight): Promise<number> {
  await done;
  let worst = 0;
  outputs.forEach((array, layer) => {
    const got = readFloats(array);
    release(array);
    const want = expected[layer]!;
    expect(got.length).toBe(want.length);
    for (let i = 0; i < got.length; i++) {
      const error = Math.abs(got[i]! - want[i]!);
      if (!(error <= worst)) worst = Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
    }
  });
  return worst;
}

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

describe("attention through the pool equals the reference", () => {
  const cases: [name: string, kernels: boolean, budgetTokens: number, crowd: number, room: number][] = [
    ["by our primitive", true, 100_000, 9, 16],
    ["by our primitive, without room to grow", true, 100_000, 9, 0],
    ["by our primitive, with room for some", true, 100_000, 9, 3],
    ["by our primitive, with little memory", true, 400, 9, 4],
    ["as a graph", false, 100_000, 9, 0],
    ["as a graph, with little memory", false, 400, 9, 0],
  ];
  test.each(cases)("%s", async (_name, kernels, budgetTokens, most, room) => {
    const before = liveArrays();
    const batches = new Batches(11, kernels, budgetTokens, room);
    const random = new Prng(12);
    let crowd = most;
    let behind: Flight | null = null;
    let worst = 0;
    for (let i = 0; i < 120; i++) {
      if (i % 15 === 0) crowd = random.pick([most, most, 2]);
      const spans = batches.plan(crowd);
      if (spans.length === 0) continue;
      // One step ahead, as the engine runs: the one before is still being computed.
      const flight = batches.submit(spans);
      if (behind) worst = Math.max(worst, await land(behind));
      behind = flight;
    }
    if (behind) worst = Math.max(worst, await land(behind));
    batches.pool.free();
    expect(worst).toBeLessThan(1e-4);
    const { steps, moved, gaps, segments, shrunk, mixed, narrow } = batches.counts;
    expect(steps).toBeGreaterThan(80);
    expect(slotsOf(CACHES[2]!, 128, SPAN)).toBe(64);
    for (const count of [moved, gaps, segments, shrunk, mixed, narrow]) expect(count).toBeGreaterThan(10);
    expect(liveArrays()).toBe(before);
  });
});

test("a class that shrinks gives its memory back, even while copies of its rows are made", () => {
  const specs: AttentionCache[] = [{ kind: "full", kvHeads: 2, headDim: 32 }];
  const capacity = 1024;
  const bytes = rowBytes(specs, DTYPES.float32, capacity);
  const pool = new KvPool(specs, [capacity, 2 * capacity], DTYPES.float32);
  const apply = (actions: Parameters<KvPool["apply"]>[0]) => {
    scope(() => {
      pool.apply(actions);
      evaluate(...pool.changed());
      pool.settle();
    });
    return Math.round((activeMemory() - before) / bytes);
  };
  const before = activeMemory();
  expect(apply([{ type: "resize", sizeClass: 0, rows: 8, length: capacity }])).toBe(8);
  expect(apply([{ type: "resize", sizeClass: 0, rows: 4, length: capacity }])).toBe(4);
  const moved = apply([
    { type: "resize", sizeClass: 1, rows: 1, length: capacity },
    { type: "copy", fromClass: 0, fromRow: 3, toClass: 1, toRow: 0, length: capacity },
    { type: "resize", sizeClass: 0, rows: 1, length: capacity },
  ]);
  expect(moved).toBe(3);
  pool.free();
  expect(Math.round((activeMemory() - before) / bytes)).toBe(0);
});
