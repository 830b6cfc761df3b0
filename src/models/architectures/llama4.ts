/** Llama 4: chunked attention with rope, full attention without, one expert for each token. Follows mlx_lm/models/llama4.py. */
import { StartupError } from "../../errors.ts";
import { dimension, dtypeOf } from "../../mlx/array.ts";
import { DTYPES } from "../../mlx/dtype.ts";
import { rmsNorm, topK } from "../../mlx/fast.ts";
import type { MxArray } from "../../mlx/ffi.ts";
import * as mx from "../../mlx/ops.ts";
import type { AdapterChoice, Linear } from "../../nn/linear.ts";
import type { AttentionDetails, QkNorm } from "../attention.ts";
import { type DecoderConfig, readDecoderConfig } from "../decoder.ts";
import { GatedMlp } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import { type FeedForward, GatedExperts } from "../moe.ts";
import { PositionScale } from "../position-scale.ts";
import { readRope } from "../rope-config.ts";
import type { DerivedTensor, TensorSet } from "../tensor-set.ts";
import { TEXT_ROOT, takeTextPart } from "../text-part.ts";
import { buildTransformer } from "../transformer.ts";
import type { Weights } from "../weights.ts";
import { LEFTOVERS } from "./llama.ts";

/** Every fourth layer attends to everything and knows no positions. */
const PERIOD = 4;

const plainNorm =
  (eps: number): QkNorm["make"] =>
  () => ({ forward: (x) => rmsNorm(x, null, eps) });

/** mlp(x) and, of the expert with the best score, expert(sigmoid(score) x). */
class Llama4Experts implements FeedForward {
  readonly router: Linear;
  readonly experts: GatedExperts;
  readonly shared_expert: GatedMlp;

  constructor(spec: { hiddenSize: number; intermediateSize: number; experts: number }, weights: Weights, prefix: string) {
    this.router = weights.linear(`${prefix}.router`, spec.hiddenSize, spec.experts, false);
    this.experts = new GatedExperts(spec, weights, `${prefix}.experts`);
    this.shared_expert = new GatedMlp(spec, weights, `${prefix}.shared_expert`);
  }

  forward(x: MxArray, batch: AdapterChoice): MxArray {
    const logits = this.router.forward(x, batch);
    const experts = topK(logits, 1);
    const score = mx.sigmoid(mx.astype(mx.takeAlongAxis(logits, experts, -1), DTYPES.float32));
    const scaled = mx.multiply(x, mx.astype(score, dtypeOf(x)));
    // The score has changed the input already: the result counts in full.
    const chosen = this.experts.forward(scaled, { experts, weights: mx.full([dimension(x, 0), 1], 1, dtypeOf(x)) });
    return mx.add(chosen, this.shared_expert.forward(x, batch));
  }
}

function readAttention(c: ConfigReader, config: DecoderConfig): (layer: number) => AttentionDetails {
  const { headDim } = config;
  const bias = c.boolean("attention_bias", { default: false });
  const size = c.int("attention_chunk_size", { min: 1 });
  const tuned =
    c.has("attn_temperature_tuning") && !c.is("attn_temperature_tuning", 0) && !c.is("attn_temperature_tuning", false);
  const scale = new PositionScale({
    beta: c.number("attn_scale", { default: 0.1 }),
    length: c.number("floor_scale", { min: 1, default: 8192 }),
    first: 1,
  });
  const chunked: AttentionDetails = {
    bias,
    outputBias: bias,
    rope: readRope(c, { dims: headDim, traditional: true }),
    sees: { kind: "chunk", size },
    ...(c.boolean("use_qk_norm") && { qkNorm: { over: "head", make: plainNorm(1e-6), afterRope: true } }),
  };
  const full: AttentionDetails = {
    bias,
    outputBias: bias,
    rope: null,
    ...(tuned && { changeQueries: (q, batch) => scale.forward(q, batch) }),
  };
  return (layer) => ((layer + 1) % PERIOD === 0 ? full : chunked);
}

/** The publisher's experts, [experts, hidden, 2 * size] and [experts, size, hidden], to the layout of mlx-lm. */
function splitExperts(tensors: TensorSet): void {
  const turn = (array: MxArray) => mx.contiguous(mx.transpose(array, [0, 2, 1]));
  const parts = tensors.names().flatMap((name): DerivedTensor[] => {
    const [, base, kind] = /^(.*\.feed_forward\.experts)\.(gate_up_proj|down_proj)$/.exec(name) ?? [];
    const [experts = 0, rows = 0, columns = 0] = tensors.get(name)?.shape ?? [];
    if (base === undefined) return [];
    const cut = (part: string, from: number, to: number): DerivedTensor => ({
      name: `${base}.${part}.weight`,
      shape: [experts, to - from, rows],
      from: [name],
      compute: ([all]) => turn(mx.slice(all!, [0, 0, from], [experts, rows, to])),
    });
    const half = Math.floor(columns / 2);
    return kind === "down_proj" ? [cut("down_proj", 0, columns)] : [cut("gate_proj", 0, half), cut("up_proj", half, columns)];
  });
  tensors.derive(parts);
}

/** Of a checkpoint that sees too: the language model alone is served. */
export const llama4: Architecture = {
  build: (root, weights) => {
    const c = root.child("text_config").withDefaults({ attn_temperature_tuning: 4, tie_word_embeddings: false });
    const config = { ...readDecoderConfig(c, { tied: false }), tied: false };
    const { hiddenSize, intermediateSize } = config;
    if (c.int("num_experts_per_tok") !== 1) throw new StartupError(`${c.where}: only one expert for each token is supported`);
    const experts = c.int("num_local_experts", { min: 1 });
    const step = c.int("interleave_moe_layer_step", { min: 1 });
    const dense = { hiddenSize, intermediateSize: c.int("intermediate_size_mlp", { min: 1, max: 2 ** 24 }) };
    return buildTransformer(config, weights, {
      root: TEXT_ROOT,
      layerNames: { feedForward: "feed_forward" },
      attention: readAttention(c, config),
      feedForward: (prefix, layer) =>
        layer % step === step - 1
          ? new Llama4Experts({ hiddenSize, intermediateSize, experts }, weights, prefix)
          : new GatedMlp(dense, weights, prefix),
    });
  },
  sanitize: (tensors) => {
    takeTextPart(tensors);
    splitExperts(tensors);
  },
  ignoredTensors: [/\.rotary_emb\.inv_freq$/],
};

/** The small dense models of the family. Follows mlx_lm/models/llama4_text.py. */
export const llama4Text: Architecture = {
  build: (c, weights) => {
    const config = readDecoderConfig(c, { tied: false });
    const intermediateSize = c.int("intermediate_size_mlp", { min: 1, max: 2 ** 24 });
    const rotated = c.ints("no_rope_layers");
    if (rotated.length < config.layers) {
      throw new StartupError(`${c.where}: no_rope_layers has ${rotated.length} entries for ${config.layers} layers`);
    }
    const rope = readRope(c, { dims: config.headDim, traditional: true, scaled: false });
    const norm = c.boolean("use_qk_norm") ? { qkNorm: { over: "head" as const, make: plainNorm(config.normEps) } } : {};
    return buildTransformer({ ...config, intermediateSize }, weights, {
      names: { head: "output" },
      layerNames: { feedForward: "feed_forward" },
      attention: (layer) => ({ rope: rotated[layer] === 0 ? null : rope, ...norm }),
    });
  },
  ignoredTensors: [...LEFTOVERS, /^output\.\w+$/],
};
