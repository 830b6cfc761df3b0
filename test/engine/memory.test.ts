import { describe, expect, test } from "bun:test";
import { planMemory } from "../../src/engine/memory-plan.ts";
import { InvalidRequest, StartupError } from "../../src/errors.ts";
import { BYTES_PER_TOKEN, startEngine } from "./direct-engine.ts";
import { COUNTING, collect, GOLDEN, request } from "./tiny-chat.ts";

describe("memory for few caches", () => {
  test("changes no answer: the youngest are put back and computed again", async () => {
    const { engine, computed, close } = await startEngine({ kvBudgetBytes: 640 * BYTES_PER_TOKEN, smallestSizeClass: 32 });
    let [mostBytes, most] = [0, 0];
    const timer = setInterval(() => {
      mostBytes = Math.max(mostBytes, engine.kvBytes);
      most = Math.max(most, engine.activeCount);
    }, 1);
    // Far from near-ties, and with room for at most a few of them at their full length.
    const entries = [15, 20, 15, 4, 15, 19, 15, 11, 20, 12].map((id) => GOLDEN[id]!);
    const answers = await Promise.all(
      entries.map(({ prompt_token_ids }) => collect(engine.submit(request(prompt_token_ids, { maxTokens: 200 })))),
    );
    clearInterval(timer);
    answers.forEach(({ ids, finishReason }, i) => {
      const { completion_token_ids, finish_reason } = entries[i]!;
      expect(finishReason).toBe(finish_reason as "stop");
      expect(finishReason === "stop" ? ids.slice(0, -1) : ids).toEqual(completion_token_ids);
    });
    const needed = answers.reduce((sum, { ids }, i) => sum + ids.length + entries[i]!.prompt_token_ids.length, 0);
    expect(computed()).toBeGreaterThan(needed + 100);
    expect(most).toBeGreaterThan(3);
    expect(mostBytes).toBeLessThanOrEqual(640 * BYTES_PER_TOKEN);
    await close();
    expect(engine.kvBytes).toBe(0);
  });

  test("ends what has become too long for it, and goes on with the others", async () => {
    const { engine, failures, close } = await startEngine({ kvBudgetBytes: 100 * BYTES_PER_TOKEN, smallestSizeClass: 32 });
    const answers = await Promise.all(
      [200, 30, 200, 10].map((maxTokens) => collect(engine.submit(request(COUNTING.prompt_token_ids, { maxTokens })))),
    );
    // 64 positions are the largest row that fits; the token after the last needs none.
    const longest = 64 - COUNTING.prompt_token_ids.length + 1;
    answers.forEach(({ ids, finishReason }, i) => {
      expect(ids).toEqual(COUNTING.completion_token_ids.slice(0, [longest, 30, longest, 10][i]));
      expect(finishReason).toBe("length");
    });
    expect(failures).toEqual([]);
    await close();
  });

  test("refuses at once what can never fit", async () => {
    const { engine, close } = await startEngine({ kvBudgetBytes: 100 * BYTES_PER_TOKEN, smallestSizeClass: 32 });
    expect(() => engine.submit(request(Array<number>(64).fill(300)))).toThrow(InvalidRequest);
    expect((await collect(engine.submit(request(Array<number>(63).fill(300), { ignoreEos: true })))).ids.length).toBe(2);
    expect((await collect(engine.submit(request(Array<number>(500).fill(300), { maxTokens: 0 })))).finishReason).toBe("length");
    await close();
  });
});

describe("the plan for memory", () => {
  test("shares what the weights leave", () => {
    const { kvBytes, cacheBytes } = planMemory(10e9, { bytes: 4e9 });
    expect(kvBytes).toBeGreaterThan(4e9);
    expect(kvBytes + cacheBytes).toBeLessThan(6e9);
  });

  test("says so when the weights are too large", () => {
    expect(() => planMemory(3e9, { bytes: 3.5e9 })).toThrow(StartupError);
    expect(() => planMemory(3e9, { bytes: 3.5e9 })).toThrow(/3\.50 GB.*3\.00 GB/);
  });
});
