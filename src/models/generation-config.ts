import type { Checkpoint } from "./checkpoint.ts";
import { ConfigReader } from "./model-config.ts";

export interface GenerationDefaults {
  eosTokenIds: readonly number[];
  sampling: { temperature: number; topP: number; topK: number; minP: number; repetitionPenalty: number };
}

/** End tokens and sampling that the publisher recommends: generation_config.json, then config.json, then neutral values. */
export function readGenerationConfig({
  generationConfig,
  config,
}: Pick<Checkpoint, "generationConfig" | "config">): GenerationDefaults {
  const g = new ConfigReader(generationConfig ?? {}, "generation_config.json");
  const c = new ConfigReader(config, "config.json");
  const eosTokenIds = g.ints("eos_token_id", { default: null }) ?? c.ints("eos_token_id", { default: [] });
  const greedy = g.boolean("do_sample", { default: null }) === false;
  return {
    eosTokenIds,
    sampling: {
      temperature: greedy ? 0 : g.number("temperature", { min: 0, default: 1 }),
      topP: g.number("top_p", { min: 0, max: 1, default: 1 }) || 1,
      topK: g.int("top_k", { default: 0 }),
      minP: g.number("min_p", { min: 0, max: 1, default: 0 }),
      repetitionPenalty: g.number("repetition_penalty", { min: 0, default: 1 }) || 1,
    },
  };
}
