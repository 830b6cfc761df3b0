// Written by generate.ts from op-table.ts.
import type { Dtype, QuantizationMode } from "./dtype.ts";
import { checked, doubles, ffi, type Ints, int32s, type MxArray } from "./ffi.ts";

/** a + b. */
export function add(a: MxArray, b: MxArray): MxArray {
  return checked(ffi.op_add(a, b));
}

/** a - b. */
export function subtract(a: MxArray, b: MxArray): MxArray {
  return checked(ffi.op_subtract(a, b));
}

/** a * b. */
export function multiply(a: MxArray, b: MxArray): MxArray {
  return checked(ffi.op_multiply(a, b));
}

/** a / b. */
export function divide(a: MxArray, b: MxArray): MxArray {
  return checked(ffi.op_divide(a, b));
}

/** The largest integer not above a / b. */
export function floorDivide(a: MxArray, b: MxArray): MxArray {
  return checked(ffi.op_floor_divide(a, b));
}

/** Larger of a and b. */
export function maximum(a: MxArray, b: MxArray): MxArray {
  return checked(ffi.op_maximum(a, b));
}

/** Smaller of a and b. */
export function minimum(a: MxArray, b: MxArray): MxArray {
  return checked(ffi.op_minimum(a, b));
}

/** a ** b. */
export function power(a: MxArray, b: MxArray): MxArray {
  return checked(ffi.op_power(a, b));
}

/** -a. */
export function negative(a: MxArray): MxArray {
  return checked(ffi.op_negative(a));
}

/** e ** a. */
export function exp(a: MxArray): MxArray {
  return checked(ffi.op_exp(a));
}

/** e ** a - 1, exact near 0. */
export function expm1(a: MxArray): MxArray {
  return checked(ffi.op_expm1(a));
}

/** Natural logarithm. */
export function log(a: MxArray): MxArray {
  return checked(ffi.op_log(a));
}

/** log(e ** a + e ** b). */
export function logaddexp(a: MxArray, b: MxArray): MxArray {
  return checked(ffi.op_logaddexp(a, b));
}

/** Square root. */
export function sqrt(a: MxArray): MxArray {
  return checked(ffi.op_sqrt(a));
}

/** a * a. */
export function square(a: MxArray): MxArray {
  return checked(ffi.op_square(a));
}

/** Hyperbolic tangent. */
export function tanh(a: MxArray): MxArray {
  return checked(ffi.op_tanh(a));
}

/** Error function. */
export function erf(a: MxArray): MxArray {
  return checked(ffi.op_erf(a));
}

/** 1 / (1 + e ** -a). */
export function sigmoid(a: MxArray): MxArray {
  return checked(ffi.op_sigmoid(a));
}

/** Cosine. */
export function cos(a: MxArray): MxArray {
  return checked(ffi.op_cos(a));
}

/** Sine. */
export function sin(a: MxArray): MxArray {
  return checked(ffi.op_sin(a));
}

/** Largest integer not above a. */
export function floor(a: MxArray): MxArray {
  return checked(ffi.op_floor(a));
}

/** a & b, of integers. */
export function bitwiseAnd(a: MxArray, b: MxArray): MxArray {
  return checked(ffi.op_bitwise_and(a, b));
}

/** a << b. */
export function leftShift(a: MxArray, b: MxArray): MxArray {
  return checked(ffi.op_left_shift(a, b));
}

/** a >> b. */
export function rightShift(a: MxArray, b: MxArray): MxArray {
  return checked(ffi.op_right_shift(a, b));
}

/** a == b. */
export function equal(a: MxArray, b: MxArray): MxArray {
  return checked(ffi.op_equal(a, b));
}

/** a < b. */
export function less(a: MxArray, b: MxArray): MxArray {
  return checked(ffi.op_less(a, b));
}

/** a <= b. */
export function lessEqual(a: MxArray, b: MxArray): MxArray {
  return checked(ffi.op_less_equal(a, b));
}

