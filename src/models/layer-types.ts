import { StartupError } from "../errors.ts";
import type { AttentionCache } from "../kv/cache.ts";
import type { ConfigReader } from "./model-config.ts";

/**
 * `layer_types` of a config as what the tokens of each layer see; full attention everywhere when it is absent.
 * The window is `sliding_window`.
 */
export function readLayerTypes(
  c: ConfigReader,
  layers: number,
  fallback: (layer: number) => string = () => "full_attention",
): Pick<AttentionCache, "kind" | "size">[] {
  const types = c.strings("layer_types", { default: null }) ?? Array.from({ length: layers }, (_, i) => fallback(i));
  if (types.length !== layers) throw new StartupError(`${c.where}: layer_types has ${types.length} entries for ${layers} layers`);
  return types.map((type) => {
    if (type === "full_attention") return { kind: "full" };
    if (type === "sliding_attention") return { kind: "window", size: c.int<never>("sliding_window", { min: 1 }) };
    if (type === "chunked_attention") return { kind: "chunk", size: c.int<never>("attention_chunk_size", { min: 1 }) };
    throw new StartupError(`${c.where}: layer_types has the unknown entry ${JSON.stringify(type.slice(0, 40))}`);
  });
}
