/** Which `model_type` of config.json is served by which file. */
import { StartupError } from "../errors.ts";
import { llama } from "./llama.ts";
import type { Architecture } from "./model.ts";

const ARCHITECTURES: ReadonlyMap<string, Architecture> = new Map([["llama", llama]]);

/** Throws `StartupError` naming what is supported. */
export function findArchitecture(modelType: string): Architecture {
  const found = ARCHITECTURES.get(modelType);
  if (found) return found;
  throw new StartupError(
    `model type ${JSON.stringify(modelType)} is not supported; supported: ${[...ARCHITECTURES.keys()].join(", ")}`,
  );
}