/** a > b. */
export function greater(a: MxArray, b: MxArray): MxArray {
  return checked(ffi.op_greater(a, b));
}

/** a >= b. */
export function greaterEqual(a: MxArray, b: MxArray): MxArray {
  return checked(ffi.op_greater_equal(a, b));
}

/** a && b. */
export function logicalAnd(a: MxArray, b: MxArray): MxArray {
  return checked(ffi.op_logical_and(a, b));
}

/** a || b. */
export function logicalOr(a: MxArray, b: MxArray): MxArray {
  return checked(ffi.op_logical_or(a, b));
}

/** !a. */
export function logicalNot(a: MxArray): MxArray {
  return checked(ffi.op_logical_not(a));
}

/** condition ? a : b. */
export function where(condition: MxArray, a: MxArray, b: MxArray): MxArray {
  return checked(ffi.op_where(condition, a, b));
}

/** Same elements, other shape; one entry may be -1. */
export function reshape(a: MxArray, shape: Ints): MxArray {
  return checked(ffi.op_reshape(a, int32s(shape), shape.length));
}

/** Permutes the axes. */
export function transpose(a: MxArray, axes: Ints): MxArray {
  return checked(ffi.op_transpose(a, int32s(axes), axes.length));
}

/** Inserts an axis of 1. */
export function expandDims(a: MxArray, axis: number): MxArray {
  return checked(ffi.op_expand_dims(a, axis));
}

/** Drops an axis of 1. */
export function squeeze(a: MxArray, axis: number): MxArray {
  return checked(ffi.op_squeeze(a, axis));
}

/** Repeats along axes of 1, without a copy. */
export function broadcastTo(a: MxArray, shape: Ints): MxArray {
  return checked(ffi.op_broadcast_to(a, int32s(shape), shape.length));
}

/** Joins along an axis. */
export function concatenate(list: readonly MxArray[], axis: number): MxArray {
  return checked(ffi.op_concatenate(doubles(list), list.length, axis));
}

/** a[start[0]:stop[0], ...], a view. */
export function slice(a: MxArray, start: Ints, stop: Ints): MxArray {
  return checked(ffi.op_slice(a, int32s(start), start.length, int32s(stop), stop.length));
}

/** a with a[start:stop] replaced; in place when a has no other holder (see renew). */
export function sliceUpdate(a: MxArray, update: MxArray, start: Ints, stop: Ints): MxArray {
  return checked(ffi.op_slice_update(a, update, int32s(start), start.length, int32s(stop), stop.length));
}

/** Row-major without gaps. */
export function contiguous(a: MxArray): MxArray {
  return checked(ffi.op_contiguous(a));
}

/** The same bytes as elements of another type. */
export function view(a: MxArray, dtype: Dtype): MxArray {
  return checked(ffi.op_view(a, dtype));
}

/** Converts the element type. */
export function astype(a: MxArray, dtype: Dtype): MxArray {
  return checked(ffi.op_astype(a, dtype));
}

/** All zero. */
export function zeros(shape: Ints, dtype: Dtype): MxArray {
  return checked(ffi.op_zeros(int32s(shape), shape.length, dtype));
}

/** All equal to value. */
export function full(shape: Ints, value: number, dtype: Dtype): MxArray {
  return checked(ffi.op_full(int32s(shape), shape.length, value, dtype));
}

/** int32 [start, start + 1, ..., stop - 1]. */
export function arange(start: number, stop: number): MxArray {
  return checked(ffi.op_arange(start, stop));
}

/** Rows of a by index along an axis. */
export function take(a: MxArray, indices: MxArray, axis: number): MxArray {
  return checked(ffi.op_take(a, indices, axis));
}

/** One element per index along an axis. */
export function takeAlongAxis(a: MxArray, indices: MxArray, axis: number): MxArray {
  return checked(ffi.op_take_along_axis(a, indices, axis));
}

/** a with the indexed elements replaced. */
export function putAlongAxis(a: MxArray, indices: MxArray, values: MxArray, axis: number): MxArray {
  return checked(ffi.op_put_along_axis(a, indices, values, axis));
}

