/** Qwen 3.5, dense and with experts, of which the language model alone is served. Follows mlx_lm/models/qwen3_5.py, qwen3_5_moe.py. */
import type { MxArray } from "../../mlx/ffi.ts";
import type { AdapterChoice, Linear } from "../../nn/linear.ts";
import { hasOriginalConvolutions, transposeConvolutions } from "../causal-convolution.ts";
import { buildDeltaHybrid, raiseNorms, readSharedMixture } from "../delta-hybrid.ts";
import type { DeltaInputs, DeltaNetSpec, DeltaProjections } from "../gated-delta-net.ts";
import { GatedMlp } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import { halvesOf } from "../tensor-halves.ts";
import type { TensorSet } from "../tensor-set.ts";
import { TEXT_ROOT } from "../text-part.ts";
import type { Weights } from "../weights.ts";

/** What published configs leave out. */
const DEFAULTS = { norm_topk_prob: true, max_position_embeddings: 131072 };

class SeparateProjections implements DeltaProjections {
  readonly in_proj_qkv: Linear;
  readonly in_proj_z: Linear;
  readonly in_proj_b: Linear;
  readonly in_proj_a: Linear;

  constructor({ hiddenSize, keyHeads, heads, keyDim, valueDim }: DeltaNetSpec, weights: Weights, prefix: string) {
    const linear = (name: string, width: number) => weights.linear(`${prefix}.${name}`, hiddenSize, width, false);
    this.in_proj_qkv = linear("in_proj_qkv", 2 * keyHeads * keyDim + heads * valueDim);
    this.in_proj_z = linear("in_proj_z", heads * valueDim);
    this.in_proj_b = linear("in_proj_b", heads);
    this.in_proj_a = linear("in_proj_a", heads);
  }

  forward(x: MxArray, batch: AdapterChoice): DeltaInputs {
    return {
      qkv: this.in_proj_qkv.forward(x, batch),
      z: this.in_proj_z.forward(x, batch),
      b: this.in_proj_b.forward(x, batch),
      a: this.in_proj_a.forward(x, batch),
    };
  }
}

/** `text_config`; configs of the language model alone have everything at the top. */
const textOf = (c: ConfigReader) => (c.optionalChild("text_config") ?? c).withDefaults(DEFAULTS);

const build = (reader: ConfigReader, weights: Weights) => {
  const c = textOf(reader);
  const mixture = readSharedMixture(c, weights);
  return buildDeltaHybrid(mixture ? c.withDefaults({ intermediate_size: 1 }) : c, weights, {
    root: TEXT_ROOT,
    projections: (spec, prefix) => new SeparateProjections(spec, weights, prefix),
    feedForward: (config, prefix) => (mixture ? mixture(prefix) : new GatedMlp(config, weights, prefix)),
  });
};

/** Leaves aside what sees images and what predicts further tokens. */
function takeLanguageModel(tensors: TensorSet): void {
  tensors.drop(/^vision_tower|^model\.visual|(^|\.)mtp\./);
  tensors.rename((name) => {
    if (name.startsWith("model.language_model.")) return name.replace("model.language_model.", `${TEXT_ROOT}model.`);
    return name.startsWith(TEXT_ROOT) ? name : TEXT_ROOT + name;
  });
}

/** `experts.gate_up_proj` [experts, 2 size, hidden], the gates first, and `experts.down_proj` to the usual three. */
function splitExperts(tensors: TensorSet): void {
  const names = tensors.names().filter((name) => name.endsWith(".mlp.experts.gate_up_proj"));
  tensors.derive(
    names.flatMap((name) => {
      const to = name.replace(/experts\.gate_up_proj$/, "switch_mlp.");
      return halvesOf(tensors, name, [`${to}gate_proj.weight`, `${to}up_proj.weight`]);
    }),
  );
  tensors.rename((name) => name.replace(/\.mlp\.experts\.down_proj$/, ".mlp.switch_mlp.down_proj.weight"));
}

export const qwen3_5: Architecture = {
  build,
  sanitize: (tensors) => {
    takeLanguageModel(tensors);
    if (hasOriginalConvolutions(tensors)) raiseNorms(tensors);
    splitExperts(tensors);
    transposeConvolutions(tensors, /\.conv1d\.weight$/);
  },
  ignoredTensors: [/^language_model\.lm_head\./],
};
