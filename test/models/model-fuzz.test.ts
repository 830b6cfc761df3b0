/** Whole models and adapters with wrong configs and tensors: each is refused in one sentence, or loads and computes. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { StartupError } from "../../src/errors.ts";
import { liveArrays, openMlx } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { type Checkpoint, openCheckpoint } from "../../src/models/checkpoint.ts";
import { type LoadOptions, loadModel } from "../../src/models/load.ts";
import { parseModelJson } from "../../src/models/model-config.ts";
import { Driver } from "../parity/driver.ts";
import { type AdapterPlan, writeAdapter } from "./adapter-files.ts";
import { fixtures, isOneSentence, makeScratch } from "./model-directories.ts";
import { ADAPTER_FIELDS, mutateConfig, mutateTensors } from "./model-mutations.ts";
import { Dice, mutateBytes } from "./mutations.ts";

/** Each of the cases gets its share. */
const RUNS = Number(process.env.FUZZ_RUNS ?? 600);
const SEED = Number(process.env.FUZZ_SEED ?? 1);
/** Far above what any takes here: a hang or something quadratic is above it. */
const SLOWEST_MS = 5_000;

const cases = readdirSync(join(fixtures, "parity"), { withFileTypes: true }).filter((entry) => entry.isDirectory());
const each = Math.ceil(RUNS / cases.length);
const tally = { loaded: 0, refused: 0 };
const scratch = makeScratch();

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

/** Loads, and computes three tokens. */
async function compute(checkpoint: Checkpoint, options: LoadOptions): Promise<void> {
  const loaded = await loadModel(checkpoint, options);
  const driver = new Driver(loaded);
  try {
    const tokens = Math.min(3, loaded.model.contextLength);
    const adapter = loaded.adapters.length;
    const [logits] = driver.step([{ sequence: 0, ids: Array.from({ length: tokens }, () => 0), adapter }]);
    expect(logits).toHaveLength(tokens * loaded.model.vocabSize);
  } finally {
    driver.free();
    loaded.free();
  }
}

/** What is wrong must be a `StartupError`, said soon, and leave nothing behind. */
async function attempt(run: number, body: () => Promise<void>): Promise<void> {
  const arrays = liveArrays();
  const start = performance.now();
  try {
    await body();
    tally.loaded++;
  } catch (error) {
    const fine = error instanceof StartupError && isOneSentence(error.message);
    if (!fine) throw new Error(`run ${run} with FUZZ_SEED=${SEED} failed`, { cause: error });
    tally.refused++;
  }
  expect(performance.now() - start).toBeLessThan(SLOWEST_MS);
  expect(liveArrays()).toBe(arrays);
}

test.each(cases.map(({ name }, index) => [name, index] as const))(
  "%s",
  async (name, index) => {
    const whole = await openCheckpoint(join(fixtures, "parity", name));
    for (let run = 0; run < each; run++) {
      const dice = new Dice(SEED * 1_000_003 + run * 7919 + index * 104_729);
      const text = dice.chance(0.8) ? mutateConfig({ ...whole.config }, dice) : JSON.stringify(whole.config);
      const tensors = dice.chance(0.5) ? mutateTensors(whole.tensors, dice) : whole.tensors;
      const quantize = dice.chance(0.2) ? dice.pick([4, 8] as const) : null;
      await attempt(run, () => compute({ ...whole, tensors, config: parseModelJson(text, "config.json") }, { quantize }));
    }
  },
  60_000 + each * 200,
);

const PLAN: AdapterPlan = {
  format: "mlx",
  rank: 3,
  scale: 2,
  seed: 1,
  modules: { "model.layers.0.self_attn.q_proj": [64, 64], "model.layers.2.mlp.down_proj": [80, 64] },
};

test.each(["mlx", "peft"] as const)(
  "%s adapters",
  async (format) => {
    const model = await openCheckpoint(join(fixtures, "parity/llama-lora"));
    const source = writeAdapter(join(scratch.path, format), { ...PLAN, format });
    const file = format === "mlx" ? "adapters.safetensors" : "adapter_model.safetensors";
    const config = JSON.parse(readFileSync(join(source, "adapter_config.json"), "utf8"));
    const bytes = readFileSync(join(source, file));
    const path = join(scratch.path, `${format}-spoilt`);
    mkdirSync(path);
    for (let run = 0; run < Math.ceil(RUNS / 6); run++) {
      const dice = new Dice(SEED * 1_000_003 + run * 7919 + format.length);
      writeFileSync(
        join(path, "adapter_config.json"),
        dice.chance(0.8) ? mutateConfig(config, dice, ADAPTER_FIELDS) : JSON.stringify(config),
      );
      if (dice.chance(0.5)) copyFileSync(join(source, file), join(path, file));
      else
        writeFileSync(
          join(path, file),
          Buffer.concat([bytes.subarray(0, 8), mutateBytes(bytes.subarray(8, 600), dice), bytes.subarray(600)]),
        );
      await attempt(run, () => compute(model, { adapters: [{ name: "a", path }] }));
    }
  },
  60_000 + RUNS * 50,
);

afterAll(() => {
  scratch.remove();
  // Both happen, or the mutations are too mild or too wild to show anything.
  expect(tally.loaded).toBeGreaterThan(RUNS / 20);
  expect(tally.refused).toBeGreaterThan(RUNS / 5);
});