/** a[rows[i]] = updates[i]; updates [n, ...a.shape[1:]]. */
export function scatterRows(a: MxArray, rows: MxArray, updates: MxArray): MxArray {
  return checked(ffi.op_scatter_rows(a, rows, updates));
}

/** a [R, H, C, D]: a[rows[i], :, positions[i], :] = updates[i]; updates [n, H, D]. */
export function scatterPositions(a: MxArray, rows: MxArray, positions: MxArray, updates: MxArray): MxArray {
  return checked(ffi.op_scatter_positions(a, rows, positions, updates));
}

/** The same values in a buffer of their own, which no view of a shares. */
export function clone(a: MxArray): MxArray {
  return checked(ffi.op_clone(a));
}

/** Takes over the buffer of a (which must not be used by anything later) once `after` is computed, so that the next update is in place. */
export function renew(a: MxArray, after: readonly MxArray[]): MxArray {
  return checked(ffi.op_renew(a, doubles(after), after.length));
}

/** Sum along an axis. */
export function sum(a: MxArray, axis: number, keep: boolean): MxArray {
  return checked(ffi.op_sum(a, axis, keep));
}

/** Mean along an axis. */
export function mean(a: MxArray, axis: number, keep: boolean): MxArray {
  return checked(ffi.op_mean(a, axis, keep));
}

/** Maximum along an axis. */
export function max(a: MxArray, axis: number, keep: boolean): MxArray {
  return checked(ffi.op_max(a, axis, keep));
}

/** Minimum along an axis. */
export function min(a: MxArray, axis: number, keep: boolean): MxArray {
  return checked(ffi.op_min(a, axis, keep));
}

/** log of the sum of exponentials. */
export function logsumexp(a: MxArray, axis: number, keep: boolean): MxArray {
  return checked(ffi.op_logsumexp(a, axis, keep));
}

/** uint32 index of the first maximum. */
export function argmax(a: MxArray, axis: number): MxArray {
  return checked(ffi.op_argmax(a, axis));
}

/** Inclusive running sum. */
export function cumsum(a: MxArray, axis: number): MxArray {
  return checked(ffi.op_cumsum(a, axis));
}

/** Softmax in float32 accuracy. */
export function softmax(a: MxArray, axis: number): MxArray {
  return checked(ffi.op_softmax(a, axis));
}

/** Ascending. */
export function sort(a: MxArray, axis: number): MxArray {
  return checked(ffi.op_sort(a, axis));
}

/** uint32 indices of the ascending order. */
export function argsort(a: MxArray, axis: number): MxArray {
  return checked(ffi.op_argsort(a, axis));
}

/** uint32 indices: those of the kth smallest first. */
export function argpartition(a: MxArray, kth: number, axis: number): MxArray {
  return checked(ffi.op_argpartition(a, kth, axis));
}

/** x [B, T, C] with weight [C, K, C / groups], without padding. */
export function conv1d(x: MxArray, weight: MxArray, groups: number): MxArray {
  return checked(ffi.op_conv1d(x, weight, groups));
}

/** Matrix product over the last two axes. */
export function matmul(a: MxArray, b: MxArray): MxArray {
  return checked(ffi.op_matmul(a, b));
}

/** c + a @ b. */
export function addmm(c: MxArray, a: MxArray, b: MxArray): MxArray {
  return checked(ffi.op_addmm(c, a, b));
}

/** a [T, M, K] times, for each t, b[matrices[t]] of b [N, K, L]. */
export function gatherMm(a: MxArray, b: MxArray, matrices: MxArray): MxArray {
  return checked(ffi.op_gather_mm(a, b, matrices));
}

/** x [R, 1, K] times, for each row, w[experts[r]] of w [N, K, L]; sorted: the experts ascend. */
export function expertMm(x: MxArray, w: MxArray, experts: MxArray, sorted: boolean): MxArray {
  return checked(ffi.op_expert_mm(x, w, experts, sorted));
}

