import type { TensorSet } from "./tensor-set.ts";

/** Embedding models are published as the inner part of a language model: their names lack the `model.` in front. */
export function nameInnerModel(tensors: TensorSet): void {
  const isBare = tensors.has("embed_tokens.weight") && !tensors.names().some((name) => name.startsWith("model."));
  if (isBare) tensors.rename((name) => (name.startsWith("lm_head.") ? name : `model.${name}`));
}
