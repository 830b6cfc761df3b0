/** How much room a sequence takes in the caches of a model. Pure. */
import { type Dtype, dtypeBytes } from "../mlx/dtype.ts";
import { type CacheSpec, isState, valueDimOf } from "./cache.ts";

/** The most tokens of one sequence in a step when a model has windows: their rows have room for so many beside the window. */
export const WINDOW_SPAN = 512;

/** Tokens of one sequence that a step may have. */
export function longestSpan(caches: readonly CacheSpec[]): number {
  return caches.some(({ kind }) => kind === "window" || kind === "chunk") ? WINDOW_SPAN : Number.POSITIVE_INFINITY;
}

/** Slots of a cache row for sequences of up to `capacity` tokens; null: a state, which has none. Position p lies in slot p modulo slots. */
export function slotsOf(spec: CacheSpec, capacity: number, span = WINDOW_SPAN): number | null {
  if (isState(spec)) return null;
  if (spec.kind === "full" || spec.kind === "latent") return capacity;
  return Math.min(capacity, Math.ceil((spec.size! + span) / 64) * 64);
}

/** Shapes of a cache's tensors for `rows` rows. */
export function tensorShapes(spec: CacheSpec, rows: number, capacity: number, span = WINDOW_SPAN): number[][] {
  if (isState(spec)) return [[rows, ...spec.shape]];
  const slots = slotsOf(spec, capacity, span)!;
  const keys = [rows, spec.kvHeads, slots, spec.headDim];
  return spec.kind === "latent" ? [keys] : [keys, [rows, spec.kvHeads, slots, valueDimOf(spec)]];
}

/** Bytes of all caches of one sequence of up to `capacity` tokens. */
export function rowBytes(caches: readonly CacheSpec[], dtype: Dtype, capacity: number, span = WINDOW_SPAN): number {
  return caches.reduce((sum, spec) => {
    const elements = tensorShapes(spec, 1, capacity, span).reduce((all, shape) => all + shape.reduce((a, b) => a * b, 1), 0);
    return sum + elements * (isState(spec) ? 4 : dtypeBytes(dtype));
  }, 0);
}

/** How many numbers all attention caches hold of a token, and all states of a sequence. */
export function contentWidths(caches: readonly CacheSpec[]): { token: number; state: number } {
  const size = (spec: CacheSpec) =>
    tensorShapes(spec, 1, 1).reduce((sum, shape) => sum + shape.reduce((product, n) => product * n, 1), 0);
  const total = (states: boolean) => caches.reduce((sum, spec) => (isState(spec) === states ? sum + size(spec) : sum), 0);
  return { token: total(false), state: total(true) };
}

/** Bytes of what is kept of `tokens` tokens in all attention caches, and of all states. */
export function contentSizes(caches: readonly CacheSpec[], dtype: Dtype, tokens: number) {
  const { token, state } = contentWidths(caches);
  return { blockBytes: token * tokens * dtypeBytes(dtype), stateBytes: state * 4 };
}
