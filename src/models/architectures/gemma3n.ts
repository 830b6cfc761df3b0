/** Gemma 3n: alternating updates, per-layer embeddings, sparse activations, shared caches. Follows mlx_lm/models/gemma3n.py. */
import { StartupError } from "../../errors.ts";
import type { AttentionCache, Batch, CacheSpec } from "../../kv/cache.ts";
import { dtypeOf, floats, scalar } from "../../mlx/array.ts";
import { geglu, rmsNorm, softcap, times } from "../../mlx/fast.ts";
import type { MxArray } from "../../mlx/ffi.ts";
import * as mx from "../../mlx/ops.ts";
import type { Embedding } from "../../nn/embedding.ts";
import { type Linear, takeAdapters } from "../../nn/linear.ts";
import type { RmsNorm } from "../../nn/norm.ts";
import { probit } from "../../nn/probit.ts";
import { Rope } from "../../nn/rope.ts";
import { AltUp, type AltUpSpec, streamOf } from "../altup.ts";
import { CacheList, type DecoderConfig, readDecoderConfig } from "../decoder.ts";
import { cacheOwners, dropSharedKeys, forwardSharing } from "../kv-sharing.ts";
import { readLayerTypes } from "../layer-types.ts";
import { GatedMlp } from "../mlp.ts";
import type { Architecture, LanguageModel } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import { PerLayerGate, PerLayerInputs, type PerLayerSpec, readPerLayer } from "../per-layer-inputs.ts";
import { SharingAttention } from "../sharing-attention.ts";
import type { Weights } from "../weights.ts";

interface Gemma3nConfig extends DecoderConfig, AltUpSpec, PerLayerSpec {
  intermediateSizes: number[];
  /** Share of the activations that becomes zero, by layer. */
  sparsity: number[];
  laurelRank: number;
  /** Whether the corrected stream is scaled before the per-layer input. */
  correctScale: boolean;
  sees: Pick<AttentionCache, "kind" | "size">[];
  /** The first layer that reads the cache of another. */
  firstShared: number;
  ropes: { local: Rope; global: Rope };
  logitCap: number | null;
}

function readFirstShared(c: ConfigReader, layers: number): number {
  return layers - c.int("num_kv_shared_layers", { max: layers });
}

function perLayer(c: ConfigReader, name: string, values: number[], layers: number): number[] {
  if (values.length === layers) return values;
  if (values.length === 1) return Array<number>(layers).fill(values[0]!);
  throw new StartupError(`${c.where}: ${name} has ${values.length} entries for ${layers} layers`);
}

function readConfig(c: ConfigReader): Gemma3nConfig {
  const sizes = c.ints("intermediate_size", { min: 1, max: 2 ** 24 });
  const config = readDecoderConfig(c.with({ intermediate_size: sizes[0] }), { tied: true });
  const { layers, headDim: dims } = config;
  const sparsity = perLayer(c, "activation_sparsity_pattern", c.numbers("activation_sparsity_pattern", { default: [0] }), layers);
  if (sparsity.some((share) => share < 0 || share >= 1)) {
    throw new StartupError(`${c.where}: activation_sparsity_pattern must be from 0 to less than 1`);
  }
  const streams = c.int("altup_num_inputs", { min: 1, max: 64 });
  const rope = (name: string) =>
    new Rope({ dims, base: c.number(name, { min: 1 }), traditional: false, scaling: { kind: "none" } });
  return {
    ...config,
    ...readPerLayer(c),
    intermediateSizes: perLayer(c, "intermediate_size", sizes, layers),
    sparsity,
    streams,
    active: c.int("altup_active_idx", { max: streams - 1 }),
    coefficientClip: c.number("altup_coef_clip", { min: 0, default: null }),
    correctScale: c.boolean("altup_correct_scale"),
    laurelRank: c.int("laurel_rank", { min: 1, max: 2 ** 20 }),
    sees: readLayerTypes(c, layers),
    firstShared: readFirstShared(c, layers),
    ropes: { local: rope("rope_local_base_freq"), global: rope("rope_theta") },
    logitCap: c.number("final_logit_softcapping", { min: 1e-6, default: null }),
  };
}

