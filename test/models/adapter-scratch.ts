/** Adapters for one small model. */
import { afterAll } from "bun:test";
import { join } from "node:path";
import { openCheckpoint } from "../../src/models/checkpoint.ts";
import { type LoadedModel, loadModel } from "../../src/models/load.ts";
import { type AdapterPlan, writeAdapter } from "./adapter-files.ts";
import { fixtures, makeScratch } from "./model-directories.ts";

export const MODEL = join(fixtures, "parity/llama-lora");
/** Of the model in MODEL: 64 wide, 80 in the MLP, 32 for keys and values. */
export const PLAN: AdapterPlan = {
  format: "mlx",
  rank: 3,
  scale: 2,
  seed: 1,
  modules: {
    "model.layers.0.self_attn.q_proj": [64, 64],
    "model.layers.0.self_attn.v_proj": [64, 32],
    "model.layers.2.mlp.down_proj": [80, 64],
  },
};

/** Adapters in a directory that goes when the file's tests are over. */
export function adapterScratch() {
  const scratch = makeScratch();
  afterAll(scratch.remove);
  let directories = 0;
  const place = () => join(scratch.path, `adapter-${directories++}`);
  return { path: scratch.path, place, make: (plan: Partial<AdapterPlan> = {}) => writeAdapter(place(), { ...PLAN, ...plan }) };
}

export async function loadWith(...paths: string[]): Promise<LoadedModel> {
  return loadModel(await openCheckpoint(MODEL), { adapters: paths.map((path, i) => ({ name: `adapter-${i}`, path })) });
}

/** A configuration for PEFT. */
export const PEFT = { peft_type: "LORA", r: 3, lora_alpha: 6, target_modules: null };
