/** What a model is and what it takes, known without reading its weights. */
import type { CacheSpec } from "../kv/cache.ts";
import { rowBytes } from "../kv/row-size.ts";
import { sizeClasses } from "../kv/rows.ts";
import { DTYPES } from "../mlx/dtype.ts";
import type { Quantization } from "../nn/quantization.ts";
import type { Weights } from "./weights.ts";

/** A way in which matrices are quantized, and the share of the model's parameters that are in such ones. */
export interface QuantizationShare extends Quantization {
  share: number;
}

/** A model that is built and checked. */
export interface Describable {
  architecture: string;
  weights: Weights;
  /** A model without caches has no `caches`. */
  model: { readonly contextLength: number; readonly caches?: readonly CacheSpec[] };
}

export interface ModelSummary {
  architecture: string;
  /** Type of activations and caches. */
  dtype: string;
  parameters: number;
  /** Scales and everything counted, before a CPU lays the weights out in its own way. */
  bitsPerWeight: number;
  /** In memory. */
  weightBytes: number;
  /** Most parameters first; empty for a dense model. */
  quantization: readonly QuantizationShare[];
  /** Positions that the model was made for. */
  contextLength: number;
  /** Of these, as many as one sequence has room for beside the weights. */
  maxContext: number;
  /** That every further token of a sequence takes; windows and states do not grow. */
  kvBytesPerToken: number;
  /** Of a sequence's windows and states. */
  stateBytesPerSequence: number;
  caches: readonly { kind: CacheSpec["kind"]; count: number }[];
}

/** `kvBytes`: what all caches together may take. */
export function summarizeModel({ model, architecture, weights }: Describable, kvBytes: number): ModelSummary {
  const { caches = [], contextLength } = model;
  const dtype = weights.activationDtype();
  const grows = ({ kind }: CacheSpec) => kind === "full" || kind === "latent";
  const fits = sizeClasses(contextLength).filter((capacity) => rowBytes(caches, dtype, capacity) <= kvBytes);
  return {
    architecture,
    dtype: Object.entries(DTYPES).find(([, value]) => value === dtype)![0],
    parameters: weights.numbers,
    bitsPerWeight: weights.numbers > 0 ? (weights.storedBytes * 8) / weights.numbers : 0,
    weightBytes: weights.plannedBytes,
    quantization: shareOut(weights),
    contextLength,
    maxContext: Math.min(contextLength, fits.at(-1) ?? 0),
    kvBytesPerToken: rowBytes(caches.filter(grows), dtype, 1),
    stateBytesPerSequence: rowBytes(
      caches.filter((spec) => !grows(spec)),
      dtype,
      contextLength,
    ),
    caches: countKinds(caches),
  };
}

function shareOut({ matrices, numbers }: Weights): QuantizationShare[] {
  const shares = new Map<string, QuantizationShare>();
  for (const { quantization, numbers: own } of matrices) {
    if (quantization === null) continue;
    const { mode, bits, groupSize } = quantization;
    const key = `${mode} ${bits} ${groupSize}`;
    const share = (shares.get(key)?.share ?? 0) + own / numbers;
    shares.set(key, { mode, bits, groupSize, share });
  }
  return [...shares.values()].sort((a, b) => b.share - a.share);
}

function countKinds(caches: readonly CacheSpec[]): { kind: CacheSpec["kind"]; count: number }[] {
  const counts = new Map<CacheSpec["kind"], number>();
  for (const { kind } of caches) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return [...counts].map(([kind, count]) => ({ kind, count }));
}
