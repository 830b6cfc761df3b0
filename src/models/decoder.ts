/** What all decoder-only models share: token vectors, blocks one after the other, a norm, a head. */
import { StartupError } from "../errors.ts";
import type { AttentionCache, Batch, CacheSpec, StateCache } from "../kv/cache.ts";
import { times } from "../mlx/fast.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { Embedding } from "../nn/embedding.ts";
import { type Linear, takeAdapters } from "../nn/linear.ts";
import type { LanguageModel } from "./model.ts";
import type { ConfigReader } from "./model-config.ts";
import type { Weights } from "./weights.ts";

/** A block of the stack: x [T, hidden] to [T, hidden]. */
export interface Block {
  forward(x: MxArray, batch: Batch): MxArray;
  /** As the last block: x [T, hidden] to [outputs, hidden], without what only the other tokens would need. */
  forwardOutputs?(x: MxArray, batch: Batch): MxArray;
}

export interface Norm {
  forward(x: MxArray): MxArray;
}

/** The caches of a model while it is built: each block notes the places of its own. */
export class CacheList {
  readonly specs: CacheSpec[] = [];

  /** Returns the cache's place, which `attend` and the recurrences take. */
  add(spec: AttentionCache | StateCache): number {
    return this.specs.push(spec) - 1;
  }
}

/** Fields that nearly every config has under the same names. */
export interface DecoderConfig {
  hiddenSize: number;
  layers: number;
  intermediateSize: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  normEps: number;
  vocabSize: number;
  contextLength: number;
  tied: boolean;
}

/** `tied`: whether the head is the embedding when the config does not say (mlx-lm's default differs by model). */
export function readDecoderConfig(c: ConfigReader, { tied }: { tied: boolean }): DecoderConfig {
  const hiddenSize = c.int("hidden_size", { min: 1 });
  const heads = c.int("num_attention_heads", { min: 1 });
  const kvHeads = c.int("num_key_value_heads", { min: 1, default: heads });
  const headDim = c.int("head_dim", { min: 2, default: Math.floor(hiddenSize / heads) });
  if (heads % kvHeads !== 0)
    throw new StartupError(`${c.where}: ${heads} attention heads cannot share ${kvHeads} key-value heads`);
  if (headDim < 2 || headDim % 2 !== 0) throw new StartupError(`${c.where}: head_dim ${headDim} is not an even number`);
  return {
    hiddenSize,
    heads,
    kvHeads,
    headDim,
    layers: c.int("num_hidden_layers", { min: 1 }),
    intermediateSize: c.int("intermediate_size", { min: 1 }),
    normEps: c.number("rms_norm_eps", { min: 0, default: 1e-6 }),
    vocabSize: c.int("vocab_size", { min: 1 }),
    contextLength: c.int("max_position_embeddings", { min: 1, default: 4096 }),
    tied: c.boolean("tie_word_embeddings", { default: tied }),
  };
}

export interface DecoderParts {
  vocabSize: number;
  contextLength: number;
  caches: readonly CacheSpec[];
  embedding: Embedding;
  /** Of the token vectors, where the model has one. */
  embeddingScale?: number;
  /** What else is done to the token vectors. */
  changeEmbeddings?: (h: MxArray, batch: Batch) => MxArray;
  blocks: readonly Block[];
  norm: Norm;
  /** Null: the embedding is the head too. */
  head: Linear | null;
  /** What is done to the logits at last. */
  finish?: (logits: MxArray) => MxArray;
}

export class Decoder implements LanguageModel {
  readonly vocabSize: number;
  readonly contextLength: number;
  readonly caches: readonly CacheSpec[];
  readonly #parts: DecoderParts;

  constructor(parts: DecoderParts) {
    this.vocabSize = parts.vocabSize;
    this.contextLength = parts.contextLength;
    this.caches = parts.caches;
    this.#parts = parts;
  }

  forward(batch: Batch): MxArray {
    const { embedding, head, finish } = this.#parts;
    const h = this.hidden(batch);
    const logits = head ? head.forward(h, takeAdapters(batch, batch.outputs)) : embedding.asLinear(h);
    return finish ? finish(logits) : logits;
  }

  /** What the head gets: [outputs, hidden], after the last norm. */
  hidden(batch: Batch): MxArray {
    const { embedding, embeddingScale, changeEmbeddings, blocks, norm } = this.#parts;
    let h = embedding.forward(batch.tokens);
    if (embeddingScale !== undefined) h = times(h, embeddingScale);
    if (changeEmbeddings) h = changeEmbeddings(h, batch);
    for (const block of blocks.slice(0, -1)) h = block.forward(h, batch);
    return norm.forward(forwardLast(blocks.at(-1)!, h, batch));
  }
}

/** Of the last block only the outputs are wanted, all of which the head gets. */
function forwardLast(block: Block, x: MxArray, batch: Batch): MxArray {
  if (block.forwardOutputs) return block.forwardOutputs(x, batch);
  const h = block.forward(x, batch);
  return batch.outputs === null ? h : mx.take(h, batch.outputs, 0);
}

/** Names after `model.`, of the head after the root. */
export interface DecoderNames {
  embedding: string;
  layers: string;
  norm: string;
  head: string;
}

/** The usual ones. */
export const DECODER_NAMES: DecoderNames = { embedding: "embed_tokens", layers: "layers", norm: "norm", head: "lm_head" };

export interface DecoderExtras extends Pick<DecoderParts, "embeddingScale" | "changeEmbeddings" | "finish"> {
  /** Where the model is part of another. */
  root?: string;
  /** Of all but the head; the root and `model` by default. */
  prefix?: string;
  names?: Partial<DecoderNames>;
  headBias?: boolean;
  /** The last one; RMS by default. */
  norm?: Norm;
}

/**
 * The usual names: `model.embed_tokens`, `model.norm`, `lm_head`, after `root` where the model is part of another; blocks are made
 * by `block(prefix, index)`.
 */
export function buildDecoder(
  config: Omit<DecoderConfig, "intermediateSize">,
  weights: Weights,
  caches: CacheList,
  block: (prefix: string, index: number) => Block,
  extras: DecoderExtras = {},
): Decoder {
  const { root = "", prefix = `${root}model`, norm, headBias = false, ...rest } = extras;
  const names = { ...DECODER_NAMES, ...extras.names };
  return new Decoder({
    ...rest,
    vocabSize: config.vocabSize,
    contextLength: config.contextLength,
    caches: caches.specs,
    embedding: weights.embedding(`${prefix}.${names.embedding}`, config.vocabSize, config.hiddenSize, { head: config.tied }),
    blocks: Array.from({ length: config.layers }, (_, i) => block(`${prefix}.${names.layers}.${i}`, i)),
    norm: norm ?? weights.norm(`${prefix}.${names.norm}`, config.hiddenSize, config.normEps),
    head: config.tied ? null : weights.linear(`${root}${names.head}`, config.hiddenSize, config.vocabSize, headBias),
  });
}