/** gelu(gate) * up of the gates above the cutoff under which the share `sparsity` of a normal distribution lies. */
function sparseGeglu(sparsity: number): (gate: MxArray, up: MxArray) => MxArray {
  if (sparsity === 0) return geglu;
  const deviations = probit(sparsity);
  return (gate, up) => {
    const mean = mx.mean(gate, -1, true);
    const deviation = mx.sqrt(mx.mean(mx.square(mx.subtract(gate, mean)), -1, true));
    const above = mx.subtract(gate, mx.add(mean, times(deviation, deviations)));
    return geglu(mx.maximum(above, mx.astype(scalar(0), dtypeOf(gate))), up);
  };
}

class Gemma3nLayer {
  readonly self_attn: SharingAttention;
  readonly mlp: GatedMlp;
  readonly altup: AltUp;
  readonly laurel: { linear_left: Linear; linear_right: Linear; post_laurel_norm: RmsNorm };
  readonly gate: PerLayerGate;
  readonly input_layernorm: RmsNorm;
  readonly post_attention_layernorm: RmsNorm;
  readonly pre_feedforward_layernorm: RmsNorm;
  readonly post_feedforward_layernorm: RmsNorm;
  readonly #config: Gemma3nConfig;

  constructor(config: Gemma3nConfig, weights: Weights, prefix: string, layer: number, attention: SharingAttention) {
    const { hiddenSize, laurelRank, normEps, sparsity, intermediateSizes } = config;
    const norm = (name: string) => weights.norm(`${prefix}.${name}`, hiddenSize, normEps);
    const mlp = { hiddenSize, intermediateSize: intermediateSizes[layer]!, activation: sparseGeglu(sparsity[layer]!) };
    this.self_attn = attention;
    this.mlp = new GatedMlp(mlp, weights, `${prefix}.mlp`);
    this.altup = new AltUp(config, weights, `${prefix}.altup`);
    this.laurel = {
      linear_left: weights.linear(`${prefix}.laurel.linear_left`, hiddenSize, laurelRank, false),
      linear_right: weights.linear(`${prefix}.laurel.linear_right`, laurelRank, hiddenSize, false),
      post_laurel_norm: norm("laurel.post_laurel_norm"),
    };
    this.gate = new PerLayerGate(config, weights, prefix);
    this.input_layernorm = norm("input_layernorm");
    this.post_attention_layernorm = norm("post_attention_layernorm");
    this.pre_feedforward_layernorm = norm("pre_feedforward_layernorm");
    this.post_feedforward_layernorm = norm("post_feedforward_layernorm");
    this.#config = config;
  }

  /** x [T, streams, hidden], input [T, perLayerDim] */
  forward(x: MxArray, input: MxArray, batch: Batch): MxArray {
    const { active, streams, correctScale } = this.#config;
    const predictions = this.altup.predict(x, batch);
    const h = streamOf(predictions, active);
    const normed = this.input_layernorm.forward(h);
    const attended = mx.add(h, this.post_attention_layernorm.forward(this.self_attn.forward(normed, batch)));
    const mixed = times(mx.add(attended, this.#laurel(normed, batch)), Math.SQRT1_2);
    const fed = this.mlp.forward(this.pre_feedforward_layernorm.forward(mixed), batch);
    const corrected = this.altup.correct(predictions, mx.add(mixed, this.post_feedforward_layernorm.forward(fed)), batch);
    const stream = streamOf(corrected, active);
    const scaled = correctScale ? mx.multiply(stream, this.altup.correct_output_scale.array) : stream;
    // The per-layer input goes to all streams but the first.
    const update = mx.expandDims(this.gate.forward(scaled, input, batch), 1);
    const others = floats(
      Array.from({ length: streams }, (_, i) => (i === 0 ? 0 : 1)),
      [1, streams, 1],
    );
    return mx.add(corrected, mx.multiply(update, mx.astype(others, dtypeOf(update))));
  }

  #laurel(x: MxArray, batch: Batch): MxArray {
    const { linear_left, linear_right, post_laurel_norm } = this.laurel;
    return mx.add(x, post_laurel_norm.forward(linear_right.forward(linear_left.forward(x, batch), batch)));
  }
}

/** Far below any real vector's mean square: a zero vector stays zero. */
const TINY = 1e-30;

const magnitude = (x: MxArray) => mx.sqrt(mx.mean(mx.square(x), -1, true));

class Gemma3nModel implements LanguageModel {
  readonly vocabSize: number;
  readonly contextLength: number;
  readonly caches: readonly CacheSpec[];
  readonly embed_tokens: Embedding;
  readonly per_layer: PerLayerInputs;
  readonly altup_projections: Linear[];
  readonly altup_unembed_projections: Linear[];
  readonly layers: Gemma3nLayer[] = [];
  readonly norm: RmsNorm;
  readonly #config: Gemma3nConfig;

