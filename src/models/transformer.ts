/** Decoders whose layers are alike: what an architecture has of its own is said in a specification. */
import type { MxArray } from "../mlx/ffi.ts";
import { Attention, type AttentionDetails } from "./attention.ts";
import { type Layer, type Norms, TransformerBlock } from "./block.ts";
import {
  buildDecoder,
  CacheList,
  DECODER_NAMES,
  type Decoder,
  type DecoderConfig,
  type DecoderExtras,
  type Norm,
} from "./decoder.ts";
import { GatedMlp, type MlpSpec } from "./mlp.ts";
import type { Weights } from "./weights.ts";

/** Names inside of a layer; a norm without a name does not exist, a part without one has its matrices in the layer itself. */
export interface LayerNames {
  attention: string;
  feedForward: string;
  beforeAttention: string | null;
  afterAttention: string | null;
  beforeFeedForward: string | null;
  afterFeedForward: string | null;
}

/** Llama's, which most others use. */
const LAYER_NAMES: LayerNames = {
  attention: "self_attn",
  feedForward: "mlp",
  beforeAttention: "input_layernorm",
  afterAttention: null,
  beforeFeedForward: "post_attention_layernorm",
  afterFeedForward: null,
};

export interface TransformerSpec extends Omit<DecoderExtras, "norm"> {
  attention: (layer: number) => AttentionDetails;
  /** Of the usual feed-forward part, `GatedMlp`. */
  mlp?: Omit<MlpSpec, "hiddenSize" | "intermediateSize">;
  /** Another one in its place. */
  feedForward?: (prefix: string, layer: number) => Layer;
  /** Norms of the model's width, that of the end included: RMS by default. */
  norm?: (prefix: string) => Norm;
  layerNames?: Partial<LayerNames>;
  /** Attention and feed-forward part side by side; without a norm of its own the second one gets what the first one gets. */
  parallel?: boolean;
  residualScale?: number;
  /** x + change; the plain sum by default. */
  addResidual?: (x: MxArray, change: MxArray) => MxArray;
}

export function buildTransformer(config: DecoderConfig, weights: Weights, spec: TransformerSpec): Decoder {
  const { attention, mlp, feedForward, layerNames, parallel = false, residualScale, addResidual, ...extras } = spec;
  const norm = spec.norm ?? ((prefix: string) => weights.norm(prefix, config.hiddenSize, config.normEps));
  const names = { ...LAYER_NAMES, ...layerNames };
  const caches = new CacheList();
  const block = (prefix: string, layer: number) => {
    const norms = (before: string | null, after: string | null): Norms => ({
      before: before === null ? null : norm(`${prefix}.${before}`),
      after: after === null ? null : norm(`${prefix}.${after}`),
    });
    const inside = (name: string) => (name === "" ? prefix : `${prefix}.${name}`);
    const at = inside(names.feedForward);
    return new TransformerBlock({
      attention: new Attention({ ...config, ...attention(layer) }, weights, inside(names.attention), caches),
      attentionNorms: norms(names.beforeAttention, names.afterAttention),
      feedForward: feedForward ? feedForward(at, layer) : new GatedMlp({ ...config, ...mlp }, weights, at),
      feedForwardNorms: norms(names.beforeFeedForward, names.afterFeedForward),
      parallel,
      ...(residualScale !== undefined && { residualScale }),
      ...(addResidual && { addResidual }),
    });
  };
  const { root = "", prefix = `${root}model` } = extras;
  const last = norm(`${prefix}.${extras.names?.norm ?? DECODER_NAMES.norm}`);
  return buildDecoder(config, weights, caches, block, { ...extras, norm: last });
}