/** The same with quantized weights [N, L, ...], transposed. */
export function expertQmm(
  x: MxArray,
  w: MxArray,
  scales: MxArray,
  biases: MxArray | null,
  experts: MxArray,
  groupSize: number,
  bits: number,
  mode: QuantizationMode,
  sorted: boolean,
): MxArray {
  return checked(ffi.op_expert_qmm(x, w, scales, biases, experts, groupSize, bits, mode, sorted));
}

/** x @ dequantized(w), transposed by default as linear layers store it. */
export function quantizedMatmul(
  x: MxArray,
  w: MxArray,
  scales: MxArray,
  biases: MxArray | null,
  transpose: boolean,
  groupSize: number,
  bits: number,
  mode: QuantizationMode,
): MxArray {
  return checked(ffi.op_quantized_matmul(x, w, scales, biases, transpose, groupSize, bits, mode));
}

/** Affine-quantized rows, uint32; output(…, 1) are their scales, output(…, 2) their offsets. */
export function quantize(w: MxArray, groupSize: number, bits: number): MxArray {
  return checked(ffi.op_quantize(w, groupSize, bits));
}

/** Another output of the operation that a is an output of; only as long as that is not computed. */
export function output(a: MxArray, index: number): MxArray {
  return checked(ffi.op_output(a, index));
}

/** Numbers of bytes that are E4M3 floats. */
export function fromFp8(a: MxArray, dtype: Dtype): MxArray {
  return checked(ffi.op_from_fp8(a, dtype));
}

/** The matrix that w, scales and biases stand for. */
export function dequantize(
  w: MxArray,
  scales: MxArray,
  biases: MxArray | null,
  groupSize: number,
  bits: number,
  mode: QuantizationMode,
  dtype: Dtype,
): MxArray {
  return checked(ffi.op_dequantize(w, scales, biases, groupSize, bits, mode, dtype));
}

/** x / rms(x) * weight over the last axis. */
export function rmsNorm(x: MxArray, weight: MxArray | null, eps: number): MxArray {
  return checked(ffi.op_rms_norm(x, weight, eps));
}

/** (x - mean) / deviation * weight + bias over the last axis. */
export function layerNorm(x: MxArray, weight: MxArray | null, bias: MxArray | null, eps: number): MxArray {
  return checked(ffi.op_layer_norm(x, weight, bias, eps));
}

/** Rotary embedding of x [B, H, T, D]; offset int32 [B]; freqs (wavelengths / 2 pi) replace base. */
export function rope(
  x: MxArray,
  dims: number,
  traditional: boolean,
  base: number,
  scale: number,
  offset: MxArray,
  freqs: MxArray | null,
): MxArray {
  return checked(ffi.op_rope(x, dims, traditional, base, scale, offset, freqs));
}

/** softmax(q k^T scale + mask) v; q [B, H, Tq, D], k and v [B, Hkv, Tk, D]; causal aligns the ends. */
export function attention(
  q: MxArray,
  k: MxArray,
  v: MxArray,
  scale: number,
  causal: boolean,
  mask: MxArray | null,
  sinks: MxArray | null,
): MxArray {
  return checked(ffi.op_attention(q, k, v, scale, causal, mask, sinks));
}

/** MLX's gated delta rule: y and the new state, one after the other in each row [B, n]; [0] where MLX has no kernel for the sizes. */
export function fusedGatedDelta(q: MxArray, k: MxArray, v: MxArray, g: MxArray, beta: MxArray, state: MxArray): MxArray {
  return checked(ffi.op_fused_gated_delta(q, k, v, g, beta, state));
}

/** A matrix [n, k] in the layout that cpuLinear reads; bfloat16 stays, the rest becomes float32. */
export function cpuPack(weight: MxArray): MxArray {
  return checked(ffi.op_cpu_pack(weight));
}

/** float32 [rows, ...] with any content, for what is written before it is read; it may grow to `room` rows where it is. */
export function cpuEmptyRows(shape: Ints, room: number): MxArray {
  return checked(ffi.op_cpu_empty_rows(int32s(shape), shape.length, room));
}

