import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { Completion } from "../../src/bench/stream.ts";
import { serveImitation } from "./answering.ts";
import { Corpus, openModel } from "./corpus.ts";
import { modeNames, modes, type Setting } from "./modes.ts";
import { defaultPeers, describeLaunch, knownPeers, whyNot } from "./peers.ts";
import { toRow } from "./storm.ts";
import { describeResults, type Result } from "./table.ts";

const directory = join(import.meta.dir, "../../src/assets/tiny-chat");
const text = "the quick brown fox jumps over the lazy dog while it rains in Spain ".repeat(20);

describe("prompts", () => {
  const corpus = new Corpus(text, directory);
  const count = (prompt: string) => new Corpus(text, directory).count(prompt);

  test("have the length asked for, begin differently, and are the same for every server", () => {
    const prompts = corpus.prompts("seed", 5, 64);
    for (const prompt of prompts) expect(Math.abs(count(prompt) - 64)).toBeLessThanOrEqual(2);
    expect(new Set(prompts.map((prompt) => prompt.slice(0, 8))).size).toBe(5);
    expect(corpus.prompts("seed", 5, 64)).toEqual(prompts);
    expect(corpus.prompts("other", 5, 64)).not.toEqual(prompts);
  });

  test("may be longer than the text", () => {
    expect(count(corpus.prompts("seed", 1, 2000)[0]!)).toBeGreaterThan(1900);
  });
});

describe("modes", () => {
  let server: ReturnType<typeof serveImitation>;
  let setting: Setting;
  beforeAll(() => {
    server = serveImitation();
    const { contextLength } = openModel(directory, "tiny-chat");
    const source = { prompts: (seed: string, count: number) => Array.from({ length: count }, (_, i) => `${seed} ${i}`) };
    setting = { target: server.target, source, contextLength, seed: "s", levels: [1, 3], quick: true };
  });
  afterAll(() => server.stop());

  test.each(modeNames.filter((mode) => mode !== "storm"))("%s gives figures without failures", async (mode) => {
    const rows = await modes[mode](setting);
    expect(rows.map(({ label }) => label)).toEqual(
      {
        levels: ["1", "3"],
        mixed: ["4 × 40 + 4 × 4"],
        prefill: ["512"],
        prefix: ["second turn of 512", "8 on 256 shared"],
        storm: [],
      }[mode],
    );
    for (const { values, errors, firstError } of rows) {
      expect({ errors, firstError }).toEqual({ errors: 0, firstError: null });
      for (const value of Object.values(values)) expect(value).toBeGreaterThanOrEqual(0);
    }
  });

  test("storm leaves its streams, and the server notices", async () => {
    server.engine.scripts = [
      function* ({ maxTokens }) {
        for (let i = 0; i < (maxTokens ?? 0); i++) {
          yield { waitMs: 1 };
          yield { text: "a", tokens: [{ id: 97 }], finishReason: null };
        }
        yield { text: "", tokens: [], finishReason: "length" };
      },
    ];
    const before = server.engine.submitted.length;
    const [row] = await modes.storm(setting);
    expect(row).toMatchObject({ label: "512 tokens into 4 streams", errors: 0 });
    expect(row!.values.worstGap).toBeGreaterThan(0);
    await Bun.sleep(50);
    const streams = server.engine.submitted.slice(before).filter(({ request }) => request.maxTokens! > 8);
    expect(streams.map(({ cancelled }) => cancelled)).toEqual([true, true, true, true]);
  });
});

test("a storm's figures: before the newcomer, and while it waits", () => {
  const stream = (stamps: number[]): Completion => ({
    wanted: 100,
    start: 0,
    stamps,
    end: 1000,
    promptTokens: null,
    outputTokens: null,
    error: null,
  });
  const row = toRow("x", {
    idle: { ...stream([50]), wanted: 1 },
    guest: { ...stream([700]), start: 500, wanted: 1 },
    others: [stream([100, 110, 120, 480, 490, 600, 650, 700]), stream([470, 480, 490, 700])],
    arrival: 500,
    departure: 700,
  });
  expect(row.values).toMatchObject({ calmGap: 10, worstGap: 210, stormGap: 50, worstOverCalm: 21, guestTtft: 200, idleTtft: 50 });
  // A stream that never comes back has stood still for all of the time.
  const stuck = toRow("x", {
    idle: stream([50]),
    guest: stream([700]),
    others: [stream([480, 490])],
    arrival: 500,
    departure: 700,
  });
  expect(stuck.values.worstGap).toBe(210);
});

describe("peers", () => {
  test("all have a command without gaps", () => {
    for (const peer of defaultPeers) {
      const launch = describeLaunch(peer, { name: "m", directory: "/models/m" }, 1234)!;
      const all = [...launch.command, launch.model, ...Object.values(launch.environment)];
      expect(all.filter((part) => /[{}]/.test(part))).toEqual([]);
      expect(launch.command).toContain("1234");
      expect("LD_PRELOAD" in launch.environment).toBe(peer.endsWith("+openblas"));
    }
    expect(knownPeers).toContain("ours");
  });

  test("one that is not known is left out", () => {
    expect(whyNot("other")).toContain("unknown; there are ours, ");
    expect(whyNot("mlx_lm+blas")).toContain("unknown");
  });
});

test("the table: ratios of the same round, above 1 where ours is better", () => {
  const result = (peer: string, round: number, tokensPerSecond: number, latencyP50: number, errors = 0): Result => ({
    model: "m",
    mode: "levels",
    label: "8",
    peer,
    round,
    values: { tokensPerSecond, latencyP50 },
    errors,
    firstError: errors > 0 ? "oh" : null,
  });
  const table = describeResults([
    ...[400, 600, 500].map((speed, round) => result("ours", round, speed, 10)),
    ...[100, 200, 250].map((speed, round) => result("slow", round, speed, 40)),
    ...[200, 100, 125].map((speed, round) => result("other", round, speed, 20)),
    result("broken", 0, 900, 1, 2),
  ]);
  const rows = table.split("\n").filter((line) => line.startsWith("| 8 |"));
  expect(rows[0]).toStartWith("| 8 | ours | 500 (400–600) |");
  expect(rows[1]).toStartWith("| 8 | slow | 200 ×2.00/3.00/4.00 |");
  expect(rows[1]).toContain("| 40.0 ×4.00/4.00/4.00 |");
  expect(rows[3]).toStartWith("| 8 | broken | – |");
  expect(rows[4]).toStartWith("| 8 | best peer | 200 ×2.00/2.00/3.00 |");
  expect(table).toContain("- broken, m, levels 8, round 1: 2 failed, the first with: oh");
});
