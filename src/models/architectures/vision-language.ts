/** Language models inside of checkpoints that see, as mlx-lm serves them: text only. Follows mlx_lm/models/qwen2_vl.py, qwen3_vl.py, pixtral.py. */
import type { Decoder } from "../decoder.ts";
import type { Architecture } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import { TEXT_ROOT, takeTextPart } from "../text-part.ts";
import type { Weights } from "../weights.ts";
import { buildLlama, LEFTOVERS } from "./llama.ts";
import { buildQwen2 } from "./qwen2.ts";
import { buildQwen3 } from "./qwen3.ts";

/** `text_config` where the language model has a config of its own; whether the head is tied is sometimes said outside of it. */
function textConfig(c: ConfigReader): ConfigReader {
  const text = c.optionalChild("text_config");
  if (text === null) return c;
  const tied = c.boolean("tie_word_embeddings", { default: null });
  return tied === null ? text : text.withDefaults({ tie_word_embeddings: tied });
}

function textOf(build: (c: ConfigReader, weights: Weights, root: string) => Decoder): Architecture {
  return {
    build: (c, weights) => build(textConfig(c), weights, TEXT_ROOT),
    sanitize: takeTextPart,
    ignoredTensors: LEFTOVERS,
  };
}

export const qwen2Vl = textOf(buildQwen2);

export const qwen3Vl = textOf(buildQwen3);

/** Llama, with a head of its own whatever the config says. */
export const pixtral = textOf((c, weights, root) =>
  buildLlama(c.withDefaults({ num_attention_heads: 32 }).with({ tie_word_embeddings: false }), weights, root),
);
