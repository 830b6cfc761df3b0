/**
 * The one place that declares an MLX operation. `generate.ts` writes `native/ops.cpp` and `ops.ts` from it;
 * a test fails when they are stale.
 *
 * Argument kinds, C++ side: `array` const array&, `array?` std::optional<array>, `arrays` std::vector<array>,
 * `ints` std::vector<int> (convertible to a shape), `int`, `float`, `bool`, `dtype` Dtype, `mode` std::string (quantization mode).
 * `S` in an expression is the stream.
 */
export type ArgKind = "array" | "array?" | "arrays" | "ints" | "int" | "float" | "bool" | "dtype" | "mode";

export interface Op {
  args: Record<string, ArgKind>;
  /** C++ expression that yields an array. */
  cpp: string;
  doc: string;
}

const unary = (name: string, doc: string): Op => ({ args: { a: "array" }, cpp: `mx::${name}(a, S)`, doc });
const binary = (name: string, doc: string): Op => ({ args: { a: "array", b: "array" }, cpp: `mx::${name}(a, b, S)`, doc });

export const OPS = {
  // Arithmetic, element by element with broadcasting.
  add: binary("add", "a + b"),
  subtract: binary("subtract", "a - b"),
  multiply: binary("multiply", "a * b"),
  divide: binary("divide", "a / b"),
  floor_divide: binary("floor_divide", "The largest integer not above a / b"),
  maximum: binary("maximum", "Larger of a and b"),
  minimum: binary("minimum", "Smaller of a and b"),
  power: binary("power", "a ** b"),
  negative: unary("negative", "-a"),
  exp: unary("exp", "e ** a"),
  expm1: unary("expm1", "e ** a - 1, exact near 0"),
  log: unary("log", "Natural logarithm"),
  logaddexp: binary("logaddexp", "log(e ** a + e ** b)"),
  sqrt: unary("sqrt", "Square root"),
  square: unary("square", "a * a"),
  tanh: unary("tanh", "Hyperbolic tangent"),
  erf: unary("erf", "Error function"),
  sigmoid: unary("sigmoid", "1 / (1 + e ** -a)"),
  cos: unary("cos", "Cosine"),
  sin: unary("sin", "Sine"),
  floor: unary("floor", "Largest integer not above a"),

  bitwise_and: binary("bitwise_and", "a & b, of integers"),
  left_shift: binary("left_shift", "a << b"),
  right_shift: binary("right_shift", "a >> b"),

  // Comparison and choice.
  equal: binary("equal", "a == b"),
  less: binary("less", "a < b"),
  less_equal: binary("less_equal", "a <= b"),
  greater: binary("greater", "a > b"),
  greater_equal: binary("greater_equal", "a >= b"),
  logical_and: binary("logical_and", "a && b"),
  logical_or: binary("logical_or", "a || b"),
  logical_not: unary("logical_not", "!a"),
  where: { args: { condition: "array", a: "array", b: "array" }, cpp: "mx::where(condition, a, b, S)", doc: "condition ? a : b" },

  // Shape.
  reshape: {
    args: { a: "array", shape: "ints" },
    cpp: "mx::reshape(a, shape_of(shape), S)",
    doc: "Same elements, other shape; one entry may be -1",
  },
  transpose: { args: { a: "array", axes: "ints" }, cpp: "mx::transpose(a, axes, S)", doc: "Permutes the axes" },
  expand_dims: { args: { a: "array", axis: "int" }, cpp: "mx::expand_dims(a, axis, S)", doc: "Inserts an axis of 1" },
  squeeze: { args: { a: "array", axis: "int" }, cpp: "mx::squeeze(a, axis, S)", doc: "Drops an axis of 1" },
  broadcast_to: {
    args: { a: "array", shape: "ints" },
    cpp: "mx::broadcast_to(a, shape_of(shape), S)",
    doc: "Repeats along axes of 1, without a copy",
  },
  concatenate: { args: { list: "arrays", axis: "int" }, cpp: "mx::concatenate(list, axis, S)", doc: "Joins along an axis" },
  slice: {
    args: { a: "array", start: "ints", stop: "ints" },
    cpp: "mx::slice(a, shape_of(start), shape_of(stop), S)",
    doc: "a[start[0]:stop[0], ...], a view",
  },
  slice_update: {
    args: { a: "array", update: "array", start: "ints", stop: "ints" },
    cpp: "mx::slice_update(a, update, shape_of(start), shape_of(stop), S)",
    doc: "a with a[start:stop] replaced; in place when a has no other holder (see renew)",
  },
  contiguous: { args: { a: "array" }, cpp: "mx::contiguous(a, false, S)", doc: "Row-major without gaps" },
  view: { args: { a: "array", dtype: "dtype" }, cpp: "mx::view(a, dtype, S)", doc: "The same bytes as elements of another type" },
  astype: { args: { a: "array", dtype: "dtype" }, cpp: "mx::astype(a, dtype, S)", doc: "Converts the element type" },
  zeros: { args: { shape: "ints", dtype: "dtype" }, cpp: "mx::zeros(shape_of(shape), dtype, S)", doc: "All zero" },
  full: {
    args: { shape: "ints", value: "float", dtype: "dtype" },
    cpp: "mx::full(shape_of(shape), mx::array(value, dtype), S)",
    doc: "All equal to value",
  },
  arange: {
    args: { start: "int", stop: "int" },
    cpp: "mx::arange(start, stop, 1, S)",
    doc: "int32 [start, start + 1, ..., stop - 1]",
  },

  // Indexing.
  take: {
    args: { a: "array", indices: "array", axis: "int" },
    cpp: "mx::take(a, indices, axis, S)",
    doc: "Rows of a by index along an axis",
  },
  take_along_axis: {
    args: { a: "array", indices: "array", axis: "int" },
    cpp: "mx::take_along_axis(a, indices, axis, S)",
    doc: "One element per index along an axis",
  },
  put_along_axis: {
    args: { a: "array", indices: "array", values: "array", axis: "int" },
    cpp: "mx::put_along_axis(a, indices, values, axis, S)",
    doc: "a with the indexed elements replaced",
  },
  scatter_rows: {
    args: { a: "array", rows: "array", updates: "array" },
    cpp: "scatter_rows(a, rows, updates, S)",
    doc: "a[rows[i]] = updates[i]; updates [n, ...a.shape[1:]]",
  },
  scatter_positions: {
    args: { a: "array", rows: "array", positions: "array", updates: "array" },
    cpp: "scatter_positions(a, rows, positions, updates, S)",
    doc: "a [R, H, C, D]: a[rows[i], :, positions[i], :] = updates[i]; updates [n, H, D]",
  },
  clone: {
    args: { a: "array" },
    cpp: "mx::add(a, mx::array(0, a.dtype()), S)",
    doc: "The same values in a buffer of their own, which no view of a shares",
  },
  renew: {
    args: { a: "array", after: "arrays" },
    cpp: "renew(a, after, S)",
    doc: "Takes over the buffer of a (which must not be used by anything later) once `after` is computed, so that the next update is in place",
  },

  // Reduction and order.
  sum: { args: { a: "array", axis: "int", keep: "bool" }, cpp: "mx::sum(a, axis, keep, S)", doc: "Sum along an axis" },
  mean: { args: { a: "array", axis: "int", keep: "bool" }, cpp: "mx::mean(a, axis, keep, S)", doc: "Mean along an axis" },
  max: { args: { a: "array", axis: "int", keep: "bool" }, cpp: "mx::max(a, axis, keep, S)", doc: "Maximum along an axis" },
  min: { args: { a: "array", axis: "int", keep: "bool" }, cpp: "mx::min(a, axis, keep, S)", doc: "Minimum along an axis" },
  logsumexp: {
    args: { a: "array", axis: "int", keep: "bool" },
    cpp: "mx::logsumexp(a, axis, keep, S)",
    doc: "log of the sum of exponentials",
  },
  argmax: { args: { a: "array", axis: "int" }, cpp: "mx::argmax(a, axis, false, S)", doc: "uint32 index of the first maximum" },
  cumsum: { args: { a: "array", axis: "int" }, cpp: "mx::cumsum(a, axis, false, true, S)", doc: "Inclusive running sum" },
  softmax: { args: { a: "array", axis: "int" }, cpp: "mx::softmax(a, axis, true, S)", doc: "Softmax in float32 accuracy" },
  sort: { args: { a: "array", axis: "int" }, cpp: "mx::sort(a, axis, S)", doc: "Ascending" },
  argsort: { args: { a: "array", axis: "int" }, cpp: "mx::argsort(a, axis, S)", doc: "uint32 indices of the ascending order" },
  argpartition: {
    args: { a: "array", kth: "int", axis: "int" },
    cpp: "mx::argpartition(a, kth, axis, S)",
    doc: "uint32 indices: those of the kth smallest first",
  },

  // Linear algebra.
  conv1d: {
    args: { x: "array", weight: "array", groups: "int" },
    cpp: "mx::conv1d(x, weight, 1, 0, 1, groups, S)",
    doc: "x [B, T, C] with weight [C, K, C / groups], without padding",
  },
  matmul: binary("matmul", "Matrix product over the last two axes"),
  addmm: { args: { c: "array", a: "array", b: "array" }, cpp: "mx::addmm(c, a, b, 1.0f, 1.0f, S)", doc: "c + a @ b" },
  gather_mm: {
    args: { a: "array", b: "array", matrices: "array" },
    cpp: "mx::gather_mm(a, b, std::nullopt, matrices, false, S)",
    doc: "a [T, M, K] times, for each t, b[matrices[t]] of b [N, K, L]",
  },
  expert_mm: {
    args: { x: "array", w: "array", experts: "array", sorted: "bool" },
    cpp: "mx::gather_mm(x, w, std::nullopt, experts, sorted, S)",
    doc: "x [R, 1, K] times, for each row, w[experts[r]] of w [N, K, L]; sorted: the experts ascend",
  },
  expert_qmm: {
    args: {
      x: "array",
      w: "array",
      scales: "array",
      biases: "array?",
      experts: "array",
      groupSize: "int",
      bits: "int",
      mode: "mode",
      sorted: "bool",
    },
    cpp: "mx::gather_qmm(x, w, scales, biases, std::nullopt, experts, true, groupSize, bits, mode, std::nullopt, sorted, S)",
    doc: "The same with quantized weights [N, L, ...], transposed",
  },
  quantized_matmul: {
    args: {
      x: "array",
      w: "array",
      scales: "array",
      biases: "array?",
      transpose: "bool",
      groupSize: "int",
      bits: "int",
      mode: "mode",
    },
    cpp: "mx::quantized_matmul(x, w, scales, biases, transpose, groupSize, bits, mode, S)",
    doc: "x @ dequantized(w), transposed by default as linear layers store it",
  },
  quantize: {
    args: { w: "array", groupSize: "int", bits: "int" },
    cpp: 'mx::quantize(w, groupSize, bits, "affine", std::nullopt, S)[0]',
    doc: "Affine-quantized rows, uint32; output(…, 1) are their scales, output(…, 2) their offsets",
  },
  output: {
    args: { a: "array", index: "int" },
    cpp: "a.outputs().at(index)",
    doc: "Another output of the operation that a is an output of; only as long as that is not computed",
  },
  from_fp8: {
    args: { a: "array", dtype: "dtype" },
    cpp: "mx::from_fp8(a, dtype, S)",
    doc: "Numbers of bytes that are E4M3 floats",
  },
  dequantize: {
    args: { w: "array", scales: "array", biases: "array?", groupSize: "int", bits: "int", mode: "mode", dtype: "dtype" },
    cpp: "mx::dequantize(w, scales, biases, groupSize, bits, mode, std::nullopt, dtype, S)",
    doc: "The matrix that w, scales and biases stand for",
  },

  // Fused.
  rms_norm: {
    args: { x: "array", weight: "array?", eps: "float" },
    cpp: "mx::fast::rms_norm(x, weight, eps, S)",
    doc: "x / rms(x) * weight over the last axis",
  },
  layer_norm: {
    args: { x: "array", weight: "array?", bias: "array?", eps: "float" },
    cpp: "mx::fast::layer_norm(x, weight, bias, eps, S)",
    doc: "(x - mean) / deviation * weight + bias over the last axis",
  },
  rope: {
    args: { x: "array", dims: "int", traditional: "bool", base: "float", scale: "float", offset: "array", freqs: "array?" },
    cpp: "mx::fast::rope(x, dims, traditional, freqs ? std::nullopt : std::optional<float>(base), scale, offset, freqs, S)",
    doc: "Rotary embedding of x [B, H, T, D]; offset int32 [B]; freqs (wavelengths / 2 pi) replace base",
  },
  attention: {
    args: { q: "array", k: "array", v: "array", scale: "float", causal: "bool", mask: "array?", sinks: "array?" },
    cpp: 'mx::fast::scaled_dot_product_attention(q, k, v, scale, causal ? "causal" : "", mask, sinks, false, S)',
    doc: "softmax(q k^T scale + mask) v; q [B, H, Tq, D], k and v [B, Hkv, Tk, D]; causal aligns the ends",
  },

  fused_gated_delta: {
    args: { q: "array", k: "array", v: "array", g: "array", beta: "array", state: "array" },
    cpp: "fused_gated_delta(q, k, v, g, beta, state, S)",
    doc: "MLX's gated delta rule: y and the new state, one after the other in each row [B, n]; [0] where MLX has no kernel for the sizes",
  },

  // Our own for the CPU: see native/cpu-primitives.h.
  cpu_pack: {
    args: { weight: "array" },
    cpp: "cpu_pack(weight, S)",
    doc: "A matrix [n, k] in the layout that cpuLinear reads; bfloat16 stays, the rest becomes float32",
  },
  cpu_empty_rows: {
    args: { shape: "ints", room: "int" },
    cpp: "cpu_empty_rows(shape_of(shape), room, S)",
    doc: "float32 [rows, ...] with any content, for what is written before it is read; it may grow to `room` rows where it is",
  },
  cpu_more_rows: {
    args: { a: "array", rows: "int", room: "int" },
    cpp: "cpu_more_rows(a, rows, room, S)",
    doc: "a, which must not be used by anything later, with more rows behind its own: where it is if there is room, else elsewhere with new room",
  },
  cpu_copy_row: {
    args: { from: "arrays", to: "arrays", fromRow: "int", toRow: "int", slots: "ints" },
    cpp: "cpu_copy_row(from, to, fromRow, toRow, slots, S)",
    doc: "Copies the first slots of a row of each `from` [R, H, slots, D] to a row of `to`, in place; negative: a whole row. [1]: it is done",
  },
  cpu_linear: {
    args: { x: "array", packed: "array", bias: "array?", n: "int", group: "int", bits: "int" },
    cpp: "cpu_linear(x, packed, bias, n, group, bits, S)",
    doc: "x [..., k] times a packed matrix of n rows, plus bias [n]; bits: of a quantized one, 0 for a dense one",
  },
  cpu_linears: {
    args: { x: "array", packed: "arrays", biases: "arrays", n: "ints", group: "int", bits: "int" },
    cpp: "cpu_linears(x, packed, biases, n, group, bits, S)[0]",
    doc: "x times several packed matrices of n rows each, plus biases for all or none; the further products are its other outputs",
  },
  cpu_add_to: {
    args: { x: "array", change: "array" },
    cpp: "cpu_add_to(x, change, S)",
    doc: "x + change, made together with change where that is a product of this graph",
  },
  cpu_gated_linear: {
    args: { x: "array", gate: "array", up: "array", n: "int", group: "int", bits: "int", gelu: "bool" },
    cpp: "cpu_gated_linear(x, gate, up, n, group, bits, gelu, S)",
    doc: "silu (or gelu) of x times one packed matrix of n rows, times x times another one",
  },
  cpu_rows: {
    args: { packed: "array", ids: "array" },
    cpp: "cpu_rows(packed, ids, S)",
    doc: "Rows of a packed matrix, float32 [ids, k]",
  },
  cpu_quantized_pack: {
    args: { weight: "array", scales: "array", biases: "array", k: "int", group: "int", bits: "int" },
    cpp: "cpu_quantized_pack(weight, scales, biases, k, group, bits, S)",
    doc: "An affine-quantized matrix [n, k] in the layout that cpuLinear reads",
  },
  cpu_float_pack: {
    args: { weight: "array", scales: "array", k: "int", group: "int" },
    cpp: "cpu_float_pack(weight, scales, k, group, S)",
    doc: "The same for mxfp4 (groups of 32) and nvfp4 (of 16); such a matrix has 4 bits for whoever reads it",
  },
  cpu_quantized_rows: {
    args: { packed: "array", ids: "array", k: "int", group: "int", bits: "int" },
    cpp: "cpu_quantized_rows(packed, ids, k, group, bits, S)",
    doc: "Rows of a packed quantized matrix, float32 [ids, k]",
  },
  cpu_rms_norm: {
    args: { x: "array", weight: "array?", eps: "float" },
    cpp: "cpu_rms_norm(x, weight, eps, S)",
    doc: "x / rms(x) * weight over the last axis",
  },
  cpu_layer_norm: {
    args: { x: "array", weight: "array?", bias: "array?", eps: "float" },
    cpp: "cpu_layer_norm(x, weight, bias, eps, S)",
    doc: "(x - mean) / deviation * weight + bias over the last axis",
  },
  cpu_geglu: {
    args: { gate: "array", up: "array" },
    cpp: "cpu_geglu(gate, up, S)",
    doc: "gelu(gate) * up, with gelu's tanh approximation",
  },
  cpu_gelu: { args: { x: "array" }, cpp: "cpu_gelu(x, S)", doc: "x (1 + erf(x / sqrt(2))) / 2" },
  cpu_attend_texts: {
    args: { q: "array", k: "array", v: "array", lengths: "ints", causal: "bool", scale: "float" },
    cpp: "cpu_attend_texts(q, k, v, lengths, causal, scale, S)",
    doc: "Attention within each text of a flat batch, without a cache; q [T, H, D], k and v [T, Hkv, D], gives [T, H * D]",
  },
  cpu_clipped_swiglu: {
    args: { gate: "array", up: "array" },
    cpp: "cpu_clipped_swiglu(gate, up, S)",
    doc: "(up + 1) gate sigmoid(1.702 gate), gate held at 7 from above and up at both sides",
  },
  cpu_swiglu: { args: { gate: "array", up: "array" }, cpp: "cpu_swiglu(gate, up, S)", doc: "silu(gate) * up" },
  cpu_rope_table: {
    args: { positions: "array", freqs: "array", scale: "float" },
    cpp: "cpu_rope_table(positions, freqs, scale, S)",
    doc: "cos and sin of positions [T] times freqs [half], [T, 2, half]",
  },
  cpu_rope: {
    args: { x: "array", table: "array", pairs: "bool" },
    cpp: "cpu_rope(x, table, pairs, S)",
    doc: "x [T, H, D] rotated by the table's angles",
  },
  cpu_argmax: { args: { x: "array" }, cpp: "cpu_argmax(x, S)", doc: "uint32 index of the first maximum of each row of [n, m]" },
  cpu_top_k: {
    args: { x: "array", k: "int" },
    cpp: "cpu_top_k(x, k, S)",
    doc: "uint32 indices of the k largest of each row of [n, m], the largest first",
  },
  cpu_expert_plan: {
    args: { chosen: "array", experts: "int" },
    cpp: "cpu_expert_plan(chosen, experts, S)",
    doc: "How rows are put in the order of the experts that uint32 [T, k] chooses for each token: see native/cpu-experts.h",
  },
  cpu_expert_spread: {
    args: { x: "array", plan: "array", experts: "int" },
    cpp: "cpu_expert_spread(x, plan, experts, S)",
    doc: "The rows of x [T, n] in the plan's order, [T k, n]",
  },
  cpu_expert_combine: {
    args: { y: "array", plan: "array", weights: "array", experts: "int" },
    cpp: "cpu_expert_combine(y, plan, weights, experts, S)",
    doc: "Rows y [T k, n] in the plan's order to the sums of each token's, with weights [T, k]",
  },
  cpu_expert_linear: {
    args: { x: "array", packed: "array", bias: "array?", plan: "array?", experts: "int", n: "int" },
    cpp: "cpu_expert_linear(x, packed, bias, plan, experts, n, S)",
    doc: "Rows x [R, k] in the plan's order (without one: as many for each expert), each times its expert's packed matrix of n rows, plus bias [experts, n]",
  },
  cpu_expert_quantized_linear: {
    args: { x: "array", packed: "array", bias: "array?", plan: "array?", experts: "int", n: "int", group: "int", bits: "int" },
    cpp: "cpu_expert_quantized_linear(x, packed, bias, plan, experts, n, group, bits, S)",
    doc: "The same with packed quantized matrices",
  },
  cpu_sample: {
    args: { scores: "array", params: "array" },
    cpp: "cpu_sample(scores, params, S)",
    doc: "uint32 [n] drawn from scores [n, m]; params [n, 5]: temperature, top_p, top_k, min_p, uniform number",
  },
  cpu_shape: {
    args: { scores: "array", filters: "array", exempt: "array" },
    cpp: "cpu_shape(scores, filters, exempt, S)",
    doc: "scores [n, m] with -infinity for what filters [n, 6] remove: top_n_sigma, typical_p, top_p, min_p, XTC's threshold, top_k; exempt int32 [n, w] from XTC",
  },
  cpu_mask: {
    args: { scores: "array", allowed: "array" },
    cpp: "cpu_mask(scores, allowed, S)",
    doc: "scores [n, m] where bit i % 32 of word i / 32 of a row of allowed (int32) is set, elsewhere -infinity",
  },
  cpu_attend: {
    args: {
      q: "array",
      k: "array?",
      v: "array?",
      sinks: "array?",
      caches: "arrays",
      plan: "ints",
      asked: "ints",
      value_dim: "int",
      window: "int",
      chunk: "int",
      scale: "float",
      softcap: "float",
    },
    cpp: "cpu_attend(q, k, v, sinks, caches, plan, asked, {value_dim, window, chunk, scale, softcap}, S)",
    doc: "Writes k and v to the caches and attends; plan: [class, row, start, count, offset] for each stretch of a sequence; asked: [how many of its last tokens attend, from which row of q on] for each, empty: all do",
  },
  cpu_export_tokens: {
    args: { caches: "arrays", row: "int", start: "int", count: "int" },
    cpp: "cpu_export_tokens(caches, row, start, count, S)",
    doc: "Tokens of a row in all tensors [R, H, slots, D]: [count, sum of H D]",
  },
  cpu_import_tokens: {
    args: { caches: "arrays", blocks: "arrays", row: "int", start: "int" },
    cpp: "cpu_import_tokens(caches, blocks, row, start, S)",
    doc: "Writes exported blocks into a row, in place; to be computed before anything reads the row",
  },
  cpu_export_state: {
    args: { states: "arrays", row: "int" },
    cpp: "cpu_export_state(states, row, S)",
    doc: "One row of all tensors [R, ...], flat",
  },
  cpu_import_state: {
    args: { states: "arrays", state: "array", row: "int" },
    cpp: "cpu_import_state(states, state, row, S)",
    doc: "Writes an exported state into a row, in place; to be computed before anything reads the row",
  },
  cpu_convolve: {
    args: { x: "array", weight: "array", bias: "array?", states: "arrays", plan: "ints", silu: "bool" },
    cpp: "cpu_convolve(x, weight, bias, states, plan, silu, S)",
    doc: "Causal depthwise convolution, then silu if asked; updates the states. x [T, C], weight [K, C], states [R, K - 1, C]",
  },
  cpu_gated_delta: {
    args: {
      x: "array",
      a: "array",
      b: "array",
      decay: "array",
      bias: "array",
      states: "arrays",
      plan: "ints",
      keyHeads: "int",
    },
    cpp: "cpu_gated_delta(x, a, b, decay, bias, states, plan, keyHeads, S)",
    doc: "Gated delta rule; updates the states [R, Hv, Dv, Dk]. x [T, 2 Hk Dk + Hv Dv], a and b [T, Hv]",
  },
  cpu_state_space: {
    args: {
      x: "array",
      dt: "array",
      bias: "array",
      decay: "array",
      skip: "array",
      states: "arrays",
      plan: "ints",
      low: "float",
      high: "float",
    },
    cpp: "cpu_state_space(x, dt, bias, decay, skip, states, plan, low, high, S)",
    doc: "Mamba-2's scan; updates the states [R, H, P, N]. x [T, H P + 2 G N], dt [T, H]",
  },
} as const satisfies Record<string, Op>;

/** How each kind crosses `bun:ffi`. Handles are passed as pointers because those travel as plain numbers. */
export const FFI_TYPES: Record<ArgKind, readonly ("ptr" | "i32" | "f64" | "bool")[]> = {
  array: ["ptr"],
  "array?": ["ptr"],
  arrays: ["ptr", "i32"],
  ints: ["ptr", "i32"],
  int: ["i32"],
  float: ["f64"],
  bool: ["bool"],
  dtype: ["i32"],
  mode: ["i32"],
};
