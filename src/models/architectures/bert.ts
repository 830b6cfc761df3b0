/** BERT and its relatives that differ in names only. Follows transformers' modeling_bert, -roberta and -distilbert. */
import { StartupError } from "../../errors.ts";
import { dtypeOf, ints, scalar } from "../../mlx/array.ts";
import { gelu, geluApprox } from "../../mlx/fast.ts";
import type { MxArray } from "../../mlx/ffi.ts";
import * as mx from "../../mlx/ops.ts";
import type { Embedding } from "../../nn/embedding.ts";
import type { Linear } from "../../nn/linear.ts";
import type { LayerNorm } from "../../nn/norm.ts";
import { attendTexts } from "../../nn/text-attention.ts";
import type { EncoderArchitecture, EncoderModel, TextBatch } from "../encoder.ts";
import { layerNorm } from "../layer-norm.ts";
import type { ConfigReader } from "../model-config.ts";
import type { Weights } from "../weights.ts";

interface BertConfig {
  hiddenSize: number;
  layers: number;
  heads: number;
  intermediateSize: number;
  vocabSize: number;
  /** Rows of the position table. */
  positions: number;
  /** Rows of it that no token has. */
  firstPosition: number;
  /** 0: the model knows no token types. */
  types: number;
  normEps: number;
  activation: (x: MxArray) => MxArray;
}

/** What a checkpoint calls the parts of a layer. */
interface LayerNames {
  layers: string;
  query: string;
  key: string;
  value: string;
  attentionOutput: string;
  attentionNorm: string;
  up: string;
  down: string;
  outputNorm: string;
}

const BERT_NAMES: LayerNames = {
  layers: "encoder.layer",
  query: "attention.self.query",
  key: "attention.self.key",
  value: "attention.self.value",
  attentionOutput: "attention.output.dense",
  attentionNorm: "attention.output.LayerNorm",
  up: "intermediate.dense",
  down: "output.dense",
  outputNorm: "output.LayerNorm",
};

const DISTILBERT_NAMES: LayerNames = {
  layers: "transformer.layer",
  query: "attention.q_lin",
  key: "attention.k_lin",
  value: "attention.v_lin",
  attentionOutput: "attention.out_lin",
  attentionNorm: "sa_layer_norm",
  up: "ffn.lin1",
  down: "ffn.lin2",
  outputNorm: "output_layer_norm",
};

const ACTIVATIONS: Readonly<Record<string, (x: MxArray) => MxArray>> = {
  gelu,
  gelu_new: geluApprox,
  gelu_pytorch_tanh: geluApprox,
  relu: (x) => mx.maximum(x, mx.astype(scalar(0), dtypeOf(x))),
};
/** No adapters for encoders. */
const PLAIN = { adapters: null };

function readBert(c: ConfigReader): BertConfig {
  const kind = c.string("position_embedding_type", { default: "absolute" });
  if (kind !== "absolute") throw new StartupError(`${c.where}: position_embedding_type ${JSON.stringify(kind)} is not supported`);
  return {
    hiddenSize: c.int("hidden_size", { min: 1 }),
    layers: c.int("num_hidden_layers", { min: 1 }),
    heads: c.int("num_attention_heads", { min: 1 }),
    intermediateSize: c.int("intermediate_size", { min: 1 }),
    vocabSize: c.int("vocab_size", { min: 1 }),
    positions: c.int("max_position_embeddings", { min: 1 }),
    firstPosition: 0,
    types: c.int("type_vocab_size", { min: 0, default: 2 }),
    normEps: c.number("layer_norm_eps", { min: 0, default: 1e-12 }),
    activation: readActivation(c, "hidden_act"),
  };
}

/** Positions are counted from the padding token's id on. */
function readRoberta(c: ConfigReader): BertConfig {
  return { ...readBert(c), firstPosition: c.int("pad_token_id", { default: 1 }) + 1 };
}

function readDistilbert(c: ConfigReader): BertConfig {
  return {
    hiddenSize: c.int(["dim", "hidden_size"], { min: 1 }),
    layers: c.int(["n_layers", "num_hidden_layers"], { min: 1, max: 4096 }),
    heads: c.int(["n_heads", "num_attention_heads"], { min: 1, max: 2 ** 16 }),
    intermediateSize: c.int("hidden_dim", { min: 1, max: 2 ** 24 }),
    vocabSize: c.int("vocab_size", { min: 1 }),
    positions: c.int("max_position_embeddings", { min: 1 }),
    firstPosition: 0,
    types: 0,
    normEps: 1e-12,
    activation: readActivation(c, "activation"),
  };
}

function readActivation(c: ConfigReader, field: string): (x: MxArray) => MxArray {
  return ACTIVATIONS[c.string(field, { default: "gelu", oneOf: Object.keys(ACTIVATIONS) })]!;
}