  constructor(config: Gemma3nConfig, weights: Weights, prefix: string) {
    const { hiddenSize, vocabSize, contextLength, normEps, streams, sees, firstShared, ropes } = config;
    const caches = new CacheList();
    const projections = (name: string) =>
      Array.from({ length: streams - 1 }, (_, i) => weights.linear(`${prefix}.${name}.${i}`, hiddenSize, hiddenSize, false));
    this.vocabSize = vocabSize;
    this.contextLength = contextLength;
    this.caches = caches.specs;
    this.embed_tokens = weights.embedding(`${prefix}.embed_tokens`, vocabSize, hiddenSize);
    this.per_layer = new PerLayerInputs(config, weights, prefix);
    this.altup_projections = projections("altup_projections");
    this.altup_unembed_projections = projections("altup_unembed_projections");
    const owners = cacheOwners(
      sees.map(({ kind }) => kind),
      firstShared,
    );
    for (const [i, owner] of owners.entries()) {
      const layer = `${prefix}.layers.${i}`;
      const shared = owner === i ? null : this.layers[owner]!.self_attn.cache;
      const rope = sees[i]!.kind === "window" ? ropes.local : ropes.global;
      const attention = new SharingAttention({ ...config, rope, sees: sees[i]! }, weights, `${layer}.self_attn`, shared, caches);
      this.layers.push(new Gemma3nLayer(config, weights, layer, i, attention));
    }
    this.norm = weights.norm(`${prefix}.norm`, hiddenSize, normEps);
    this.#config = config;
  }

  forward(batch: Batch): MxArray {
    const logits = this.embed_tokens.asLinear(this.hidden(batch));
    return this.#config.logitCap === null ? logits : softcap(logits, this.#config.logitCap);
  }

  /** What the head gets: [outputs, hidden], after the last norm. */
  hidden(batch: Batch): MxArray {
    const { hiddenSize, streams, firstShared } = this.#config;
    const h = times(this.embed_tokens.forward(batch.tokens), Math.sqrt(hiddenSize));
    const inputs = this.per_layer.forward(h, batch);
    // The further streams begin, and end, with the magnitude of the first.
    const beside = (first: MxArray, others: MxArray[]) => {
      const size = magnitude(first);
      return [first, ...others.map((x) => mx.multiply(rmsNorm(x, null, TINY), size))];
    };
    const begin = beside(
      h,
      this.altup_projections.map((projection) => projection.forward(h, batch)),
    );
    const streamed = mx.concatenate(
      begin.map((stream) => mx.expandDims(stream, 1)),
      1,
    );
    const x = forwardSharing(this.layers, firstShared, streamed, inputs, batch);
    const choice = takeAdapters(batch, batch.outputs);
    const end = beside(
      streamOf(x, 0),
      this.altup_unembed_projections.map((projection, i) => projection.forward(streamOf(x, i + 1), choice)),
    );
    return this.norm.forward(times(end.reduce(mx.add), 1 / streams));
  }
}

export const gemma3n: Architecture = {
  build: (config, weights) => new Gemma3nModel(readConfig(config.child("text_config")), weights, "model.language_model"),
  sanitize: (tensors, config) => {
    const text = config.child("text_config");
    tensors.drop(/^model\.(vision_tower|audio_tower|embed_audio|embed_vision)\./);
    dropSharedKeys(tensors, readFirstShared(text, text.int("num_hidden_layers", { min: 1 })));
  },
  ignoredTensors: [/^lm_head\./],
};
