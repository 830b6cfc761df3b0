/** EXAONE 4: norms after each part, windows in some layers of a pattern. Follows mlx_lm/models/exaone4.py. */
import { StartupError } from "../../errors.ts";
import type { AttentionDetails } from "../attention.ts";
import { readDecoderConfig } from "../decoder.ts";
import type { Architecture } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";
import { NORMS_AFTER } from "./olmo2.ts";

/** `LLLG`: three layers with a window, then one that sees everything and knows no positions. Without it all see and know all. */
function readPattern(c: ConfigReader, dims: number): (layer: number) => Pick<AttentionDetails, "rope" | "sees"> {
  const rope = readRope(c, { dims });
  const pattern = c.string("sliding_window_pattern", { default: "" });
  if (pattern === "") return () => ({ rope });
  if (!/^[LG]+$/.test(pattern)) throw new StartupError(`${c.where}: sliding_window_pattern is not a row of L and G`);
  const window = { kind: "window", size: c.int("sliding_window", { min: 1 }) } as const;
  return (layer) => (pattern[layer % pattern.length] === "L" ? { rope, sees: window } : { rope: null });
}

export const exaone4: Architecture = {
  build: (c, weights) => {
    const config = readDecoderConfig(c, { tied: false });
    const differing = readPattern(c, config.headDim);
    const make = (prefix: string, dim: number) => weights.norm(prefix, dim, config.normEps);
    return buildTransformer(config, weights, {
      attention: (layer) => ({ qkNorm: { over: "head", make }, ...differing(layer) }),
      layerNames: NORMS_AFTER,
    });
  },
  ignoredTensors: LEFTOVERS,
};
