/** How modules are quantized: the tensors' shapes and types say it, entries of config.json are checked against them. */
import { StartupError } from "../errors.ts";
import type { Quantization, QuantizationName } from "../nn/quantization.ts";
import type { ConfigReader } from "./model-config.ts";
import { canonicalModule } from "./module-names.ts";
import { shapeText, type TensorInfo } from "./safetensors.ts";
import { quote } from "./wording.ts";

/** The kinds whose scales are 8-bit floats allow one size each. */
const FLOAT_MODES: readonly (Quantization & { scales: string })[] = [
  { mode: "nvfp4", bits: 4, groupSize: 16, scales: "F8_E4M3" },
  { mode: "mxfp4", bits: 4, groupSize: 32, scales: "F8_E8M0" },
  { mode: "mxfp8", bits: 8, groupSize: 32, scales: "F8_E8M0" },
];
const AFFINE_BITS = [2, 3, 4, 5, 6, 8];
const AFFINE_GROUPS = [32, 64, 128];
const FLOAT_SCALES: readonly string[] = ["F32", "F16", "BF16"];
const MODES = ["affine", "mxfp4", "mxfp8", "nvfp4"];

export class QuantizationConfig {
  /** Canonical name to the entry, or false. */
  readonly #entries = new Map<string, ConfigReader | false>();

  /** Reads the entries of `quantization` (or what Hugging Face calls it), there or in `text_config`. Throws `StartupError`. */
  constructor(config: ConfigReader) {
    const reader = findQuantization(config);
    for (const name of reader?.names() ?? []) {
      if (reader!.isObject(name)) this.#entries.set(canonicalModule(name), reader!.child(name));
      else if (reader!.is(name, false)) this.#entries.set(canonicalModule(name), false);
    }
  }

  /**
   * How the module at `prefix`, which has scales, is quantized; as in mlx-lm, a setting for all modules says nothing here.
   * `names`: what the module may be called in config.json. Throws `StartupError` when that is not possible, or the entry differs.
   */
  of(prefix: string, names: readonly string[], inDim: number, weight: TensorInfo, scales: TensorInfo): Quantization {
    const found = inferQuantization(prefix, inDim, weight, scales);
    const entry = names.map((name) => this.#entries.get(canonicalModule(name))).find((value) => value !== undefined);
    if (entry === false) throw new StartupError(`${prefix} has scales, but config.json says that it is not quantized`);
    if (!entry) return found;
    const said = {
      mode: entry.string("mode", { oneOf: MODES, default: null }) ?? found.mode,
      bits: entry.int("bits", { default: null }) ?? found.bits,
      groupSize: entry.int("group_size", { default: null }) ?? found.groupSize,
    };
    if (describe(said) === describe(found)) return found;
    throw new StartupError(`${prefix} is quantized as ${describe(found)}, but ${entry.where} says ${describe(said)}`);
  }
}

/** `quantization` of config.json, or `quantization_config`; null: there is none. */
export function findQuantization(config: ConfigReader): ConfigReader | null {
  const names = ["quantization", "quantization_config"];
  return config.optionalChild(names) ?? config.optionalChild("text_config")?.optionalChild(names) ?? null;
}

function inferQuantization(prefix: string, inDim: number, weight: TensorInfo, scales: TensorInfo): Quantization {
  const bits = ((weight.shape.at(-1) ?? 0) * 32) / inDim;
  const groupSize = inDim / (scales.shape.at(-1) || Number.NaN);
  const said = `${quote(`${prefix}.weight`)} ${weight.dtype} ${shapeText(weight.shape)} with scales ${scales.dtype} ${shapeText(scales.shape)}`;
  if (FLOAT_SCALES.includes(scales.dtype)) {
    if (AFFINE_BITS.includes(bits) && AFFINE_GROUPS.includes(groupSize)) return { mode: "affine", groupSize, bits };
  } else {
    const mode = FLOAT_MODES.find(
      (kind) => kind.bits === bits && kind.groupSize === groupSize && ["U8", kind.scales].includes(scales.dtype),
    );
    if (mode) return { mode: mode.mode, groupSize, bits };
  }
  throw new StartupError(
    `${said} is no quantization of ${inDim} inputs that MLX has: affine with ${AFFINE_BITS.join(", ")} bits in groups of ${AFFINE_GROUPS.join(", ")}, mxfp4, mxfp8 or nvfp4`,
  );
}

function describe({ mode, bits, groupSize }: { mode: QuantizationName | string; bits: number; groupSize: number }): string {
  return `${mode}, ${bits} bits, groups of ${groupSize}`;
}
