import { beforeAll, describe, expect, test } from "bun:test";
import type { CacheSpec, Span } from "../../src/kv/cache.ts";
import { layOut } from "../../src/kv/layout.ts";
import { KvPool } from "../../src/kv/pool.ts";
import { rowBytes } from "../../src/kv/row-size.ts";
import { RowTable } from "../../src/kv/rows.ts";
import { evaluate, floats, keep, liveArrays, openMlx, readFloats, release, scope, submit } from "../../src/mlx/array.ts";
import { DTYPES } from "../../src/mlx/dtype.ts";
import type { MxArray } from "../../src/mlx/ffi.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import * as mx from "../../src/mlx/ops.ts";
import { Prng } from "../engine/prng.ts";
import { everyLayer, gatedDelta, type RecurrentLayer } from "./recurrent-layers.ts";

const CAPACITIES = [8, 16, 64, 512];

interface Sequence {
  id: number;
  length: number;
  references: ((inputs: Float32Array[]) => number[])[];
}

/** A step on its way: the results that are being computed, and what must come. */
interface Flight {
  done: Promise<void>;
  outputs: MxArray[];
  expected: number[][];
}

class Scans {
  readonly #random: Prng;
  readonly #layers: RecurrentLayer[];
  readonly rows: RowTable;
  readonly pool: KvPool;
  live: Sequence[] = [];
  #nextId = 1;

  constructor(seed: number, layers: RecurrentLayer[], kernels: boolean) {
    const caches: CacheSpec[] = layers.map(({ shape }) => ({ kind: "state", shape }));
    this.#random = new Prng(seed);
    this.#layers = layers;
    const bytes = (capacity: number) => rowBytes(caches, DTYPES.float32, capacity);
    this.rows = new RowTable({ capacities: CAPACITIES, rowBytes: bytes, budgetBytes: 40 * bytes(8) });
    this.pool = new KvPool(caches, CAPACITIES, DTYPES.float32, { kernels });
  }

  join(): Sequence {
    const sequence = { id: this.#nextId++, length: 0, references: this.#layers.map((layer) => layer.start()) };
    this.live.push(sequence);
    return sequence;
  }

  leave(sequence: Sequence): void {
    this.rows.remove(sequence.id);
    this.live = this.live.filter((other) => other !== sequence);
  }

  /** Submits a step; `vector` gives each token's numbers. */
  submit(steps: readonly [Sequence, number][], vector = (length: number) => this.#normal(length)): Flight {
    const spans: Span[] = steps.map(([{ id, length }, count]) => {
      if (!this.rows.ensure(id, length + count, length)) throw new Error("no room");
      return { sequence: id, start: length, count, sample: count !== 2 && this.live.length % 5 !== 0 };
    });
    const expected: number[][] = this.#layers.map(() => []);
    const { result, done } = submit(() => {
      this.pool.apply(this.rows.takeActions());
      const layout = layOut(spans, this.rows);
      const { recurrence } = this.pool.open(layout);
      const outputs = this.#layers.map((layer, index) => {
        const inputs = layer.widths.map((): number[] => []);
        for (const place of layout.order) {
          const [sequence, count] = steps[place]!;
          for (let i = 0; i < count; i++) {
            const token = layer.widths.map((width) => vector(width));
            token.forEach((values, input) => void inputs[input]!.push(...values));
            expected[index]!.push(...sequence.references[index]!(token));
          }
        }
        const arrays = inputs.map((values, input) => floats(values, [layout.tokenCount, layer.widths[input]!]));
        return keep(mx.contiguous(layer.run(recurrence, index, arrays)));
      });
      const changed = this.pool.changed();
      this.pool.settle();
      return { outputs: [...outputs, ...changed], awaited: outputs.length, result: outputs };
    });
    for (const [sequence, count] of steps) {
      sequence.length += count;
      this.rows.advance(sequence.id, sequence.length);
    }
    return { done, outputs: result, expected };
  }

  #normal(length: number): Float32Array {
    return Float32Array.from({ length }, () => this.#random.normal());
  }
}

/** Largest difference between what came and what was expected, by layer. */
async function land({ done, outputs, expected }: Flight): Promise<number[]> {
  await done;
  return outputs.map((array, layer) => {
    const got = readFloats(array);
    release(array);
    const want = expected[layer]!;
    expect(got.length).toBe(want.length);
    return got.reduce((worst, value, i) => Math.max(worst, Math.abs(value - want[i]!) / (1 + Math.abs(want[i]!))), 0);
  });
}

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

const WAYS: [name: string, kernels: boolean][] = [
  ["by our primitives", true],
  ["as a graph", false],
];

