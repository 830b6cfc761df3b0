/** `quantization` of config.json: one setting for all, entries for single modules, the rest from the shapes. */
import { StartupError } from "../errors.ts";
import type { Quantization, QuantizationName } from "../nn/quantization.ts";
import type { ConfigReader } from "./model-config.ts";
import type { TensorInfo } from "./safetensors.ts";

const MODES: readonly QuantizationName[] = ["affine", "mxfp4", "mxfp8", "nvfp4"];

export class QuantizationConfig {
  readonly #reader: ConfigReader | null;

  constructor(config: ConfigReader) {
    this.#reader = config.optionalChild(["quantization", "quantization_config"]);
  }

  /** How the module at `prefix` is quantized, whose scales are there. Throws `StartupError` when config and shapes disagree. */
  of(prefix: string, inDim: number, weight: TensorInfo, scales: TensorInfo): Quantization {
    const own = this.#ownEntry(prefix);
    const source = own ?? this.#reader;
    const mode = (source?.string("mode", { oneOf: MODES, default: "affine" }) ?? "affine") as QuantizationName;
    const columns = weight.shape.at(-1) ?? 0;
    const groups = scales.shape.at(-1) ?? 0;
    const bits = source?.int("bits", { min: 2, max: 8, default: null }) ?? (columns * 32) / inDim;
    const groupSize = source?.int("group_size", { min: 16, max: 1024, default: null }) ?? inDim / groups;
    if (!Number.isInteger(bits) || !Number.isInteger(groupSize) || inDim % groupSize !== 0) {
      throw new StartupError(`${prefix}: ${inDim} inputs cannot be quantized with ${bits} bits in groups of ${groupSize}`);
    }
    return { mode, groupSize, bits };
  }

  #ownEntry(prefix: string): ConfigReader | null {
    // `false` marks a module that is not quantized; it has no scales either, so nobody asks for it.
    return this.#reader?.names().includes(prefix) ? this.#reader.child(prefix) : null;
  }
}
