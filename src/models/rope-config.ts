import { StartupError } from "../errors.ts";
import type { RopeScaling } from "../nn/rope.ts";
import type { ConfigReader } from "./model-config.ts";

/** `rope_scaling` of a config; its kind stands under `rope_type` or, in older files, `type`. */
export function readRopeScaling(config: ConfigReader): RopeScaling {
  const c = config.optionalChild("rope_scaling");
  const kind = c?.string(["rope_type", "type"], { default: "default" }) ?? "default";
  if (c === null || kind === "default") return { kind: "none" };
  const factor = () => c.number("factor", { min: 1e-6 });
  if (kind === "linear") return { kind, factor: factor() };
  if (kind === "llama3") {
    return {
      kind,
      factor: factor(),
      lowFreqFactor: c.number("low_freq_factor", { min: 1e-6, default: 1 }),
      highFreqFactor: c.number("high_freq_factor", { min: 1e-6, default: 4 }),
      originalMaxPositions: c.int("original_max_position_embeddings", { min: 1, default: 8192 }),
    };
  }
  throw new StartupError(`${c.where}: rope type ${JSON.stringify(kind)} is not supported`);
}