/** a, which must not be used by anything later, with more rows behind its own: where it is if there is room, else elsewhere with new room. */
export function cpuMoreRows(a: MxArray, rows: number, room: number): MxArray {
  return checked(ffi.op_cpu_more_rows(a, rows, room));
}

/** Copies the first slots of a row of each `from` [R, H, slots, D] to a row of `to`, in place; negative: a whole row. [1]: it is done. */
export function cpuCopyRow(
  from: readonly MxArray[],
  to: readonly MxArray[],
  fromRow: number,
  toRow: number,
  slots: Ints,
): MxArray {
  return checked(ffi.op_cpu_copy_row(doubles(from), from.length, doubles(to), to.length, fromRow, toRow, int32s(slots), slots.length));
}

/** x [..., k] times a packed matrix of n rows, plus bias [n]; bits: of a quantized one, 0 for a dense one. */
export function cpuLinear(x: MxArray, packed: MxArray, bias: MxArray | null, n: number, group: number, bits: number): MxArray {
  return checked(ffi.op_cpu_linear(x, packed, bias, n, group, bits));
}

/** x times several packed matrices of n rows each, plus biases for all or none; the further products are its other outputs. */
export function cpuLinears(
  x: MxArray,
  packed: readonly MxArray[],
  biases: readonly MxArray[],
  n: Ints,
  group: number,
  bits: number,
): MxArray {
  return checked(ffi.op_cpu_linears(x, doubles(packed), packed.length, doubles(biases), biases.length, int32s(n), n.length, group, bits));
}

/** x + change, made together with change where that is a product of this graph. */
export function cpuAddTo(x: MxArray, change: MxArray): MxArray {
  return checked(ffi.op_cpu_add_to(x, change));
}

/** silu (or gelu) of x times one packed matrix of n rows, times x times another one. */
export function cpuGatedLinear(
  x: MxArray,
  gate: MxArray,
  up: MxArray,
  n: number,
  group: number,
  bits: number,
  gelu: boolean,
): MxArray {
  return checked(ffi.op_cpu_gated_linear(x, gate, up, n, group, bits, gelu));
}

/** Rows of a packed matrix, float32 [ids, k]. */
export function cpuRows(packed: MxArray, ids: MxArray): MxArray {
  return checked(ffi.op_cpu_rows(packed, ids));
}

/** An affine-quantized matrix [n, k] in the layout that cpuLinear reads. */
export function cpuQuantizedPack(
  weight: MxArray,
  scales: MxArray,
  biases: MxArray,
  k: number,
  group: number,
  bits: number,
): MxArray {
  return checked(ffi.op_cpu_quantized_pack(weight, scales, biases, k, group, bits));
}

/** The same for mxfp4 (groups of 32) and nvfp4 (of 16); such a matrix has 4 bits for whoever reads it. */
export function cpuFloatPack(weight: MxArray, scales: MxArray, k: number, group: number): MxArray {
  return checked(ffi.op_cpu_float_pack(weight, scales, k, group));
}

/** Rows of a packed quantized matrix, float32 [ids, k]. */
export function cpuQuantizedRows(packed: MxArray, ids: MxArray, k: number, group: number, bits: number): MxArray {
  return checked(ffi.op_cpu_quantized_rows(packed, ids, k, group, bits));
}

/** x / rms(x) * weight over the last axis. */
export function cpuRmsNorm(x: MxArray, weight: MxArray | null, eps: number): MxArray {
  return checked(ffi.op_cpu_rms_norm(x, weight, eps));
}

/** (x - mean) / deviation * weight + bias over the last axis. */
export function cpuLayerNorm(x: MxArray, weight: MxArray | null, bias: MxArray | null, eps: number): MxArray {
  return checked(ffi.op_cpu_layer_norm(x, weight, bias, eps));
}

/** gelu(gate) * up, with gelu's tanh approximation. */
export function cpuGeglu(gate: MxArray, up: MxArray): MxArray {
  return checked(ffi.op_cpu_geglu(gate, up));
}

