/** Prompts for a server whose tokenizer is not known. */
const words =
  "river stone lantern morning window garden letter bridge harvest silver engine market winter pencil orchard signal mountain basket copper violin harbour meadow ticket candle thunder blanket compass saddle feather kettle".split(
    " ",
  );

/** About 60 words, different from the first word on, so that a prefix cache finds no more than the template. */
export function createPrompts(seed: number): () => string {
  let state = seed >>> 0;
  const draw = () => {
    // Numerical Recipes' generator: good enough to pick words, and the same everywhere.
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  };
  return () => {
    const nonce = draw().toString(16).padStart(8, "0");
    const text = Array.from({ length: 60 }, () => words[(draw() >>> 8) % words.length]).join(" ");
    return `${nonce}: write a long story with these words: ${text}.`;
  };
}
