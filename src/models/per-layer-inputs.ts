/** Per-layer embeddings (Gemma 3n and 4): for every token each layer gets a small vector of its own. */
import { dimension, ints } from "../mlx/array.ts";
import { geglu, times } from "../mlx/fast.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { Embedding } from "../nn/embedding.ts";
import type { AdapterChoice, Linear } from "../nn/linear.ts";
import type { RmsNorm } from "../nn/norm.ts";
import type { ConfigReader } from "./model-config.ts";
import type { Weights } from "./weights.ts";

export interface PerLayerSpec {
  hiddenSize: number;
  layers: number;
  normEps: number;
  vocabSize: number;
  /** Rows of the embedding; tokens beyond read row 0. */
  perLayerVocabSize: number;
  /** Of one layer's vector. */
  perLayerDim: number;
}

export function readPerLayer(c: ConfigReader): Pick<PerLayerSpec, "perLayerVocabSize" | "perLayerDim"> {
  return {
    perLayerVocabSize: c.int("vocab_size_per_layer_input", { min: 1, max: 2 ** 24 }),
    perLayerDim: c.int("hidden_size_per_layer_input", { max: 2 ** 16, default: 0 }),
  };
}

export class PerLayerInputs {
  readonly embed_tokens_per_layer: Embedding;
  readonly per_layer_model_projection: Linear;
  readonly per_layer_projection_norm: RmsNorm;
  readonly #spec: PerLayerSpec;

  constructor(spec: PerLayerSpec, weights: Weights, prefix: string) {
    const { hiddenSize, layers, perLayerDim: dim, perLayerVocabSize, normEps } = spec;
    this.embed_tokens_per_layer = weights.embedding(`${prefix}.embed_tokens_per_layer`, perLayerVocabSize, layers * dim, {
      head: false,
    });
    this.per_layer_model_projection = weights.linear(`${prefix}.per_layer_model_projection`, hiddenSize, layers * dim, false);
    this.per_layer_projection_norm = weights.norm(`${prefix}.per_layer_projection_norm`, dim, normEps);
    this.#spec = spec;
  }

  /** tokens int32 [T] and their scaled vectors h [T, hidden] to the layers' inputs, [T, dim] each. */
  forward(h: MxArray, batch: AdapterChoice & { readonly tokens: MxArray }): MxArray[] {
    const { hiddenSize, layers, perLayerDim: dim } = this.#spec;
    const embedded = times(this.embed_tokens_per_layer.forward(this.#rows(batch.tokens)), Math.sqrt(dim));
    const projected = times(this.per_layer_model_projection.forward(h, batch), hiddenSize ** -0.5);
    const normed = this.per_layer_projection_norm.forward(mx.reshape(projected, [-1, layers, dim]));
    const all = times(mx.add(normed, mx.reshape(embedded, [-1, layers, dim])), Math.SQRT1_2);
    const count = dimension(all, 0);
    return Array.from({ length: layers }, (_, i) => mx.squeeze(mx.slice(all, [0, i, 0], [count, i + 1, dim]), 1));
  }

  #rows(tokens: MxArray): MxArray {
    const { vocabSize, perLayerVocabSize } = this.#spec;
    if (vocabSize <= perLayerVocabSize) return tokens;
    return mx.where(mx.less(tokens, ints([perLayerVocabSize])), tokens, ints([0]));
  }
}

/** What a layer makes of its input: norm(project(gelu(gate(x)) * input)). */
export class PerLayerGate {
  readonly per_layer_input_gate: Linear;
  readonly per_layer_projection: Linear;
  readonly post_per_layer_input_norm: RmsNorm;

  constructor({ hiddenSize, perLayerDim, normEps }: PerLayerSpec, weights: Weights, prefix: string) {
    this.per_layer_input_gate = weights.linear(`${prefix}.per_layer_input_gate`, hiddenSize, perLayerDim, false);
    this.per_layer_projection = weights.linear(`${prefix}.per_layer_projection`, perLayerDim, hiddenSize, false);
    this.post_per_layer_input_norm = weights.norm(`${prefix}.post_per_layer_input_norm`, hiddenSize, normEps);
  }

  forward(x: MxArray, input: MxArray, batch: AdapterChoice): MxArray {
    const gated = geglu(this.per_layer_input_gate.forward(x, batch), input);
    return this.post_per_layer_input_norm.forward(this.per_layer_projection.forward(gated, batch));
  }
}
