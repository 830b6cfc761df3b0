/** What the parts of a model are called by files that were written for another nesting of it. */

/**
 * The name without the wrappers around the language model: `language_model.model.layers.0…`, `model.language_model.layers.0…`
 * and `model.layers.0…` are the same module.
 */
export function canonicalModule(name: string): string {
  return name.replace(/^(?:(?:model|language_model)\.)+/, "");
}
