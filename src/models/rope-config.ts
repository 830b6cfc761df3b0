/** What a config says of rotary positions, in its older fields (`rope_theta`, `rope_scaling`) or in `rope_parameters`. */
import { StartupError } from "../errors.ts";
import { Rope, type RopeOptions, type RopeScaling } from "../nn/rope.ts";
import { ropeFrequencies } from "../nn/rope-frequencies.ts";
import type { ConfigReader } from "./model-config.ts";

/** Where the kind of scaling stands. */
const KIND = ["type", "rope_type"] as const;

export interface RopeSpec {
  /** Of a head. */
  dims: number;
  /** For configs without `rope_theta`; 10000 by default. */
  base?: number;
  /** Neighbouring pairs instead of halves, where `rope_traditional` does not say. */
  traditional?: boolean;
  /** The part of a head that is rotated where `partial_rotary_factor` does not say; without it the whole, whatever that says. */
  partial?: number;
  /** Whose entry counts where `rope_parameters` has one for each type of layer; `full_attention` by default. */
  layerType?: string;
  /** False: whatever the config says of scaling is for other layers. */
  scaled?: boolean;
}

/** The rotation of a config, `rope_parameters` before the older fields. Throws `StartupError` for kinds that nobody knows. */
export function readRope(c: ConfigReader, spec: RopeSpec): Rope {
  return new Rope(readRopeOptions(c, spec));
}

export function readRopeOptions(c: ConfigReader, spec: RopeSpec): RopeOptions {
  const { layerType = "full_attention", base: defaultBase = 10000, scaled = true } = spec;
  const own = ropeParameters(c, layerType);
  const base = own?.number("rope_theta", { min: 1, default: null }) ?? c.number("rope_theta", { min: 1, default: defaultBase });
  const dims = rotatedDims(c, own, spec);
  const scaling: RopeScaling = scaled ? readRopeScaling(c, layerType) : { kind: "none" };
  checkScaling(c, dims, base, scaling);
  return { dims, base, traditional: c.boolean("rope_traditional", { default: spec.traditional ?? false }), scaling };
}

/** The scaling alone, for architectures with a base of their own. */
export function readRopeScaling(c: ConfigReader, layerType = "full_attention"): RopeScaling {
  const own = ropeParameters(c, layerType);
  return readScaling(own?.has(KIND) ? own : c.optionalChild("rope_scaling"), c);
}

/** `rope_parameters`, or its entry for a type of layer where it has such entries. */
export function ropeParameters(c: ConfigReader, layerType: string): ConfigReader | null {
  const own = c.optionalChild("rope_parameters");
  return own?.has(layerType) ? own.child(layerType) : own;
}

function rotatedDims(c: ConfigReader, own: ConfigReader | null, { dims: headDim, partial }: RopeSpec): number {
  if (partial === undefined) return headDim;
  const range = { min: 0, max: 1 };
  const factor =
    own?.number("partial_rotary_factor", { ...range, default: null }) ??
    c.number("partial_rotary_factor", { ...range, default: partial });
  const dims = Math.floor(headDim * factor);
  if (dims >= 2 && dims % 2 === 0) return dims;
  throw new StartupError(`${c.where}: partial_rotary_factor ${factor} of ${headDim} is not an even number of dimensions`);
}

/** `c` is the object that holds the scaling, `config` the whole. */
function readScaling(c: ConfigReader | null, config: ConfigReader): RopeScaling {
  if (c === null) return { kind: "none" };
  const kind = c.string(KIND, { default: "default" });
  const factor = () => c.number("factor", { min: 1e-6 });
  switch (kind) {
    case "default":
    // Sections of the head for the axes of images: the same for text.
    case "mrope":
    // Stretches only beyond `max_position_embeddings`, where no request gets.
    case "dynamic":
      return { kind: "none" };
    case "linear":
      return { kind, factor: factor() };
    case "llama3":
      return {
        kind,
        factor: factor(),
        lowFreqFactor: c.number("low_freq_factor", { min: 1e-6, default: 1 }),
        highFreqFactor: c.number("high_freq_factor", { min: 1e-6, default: 4 }),
        originalMaxPositions: c.int("original_max_position_embeddings", { min: 1, default: 8192 }),
      };
    case "yarn":
    case "deepseek_yarn":
    case "telechat3-yarn":
      return {
        kind: "yarn",
        factor: factor(),
        originalMaxPositions: c.int("original_max_position_embeddings", { min: 1, default: 4096 }),
        betaFast: c.number("beta_fast", { min: 1e-6, default: 32 }),
        betaSlow: c.number("beta_slow", { min: 1e-6, default: 1 }),
        mscale: c.number("mscale", { min: 0, default: 1 }),
        mscaleAllDim: c.number("mscale_all_dim", { min: 0, default: 0 }),
      };
    case "longrope":
    case "su":
      return {
        kind: "longrope",
        factors: c.numbers("long_factor"),
        originalMaxPositions: readOriginalLength(c, config),
        maxPositions: config.int("max_position_embeddings", { min: 1, default: 131072 }),
      };
    case "proportional":
      return {
        kind,
        factor: c.number("factor", { min: 1e-6, default: 1 }),
        partial: c.number("partial_rotary_factor", { min: 0, max: 1, default: 1 }),
      };
    default:
      throw new StartupError(`${c.where}: rope type ${JSON.stringify(kind.slice(0, 40))} is not supported`);
  }
}

function readOriginalLength(c: ConfigReader, config: ConfigReader): number {
  const name = "original_max_position_embeddings";
  return c.int(name, { min: 2, default: null }) ?? config.int(name, { min: 2, default: 4096 });
}

/** Numbers that are right by themselves may still make none together. */
function checkScaling(c: ConfigReader, dims: number, base: number, scaling: RopeScaling): void {
  if (scaling.kind === "longrope" && scaling.factors.length !== 1 && scaling.factors.length !== dims / 2) {
    throw new StartupError(`${c.where}: long_factor has ${scaling.factors.length} numbers for ${dims / 2} pairs of dimensions`);
  }
  const { freqs, gain } = ropeFrequencies(dims, base, scaling);
  if (!Number.isFinite(gain) || freqs?.some((freq) => !(freq > 0))) {
    throw new StartupError(`${c.where}: the rope scaling makes no frequencies`);
  }
}
