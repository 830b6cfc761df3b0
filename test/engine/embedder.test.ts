import { describe, expect, test } from "bun:test";
import { Embedder, type EmbedderOptions } from "../../src/engine/embedder.ts";
import type { TextTokens } from "../../src/engine/text-encoder.ts";
import { EngineFailure, Overloaded, Unavailable } from "../../src/errors.ts";

/** An encoder whose vector is the text's first id and its length; passes wait for `release` when `isHeld`. */
class Passes {
  readonly seen: number[][] = [];
  isHeld = false;
  failure: Error | null = null;
  #held: (() => void)[] = [];

  embed = async (texts: readonly TextTokens[]): Promise<Float32Array[]> => {
    this.seen.push(texts.map(({ length }) => length));
    if (this.isHeld) await new Promise<void>((resolve) => this.#held.push(resolve));
    if (this.failure) throw this.failure;
    return texts.map((text) => Float32Array.of(text[0]!, text.length));
  };

  release(): void {
    this.isHeld = false;
    for (const resolve of this.#held.splice(0)) resolve();
  }
}

function open(options: Partial<EmbedderOptions> = {}) {
  const passes = new Passes();
  const failures: EngineFailure[] = [];
  const embedder = new Embedder(passes.embed, {
    maxTokensPerPass: 10,
    maxQueue: 100,
    onFailure: (error) => failures.push(error),
    ...options,
  });
  return { passes, failures, embedder };
}

const text = (id: number, length: number): number[] => [id, ...Array<number>(length - 1).fill(0)];
const turns = async (count = 20) => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};
const errorOf = (promise: Promise<unknown>): Promise<unknown> => promise.then(() => null).catch((error: unknown) => error);

test("requests of one moment share a pass, and each gets its own vectors in its own order", async () => {
  const { passes, embedder } = open();
  const [one, two] = await Promise.all([embedder.embed([text(1, 2), text(2, 3)]), embedder.embed([text(3, 4)])]);
  expect(passes.seen).toEqual([[4, 3, 2]]);
  expect(one.map((vector) => [...vector])).toEqual([
    [1, 2],
    [2, 3],
  ]);
  expect(two.map((vector) => [...vector])).toEqual([[3, 4]]);
  expect(await embedder.embed([])).toEqual([]);
  expect(embedder.totalRequests).toBe(3);
  expect([embedder.queueSize, embedder.activeCount]).toEqual([0, 0]);
});

test("a pass keeps to the budget, but a long text goes alone; big requests take turns with small ones", async () => {
  const { passes, embedder } = open();
  const many = embedder.embed(Array.from({ length: 30 }, (_, i) => text(i, 3)));
  let isBigDone = false;
  many.then(() => {
    isBigDone = true;
  });
  await turns(1);
  const small = embedder.embed([text(99, 2)]);
  await small;
  expect(isBigDone).toBe(false);
  expect((await many).map(([id]) => id)).toEqual(Array.from({ length: 30 }, (_, i) => i));
  for (const lengths of passes.seen) expect(lengths.reduce((sum, n) => sum + n, 0)).toBeLessThanOrEqual(10);
  await Promise.all([embedder.embed([text(1, 50)]), embedder.embed([text(2, 1)])]);
  expect(passes.seen).toContainEqual([50]);
});

test("random crowds: every text exactly once, every vector to its request", async () => {
  const { passes, embedder } = open({ maxTokensPerPass: 37 });
  let seed = 5;
  const random = (most: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * most);
  };
  const requests = Array.from({ length: 60 }, (_, r) =>
    Array.from({ length: 1 + random(12) }, (_, t) => text(r * 100 + t, 1 + random(50))),
  );
  const answers = await Promise.all(
    requests.map(async (texts) => {
      await turns(random(30));
      return embedder.embed(texts);
    }),
  );
  for (const [r, vectors] of answers.entries()) {
    expect(vectors.map((vector) => [...vector])).toEqual(requests[r]!.map((ids) => [ids[0]!, ids.length]));
  }
  expect(passes.seen.flat().length).toBe(requests.flat().length);
});

describe("a request that is cancelled", () => {
  test("leaves the queue, and its neighbours are not touched", async () => {
    const { passes, embedder } = open();
    passes.isHeld = true;
    const abort = new AbortController();
    const kept = embedder.embed([text(1, 8)]);
    const gone = errorOf(
      embedder.embed(
        Array.from({ length: 50 }, () => text(7, 9)),
        abort.signal,
      ),
    );
    await turns();
    abort.abort();
    expect(await gone).toBeInstanceOf(Unavailable);
    passes.release();
    expect([...(await kept)[0]!]).toEqual([1, 8]);
    await turns();
    // Of the fifty texts only those of the passes under way were computed.
    expect(passes.seen.length).toBeLessThan(5);
    expect([embedder.queueSize, embedder.activeCount]).toEqual([0, 0]);
    expect([...(await embedder.embed([text(4, 1)]))[0]!]).toEqual([4, 1]);
  });

  test("is refused when it was before it came", () => {
    const { embedder } = open();
    expect(() => embedder.embed([text(1, 1)], AbortSignal.abort())).toThrow(Unavailable);
  });
});

test("the queue is bounded by requests and by tokens", async () => {
  const { passes, embedder } = open({ maxQueue: 4, maxWaitingTokens: 40 });
  passes.isHeld = true;
  const running = [embedder.embed([text(1, 10)]), embedder.embed([text(2, 10)])];
  await turns();
  const waiting = [embedder.embed([text(3, 30)])];
  expect(() => embedder.embed([text(4, 30)])).toThrow(Overloaded);
  for (let i = 0; i < 3; i++) waiting.push(embedder.embed([text(5, 1)]));
  expect(() => embedder.embed([text(6, 1)])).toThrow(/4 are waiting/);
  passes.release();
  await Promise.all([...running, ...waiting]);
  expect([...(await embedder.embed([text(9, 1)]))[0]!]).toEqual([9, 1]);
});

test("a pass that fails ends its requests only", async () => {
  const { passes, failures, embedder } = open();
  passes.failure = new Error("out of memory");
  const [one, two] = [errorOf(embedder.embed([text(1, 5)])), errorOf(embedder.embed([text(2, 5)]))];
  expect(await one).toBeInstanceOf(EngineFailure);
  expect(await two).toBeInstanceOf(EngineFailure);
  expect(failures.map(({ cause }) => (cause as Error).message)).toEqual(["out of memory"]);
  passes.failure = null;
  expect([...(await embedder.embed([text(3, 1)]))[0]!]).toEqual([3, 1]);
});

test("closing lets what runs finish within the grace, and ends the rest", async () => {
  const one = open();
  const result = one.embedder.embed([text(1, 5)]);
  await one.embedder.close(1000);
  expect([...(await result)[0]!]).toEqual([1, 5]);
  expect(() => one.embedder.embed([text(1, 1)])).toThrow(Unavailable);

  const two = open();
  two.passes.isHeld = true;
  const stuck = errorOf(two.embedder.embed([text(1, 5)]));
  await turns();
  const closing = two.embedder.close(20);
  expect(await stuck).toBeInstanceOf(Unavailable);
  two.passes.release();
  await closing;
});