class Layer {
  readonly #query: Linear;
  readonly #key: Linear;
  readonly #value: Linear;
  readonly #attentionOutput: Linear;
  readonly #attentionNorm: LayerNorm;
  readonly #up: Linear;
  readonly #down: Linear;
  readonly #outputNorm: LayerNorm;
  readonly #config: BertConfig;

  constructor(config: BertConfig, weights: Weights, prefix: string, names: LayerNames) {
    const { hiddenSize: hidden, intermediateSize, normEps } = config;
    const square = (name: string) => weights.linear(`${prefix}.${name}`, hidden, hidden, true);
    const norm = (name: string) => layerNorm(weights, `${prefix}.${name}`, { dim: hidden, eps: normEps, bias: true });
    this.#query = square(names.query);
    this.#key = square(names.key);
    this.#value = square(names.value);
    this.#attentionOutput = square(names.attentionOutput);
    this.#attentionNorm = norm(names.attentionNorm);
    this.#up = weights.linear(`${prefix}.${names.up}`, hidden, intermediateSize, true);
    this.#down = weights.linear(`${prefix}.${names.down}`, intermediateSize, hidden, true);
    this.#outputNorm = norm(names.outputNorm);
    this.#config = config;
  }

  forward(x: MxArray, { lengths }: TextBatch): MxArray {
    const { heads, hiddenSize, activation } = this.#config;
    const headDim = hiddenSize / heads;
    const [q, k, v] = [this.#query, this.#key, this.#value].map((layer) => layer.forward(x, PLAIN)) as [
      MxArray,
      MxArray,
      MxArray,
    ];
    const attended = attendTexts(q, k, v, lengths, { heads, kvHeads: heads, headDim, scale: headDim ** -0.5, causal: false });
    const h = this.#attentionNorm.forward(mx.add(x, this.#attentionOutput.forward(attended, PLAIN)));
    const inner = activation(this.#up.forward(h, PLAIN));
    return this.#outputNorm.forward(mx.add(h, this.#down.forward(inner, PLAIN)));
  }
}

class Bert implements EncoderModel {
  readonly vocabSize: number;
  readonly contextLength: number;
  readonly hiddenSize: number;
  readonly #words: Embedding;
  readonly #positions: Embedding;
  readonly #types: Embedding | null;
  readonly #norm: LayerNorm;
  readonly #layers: readonly Layer[];
  readonly #firstPosition: number;

  constructor(config: BertConfig, weights: Weights, names: LayerNames) {
    const { hiddenSize, heads, vocabSize, positions, firstPosition, types, normEps } = config;
    if (hiddenSize % heads !== 0)
      throw new StartupError(`config.json: ${heads} attention heads cannot share ${hiddenSize} dimensions`);
    if (positions <= firstPosition) throw new StartupError(`config.json: ${positions} positions are too few`);
    this.vocabSize = vocabSize;
    this.contextLength = positions - firstPosition;
    this.hiddenSize = hiddenSize;
    this.#words = weights.embedding("embeddings.word_embeddings", vocabSize, hiddenSize);
    this.#positions = weights.embedding("embeddings.position_embeddings", positions, hiddenSize);
    this.#types = types > 0 ? weights.embedding("embeddings.token_type_embeddings", types, hiddenSize) : null;
    this.#norm = layerNorm(weights, "embeddings.LayerNorm", { dim: hiddenSize, eps: normEps, bias: true });
    this.#layers = Array.from({ length: config.layers }, (_, i) => new Layer(config, weights, `${names.layers}.${i}`, names));
    this.#firstPosition = firstPosition;
  }

  forward(batch: TextBatch): MxArray {
    const positions = this.#firstPosition > 0 ? mx.add(batch.positions, ints([this.#firstPosition])) : batch.positions;
    let h = mx.add(this.#words.forward(batch.tokens), this.#positions.forward(positions));
    // All tokens of a single text are of the first type.
    if (this.#types) h = mx.add(h, this.#types.forward(ints([0])));
    h = this.#norm.forward(h);
    for (const layer of this.#layers) h = layer.forward(h, batch);
    return h;
  }
}

function family(read: (c: ConfigReader) => BertConfig, names: LayerNames): EncoderArchitecture {
  return {
    build: (config, weights) => new Bert(read(config), weights, names),
    sanitize: (tensors) =>
      tensors.rename((name) =>
        name
          .replace(/^(bert|roberta|distilbert|model)\./, "")
          // Of checkpoints that came from TensorFlow.
          .replace(/\.gamma$/, ".weight")
          .replace(/\.beta$/, ".bias"),
      ),
    // Position ids, and heads for other tasks.
    ignoredTensors: [/\.position_ids$/, /^(pooler|cls|lm_head|classifier|pre_classifier|vocab_\w+|qa_outputs)\./],
  };
}

export const bert = family(readBert, BERT_NAMES);
export const roberta = family(readRoberta, BERT_NAMES);
export const distilbert = family(readDistilbert, DISTILBERT_NAMES);
