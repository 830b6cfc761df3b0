import type { Checkpoint } from "./checkpoint.ts";
import { ConfigReader } from "./model-config.ts";

export interface GenerationDefaults {
  eosTokenIds: readonly number[];
  sampling: { temperature: number; topP: number; topK: number; minP: number; repetitionPenalty: number };
}

/**
 * End tokens and sampling that the publisher recommends: generation_config.json, then config.json, then neutral values.
 * `neutral` leaves out the sampling, not the end tokens, which are part of the model.
 */
export function readGenerationConfig(
  { generationConfig, config }: Pick<Checkpoint, "generationConfig" | "config">,
  { neutral = false }: { neutral?: boolean } = {},
): GenerationDefaults {
  const c = new ConfigReader(config, "config.json");
  const inner = c.optionalChild("text_config");
  const published = new ConfigReader(generationConfig ?? {}, "generation_config.json");
  const eosTokenIds =
    published.ints("eos_token_id", { default: null }) ??
    c.ints("eos_token_id", { default: null }) ??
    inner?.ints("eos_token_id", { default: null }) ??
    [];
  const g = neutral ? new ConfigReader({}, "generation_config.json") : published;
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
