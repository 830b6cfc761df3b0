/** Whole models with wrong configs and tensors: each is refused in one sentence, or loads and computes. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { StartupError } from "../../src/errors.ts";
import { liveArrays, openMlx } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { type Checkpoint, openCheckpoint } from "../../src/models/checkpoint.ts";
import { loadModel } from "../../src/models/load.ts";
import { parseModelJson } from "../../src/models/model-config.ts";
import { Driver } from "../parity/driver.ts";
import { fixtures, isOneSentence } from "./model-directories.ts";
import { mutateConfig, mutateTensors } from "./model-mutations.ts";
import { Dice } from "./mutations.ts";

/** Each of the cases gets its share. */
const RUNS = Number(process.env.FUZZ_RUNS ?? 600);
const SEED = Number(process.env.FUZZ_SEED ?? 1);
/** Far above what any takes here: a hang or something quadratic is above it. */
const SLOWEST_MS = 5_000;

const cases = readdirSync(join(fixtures, "parity"), { withFileTypes: true }).filter((entry) => entry.isDirectory());
const each = Math.ceil(RUNS / cases.length);
const tally = { loaded: 0, refused: 0 };

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

/** Loads, and computes three tokens; what is wrong is a `StartupError`. */
async function attempt(checkpoint: Checkpoint): Promise<void> {
  const loaded = await loadModel(checkpoint);
  const driver = new Driver(loaded);
  try {
    const tokens = Math.min(3, loaded.model.contextLength);
    const [logits] = driver.step([{ sequence: 0, ids: Array.from({ length: tokens }, () => 0) }]);
    expect(logits).toHaveLength(tokens * loaded.model.vocabSize);
  } finally {
    driver.free();
    loaded.free();
  }
}

test.each(cases.map(({ name }, index) => [name, index] as const))(
  "%s",
  async (name, index) => {
    const whole = await openCheckpoint(join(fixtures, "parity", name));
    for (let run = 0; run < each; run++) {
      const dice = new Dice(SEED * 1_000_003 + run * 7919 + index * 104_729);
      const text = dice.chance(0.8) ? mutateConfig({ ...whole.config }, dice) : JSON.stringify(whole.config);
      const tensors = dice.chance(0.5) ? mutateTensors(whole.tensors, dice) : whole.tensors;
      const arrays = liveArrays();
      const start = performance.now();
      try {
        await attempt({ ...whole, tensors, config: parseModelJson(text, "config.json") });
        tally.loaded++;
      } catch (error) {
        const fine = error instanceof StartupError && isOneSentence(error.message);
        if (!fine) throw new Error(`run ${run} with FUZZ_SEED=${SEED} failed`, { cause: error });
        tally.refused++;
      }
      expect(performance.now() - start).toBeLessThan(SLOWEST_MS);
      expect(liveArrays()).toBe(arrays);
    }
  },
  60_000 + each * 200,
);

afterAll(() => {
  // Both happen, or the mutations are too mild or too wild to show anything.
  expect(tally.loaded).toBeGreaterThan(RUNS / 20);
  expect(tally.refused).toBeGreaterThan(RUNS / 5);
});
