/** Checkpoints of models that see and hear too: the language model's config and tensors are nested, the rest is left aside. */
import type { ConfigReader } from "./model-config.ts";
import type { TensorSet } from "./tensor-set.ts";

/** Where mlx-lm keeps the language model of such a checkpoint, before `model.layers` and `lm_head`. */
export const TEXT_ROOT = "language_model.";

const OTHER_PARTS =
  /^(model\.)?(visual|vision_tower|vision_model|vision_embedder|multi_modal_projector|audio_tower|embed_audio|embed_vision)\./;

/** `text_config`, its vocabulary that of the whole where one is given there. */
export function textConfig(config: ConfigReader): ConfigReader {
  const text = config.child("text_config");
  const vocabSize = config.int("vocab_size", { default: null });
  return vocabSize === null ? text : text.with({ vocab_size: vocabSize });
}

/** Brings the tensors' names to `language_model.model.…` and `language_model.lm_head`, and drops those of other parts. */
export function takeTextPart(tensors: TensorSet): void {
  tensors.rename((name) => {
    if (name.search(OTHER_PARTS) >= 0) return null;
    if (name.startsWith("model.language_model.")) return `${TEXT_ROOT}model.${name.slice("model.language_model.".length)}`;
    return name.startsWith(TEXT_ROOT) ? name : TEXT_ROOT + name;
  });
}
