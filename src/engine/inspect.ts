/** What a model is and takes, told before it is loaded. */
import { openMlx } from "../mlx/array.ts";
import { locateNativeLibrary } from "../mlx/library.ts";
import { openCheckpoint } from "../models/checkpoint.ts";
import { type LoadOptions, prepareModel } from "../models/load.ts";
import { isEncoder, prepareEncoder } from "../models/load-encoder.ts";
import { type ModelSummary, type QuantizationShare, summarizeModel } from "../models/summary.ts";
import { memoryLimit, planMemory } from "./memory-plan.ts";

export interface InspectOptions extends Pick<LoadOptions, "adapters" | "quantize"> {
  /** Bytes for weights and caches together. */
  memoryLimit?: number;
  cpu?: boolean;
}

/** Checks a model directory as a server would and sums it up; no weights are read. Throws `StartupError`. */
export async function inspectModel(directory: string, options: InspectOptions = {}): Promise<ModelSummary> {
  openMlx(locateNativeLibrary(), options.cpu ?? false);
  const checkpoint = await openCheckpoint(directory);
  const prepared = isEncoder(checkpoint) ? prepareEncoder(checkpoint) : await prepareModel(checkpoint, options);
  const bytes = prepared.weights.plannedBytes;
  const limit = memoryLimit(options);
  return summarizeModel(prepared, bytes < limit ? planMemory(limit, { bytes }).kvBytes : 0);
}

/** Several lines for people. */
export function describeSummary(name: string, summary: ModelSummary): string {
  const { architecture, dtype, parameters, bitsPerWeight, weightBytes, contextLength, maxContext } = summary;
  const { kvBytesPerToken, stateBytesPerSequence, caches } = summary;
  const rows = [
    ["architecture", architecture],
    ["parameters", `${shorten(parameters)}, ${bitsPerWeight.toFixed(2)} bits each`],
    ["quantization", describeQuantization(summary.quantization)],
    ["weights", `${describeBytes(weightBytes)} in memory, computed in ${dtype}`],
    ["context", `${contextLength} tokens${maxContext < contextLength ? `, of which ${maxContext} fit into the memory` : ""}`],
  ];
  if (caches.length > 0) {
    rows.push(
      ["caches", caches.map(({ kind, count }) => `${count} ${kind}`).join(", ")],
      ["memory", `${describeBytes(kvBytesPerToken)} a token, ${describeBytes(stateBytesPerSequence)} a sequence besides`],
    );
  }
  return `${name}\n${rows.map(([key = "", value]) => `  ${key.padEnd(14)}${value}\n`).join("")}`;
}

/** The same as fields of a log line. */
export function summaryFields(summary: ModelSummary): Record<string, string | number> {
  return {
    parameters: shorten(summary.parameters),
    bits_per_weight: Number(summary.bitsPerWeight.toFixed(2)),
    quantization: describeQuantization(summary.quantization),
    weights_mb: Math.round(summary.weightBytes / 1e6),
    kv_bytes_per_token: summary.kvBytesPerToken,
    state_bytes_per_sequence: summary.stateBytesPerSequence,
    context_length: summary.contextLength,
    max_context: summary.maxContext,
  };
}

/** `affine 4 bits in groups of 64 (82 %), affine 6 bits in groups of 64 (11 %)` */
function describeQuantization(shares: readonly QuantizationShare[]): string {
  if (shares.length === 0) return "none";
  const parts = shares.map(({ mode, bits, groupSize, share }) => {
    const part = share > 0.995 ? "" : ` (${(share * 100).toFixed(share < 0.01 ? 1 : 0)} %)`;
    return `${mode} ${bits} bits in groups of ${groupSize}${part}`;
  });
  return parts.join(", ");
}

/** `3.4M` */
function shorten(count: number): string {
  const units = ["", "K", "M", "B", "T"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, count)) / 3));
  return `${Number((count / 1000 ** power).toPrecision(3))}${units[power]}`;
}

function describeBytes(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${Number((bytes / 1000 ** power).toPrecision(3))} ${units[power]}`;
}
