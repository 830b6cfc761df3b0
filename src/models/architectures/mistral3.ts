/** Language models inside of Mistral 3 and Llava checkpoints: llama or ministral3. Follows mlx_lm/models/mistral3.py. */
import { StartupError } from "../../errors.ts";
import type { Architecture } from "../model.ts";
import { TEXT_ROOT, takeTextPart } from "../text-part.ts";
import { buildLlama, LEFTOVERS } from "./llama.ts";
import { buildMinistral3 } from "./ministral3.ts";

export const mistral3: Architecture = {
  build: (c, weights) => {
    const text = c.child("text_config").withDefaults({ tie_word_embeddings: false });
    const type = text.string("model_type", { default: "llama" });
    if (type === "mistral4") throw new StartupError(`${text.where}: model type "mistral4" is not supported`);
    return (type === "ministral3" ? buildMinistral3 : buildLlama)(text, weights, TEXT_ROOT);
  },
  sanitize: takeTextPart,
  ignoredTensors: LEFTOVERS,
};