/** x (1 + erf(x / sqrt(2))) / 2. */
export function cpuGelu(x: MxArray): MxArray {
  return checked(ffi.op_cpu_gelu(x));
}

/** Attention within each text of a flat batch, without a cache; q [T, H, D], k and v [T, Hkv, D], gives [T, H * D]. */
export function cpuAttendTexts(q: MxArray, k: MxArray, v: MxArray, lengths: Ints, causal: boolean, scale: number): MxArray {
  return checked(ffi.op_cpu_attend_texts(q, k, v, int32s(lengths), lengths.length, causal, scale));
}

/** (up + 1) gate sigmoid(1.702 gate), gate held at 7 from above and up at both sides. */
export function cpuClippedSwiglu(gate: MxArray, up: MxArray): MxArray {
  return checked(ffi.op_cpu_clipped_swiglu(gate, up));
}

/** silu(gate) * up. */
export function cpuSwiglu(gate: MxArray, up: MxArray): MxArray {
  return checked(ffi.op_cpu_swiglu(gate, up));
}

/** cos and sin of positions [T] times freqs [half], [T, 2, half]. */
export function cpuRopeTable(positions: MxArray, freqs: MxArray, scale: number): MxArray {
  return checked(ffi.op_cpu_rope_table(positions, freqs, scale));
}

/** x [T, H, D] rotated by the table's angles. */
export function cpuRope(x: MxArray, table: MxArray, pairs: boolean): MxArray {
  return checked(ffi.op_cpu_rope(x, table, pairs));
}

/** uint32 index of the first maximum of each row of [n, m]. */
export function cpuArgmax(x: MxArray): MxArray {
  return checked(ffi.op_cpu_argmax(x));
}

/** uint32 indices of the k largest of each row of [n, m], the largest first. */
export function cpuTopK(x: MxArray, k: number): MxArray {
  return checked(ffi.op_cpu_top_k(x, k));
}

/** How rows are put in the order of the experts that uint32 [T, k] chooses for each token: see native/cpu-experts.h. */
export function cpuExpertPlan(chosen: MxArray, experts: number): MxArray {
  return checked(ffi.op_cpu_expert_plan(chosen, experts));
}

/** The rows of x [T, n] in the plan's order, [T k, n]. */
export function cpuExpertSpread(x: MxArray, plan: MxArray, experts: number): MxArray {
  return checked(ffi.op_cpu_expert_spread(x, plan, experts));
}

/** Rows y [T k, n] in the plan's order to the sums of each token's, with weights [T, k]. */
export function cpuExpertCombine(y: MxArray, plan: MxArray, weights: MxArray, experts: number): MxArray {
  return checked(ffi.op_cpu_expert_combine(y, plan, weights, experts));
}

/** Rows x [R, k] in the plan's order (without one: as many for each expert), each times its expert's packed matrix of n rows, plus bias [experts, n]. */
export function cpuExpertLinear(
  x: MxArray,
  packed: MxArray,
  bias: MxArray | null,
  plan: MxArray | null,
  experts: number,
  n: number,
): MxArray {
  return checked(ffi.op_cpu_expert_linear(x, packed, bias, plan, experts, n));
}

/** The same with packed quantized matrices. */
export function cpuExpertQuantizedLinear(
  x: MxArray,
  packed: MxArray,
  bias: MxArray | null,
  plan: MxArray | null,
  experts: number,
  n: number,
  group: number,
  bits: number,
): MxArray {
  return checked(ffi.op_cpu_expert_quantized_linear(x, packed, bias, plan, experts, n, group, bits));
}

/** uint32 [n] drawn from scores [n, m]; params [n, 5]: temperature, top_p, top_k, min_p, uniform number. */
export function cpuSample(scores: MxArray, params: MxArray): MxArray {
  return checked(ffi.op_cpu_sample(scores, params));
}