describe("scans over the pool equal the reference", () => {
  test.each(WAYS)("ragged, with joins, leaves and moves, %s", async (_name, kernels) => {
    const before = liveArrays();
    const random = new Prng(5);
    const scans = new Scans(6, everyLayer(random), kernels);
    let behind: Flight | null = null;
    let worst = 0;
    const settle = async (flight: Flight | null) => {
      if (flight) worst = Math.max(worst, ...(await land(flight)));
    };
    for (let step = 0; step < 60; step++) {
      for (const sequence of [...scans.live]) if (sequence.length > 300 || random.chance(0.06)) scans.leave(sequence);
      while (scans.live.length < 6 && random.chance(0.6)) scans.join();
      const chosen = scans.live.filter(() => random.chance(0.8));
      const steps = chosen.map((sequence): [Sequence, number] => {
        const long = sequence.length === 0 || random.chance(0.1);
        return [sequence, long ? random.pick([1, 2, 5, 30, 70]) : random.pick([1, 1, 1, 2, 3])];
      });
      if (steps.length === 0) continue;
      // One step ahead, as the engine runs: the one before is still being computed.
      const flight = scans.submit(steps);
      await settle(behind);
      behind = flight;
    }
    await settle(behind);
    scans.pool.free();
    expect(worst).toBeLessThan(2e-5);
    expect(liveArrays()).toBe(before);
  });

  test.each(WAYS)("over many chunks, %s", async (_name, kernels) => {
    const scans = new Scans(7, everyLayer(new Prng(8)), kernels);
    const sequence = scans.join();
    for (const count of [200, 1, 64, 63]) {
      const errors = await land(scans.submit([[sequence, count]]));
      expect(Math.max(...errors)).toBeLessThan(2e-5);
    }
    scans.pool.free();
  });

  // Powers of the matrix that the chunks invert would grow beyond what float32 holds.
  test.each(WAYS)("when the same key comes again and again, %s", async (_name, kernels) => {
    const random = new Prng(9);
    const vector = (length: number) => Float32Array.from({ length }, () => random.normal());
    const layer = gatedDelta({ vector }, { keyHeads: 1, heads: 2, keyDim: 16, valueDim: 8 });
    const scans = new Scans(10, [layer], kernels);
    const token = new Map(layer.widths.map((width) => [width, vector(width)]));
    // Nothing is forgotten, everything is corrected: g and beta are nearly 1.
    token.set(2, Float32Array.of(9, 9));
    const error = await land(scans.submit([[scans.join(), 300]], (width) => token.get(width)!));
    expect(error[0]).toBeLessThan(2e-5);
    scans.pool.free();
  });
});

test("what does not fit is refused before anything runs", () => {
  scope(() => {
    const states = [mx.zeros([2, 3, 8], DTYPES.float32)];
    const [x, weight] = [mx.zeros([4, 8], DTYPES.float32), mx.zeros([4, 8], DTYPES.float32)];
    const run = (plan: number[]) => evaluate(mx.cpuConvolve(x, weight, null, states, Int32Array.from(plan), false));
    run([0, 1, 0, 4, 0]);
    for (const plan of [
      [0, 2, 0, 1, 0],
      [0, -1, 0, 1, 0],
      [1, 0, 0, 1, 0],
      [0, 0, 0, 5, 0],
      [0, 0, -1, 1, 0],
      [0, 0, 0, 0, 0],
    ])
      expect(() => run(plan)).toThrow(/scan: /);
    expect(() =>
      mx.cpuConvolve(x, mx.zeros([5, 8], DTYPES.float32), null, states, Int32Array.of(0, 0, 0, 1, 0), false),
    ).toThrow();
    const delta = mx.zeros([2, 2, 4, 8], DTYPES.float32);
    const gates = mx.zeros([4, 2], DTYPES.float32);
    const constants = mx.zeros([2], DTYPES.float32);
    const wrong = mx.zeros([4, 23], DTYPES.float32);
    const plan = Int32Array.of(0, 0, 0, 4, 0);
    expect(() => mx.cpuGatedDelta(wrong, gates, gates, constants, constants, [delta], plan, 1)).toThrow(/states/);
    expect(() => mx.cpuStateSpace(wrong, gates, constants, constants, constants, [delta], plan, 0, 1)).toThrow(/states/);
  });
});

if (!process.env.MLX_CB_KERNELS) {
  test.each(["generic", "avx2"])("the same with the %s loops", async (loops) => {
    const child = Bun.spawn([process.execPath, "test", import.meta.path, "-t", "by our primitives"], {
      env: { ...process.env, MLX_CB_KERNELS: loops },
      stdout: "ignore",
      stderr: "pipe",
    });
    const output = await new Response(child.stderr).text();
    expect(output).toContain(" 3 pass");
    expect(output).toContain(" 0 fail");
    expect(await child.exited).toBe(0);
  });
}