/** scores [n, m] with -infinity for what filters [n, 6] remove: top_n_sigma, typical_p, top_p, min_p, XTC's threshold, top_k; exempt int32 [n, w] from XTC. */
export function cpuShape(scores: MxArray, filters: MxArray, exempt: MxArray): MxArray {
  return checked(ffi.op_cpu_shape(scores, filters, exempt));
}

/** scores [n, m] where bit i % 32 of word i / 32 of a row of allowed (int32) is set, elsewhere -infinity. */
export function cpuMask(scores: MxArray, allowed: MxArray): MxArray {
  return checked(ffi.op_cpu_mask(scores, allowed));
}

/** Writes k and v to the caches and attends; plan: [class, row, start, count, offset] for each stretch of a sequence; asked: [how many of its last tokens attend, from which row of q on] for each, empty: all do. */
export function cpuAttend(
  q: MxArray,
  k: MxArray | null,
  v: MxArray | null,
  sinks: MxArray | null,
  caches: readonly MxArray[],
  plan: Ints,
  asked: Ints,
  value_dim: number,
  window: number,
  chunk: number,
  scale: number,
  softcap: number,
): MxArray {
  return checked(ffi.op_cpu_attend(q, k, v, sinks, doubles(caches), caches.length, int32s(plan), plan.length, int32s(asked), asked.length, value_dim, window, chunk, scale, softcap));
}

/** Tokens of a row in all tensors [R, H, slots, D]: [count, sum of H D]. */
export function cpuExportTokens(caches: readonly MxArray[], row: number, start: number, count: number): MxArray {
  return checked(ffi.op_cpu_export_tokens(doubles(caches), caches.length, row, start, count));
}

/** Writes exported blocks into a row, in place; to be computed before anything reads the row. */
export function cpuImportTokens(caches: readonly MxArray[], blocks: readonly MxArray[], row: number, start: number): MxArray {
  return checked(ffi.op_cpu_import_tokens(doubles(caches), caches.length, doubles(blocks), blocks.length, row, start));
}

/** One row of all tensors [R, ...], flat. */
export function cpuExportState(states: readonly MxArray[], row: number): MxArray {
  return checked(ffi.op_cpu_export_state(doubles(states), states.length, row));
}

/** Writes an exported state into a row, in place; to be computed before anything reads the row. */
export function cpuImportState(states: readonly MxArray[], state: MxArray, row: number): MxArray {
  return checked(ffi.op_cpu_import_state(doubles(states), states.length, state, row));
}

/** Causal depthwise convolution, then silu if asked; updates the states. x [T, C], weight [K, C], states [R, K - 1, C]. */
export function cpuConvolve(
  x: MxArray,
  weight: MxArray,
  bias: MxArray | null,
  states: readonly MxArray[],
  plan: Ints,
  silu: boolean,
): MxArray {
  return checked(ffi.op_cpu_convolve(x, weight, bias, doubles(states), states.length, int32s(plan), plan.length, silu));
}

/** Gated delta rule; updates the states [R, Hv, Dv, Dk]. x [T, 2 Hk Dk + Hv Dv], a and b [T, Hv]. */
export function cpuGatedDelta(
  x: MxArray,
  a: MxArray,
  b: MxArray,
  decay: MxArray,
  bias: MxArray,
  states: readonly MxArray[],
  plan: Ints,
  keyHeads: number,
): MxArray {
  return checked(ffi.op_cpu_gated_delta(x, a, b, decay, bias, doubles(states), states.length, int32s(plan), plan.length, keyHeads));
}

/** Mamba-2's scan; updates the states [R, H, P, N]. x [T, H P + 2 G N], dt [T, H]. */
export function cpuStateSpace(
  x: MxArray,
  dt: MxArray,
  bias: MxArray,
  decay: MxArray,
  skip: MxArray,
  states: readonly MxArray[],
  plan: Ints,
  low: number,
  high: number,
): MxArray {
  return checked(ffi.op_cpu_state_space(x, dt, bias, decay, skip, doubles(states), states.length, int32s(plan), plan.length, low, high));
}
