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
  maximum: binary("maximum", "Larger of a and b"),
  minimum: binary("minimum", "Smaller of a and b"),
  power: binary("power", "a ** b"),
  negative: unary("negative", "-a"),
  exp: unary("exp", "e ** a"),
  log: unary("log", "Natural logarithm"),
  sqrt: unary("sqrt", "Square root"),
  square: unary("square", "a * a"),
  tanh: unary("tanh", "Hyperbolic tangent"),
  sigmoid: unary("sigmoid", "1 / (1 + e ** -a)"),
  cos: unary("cos", "Cosine"),
  sin: unary("sin", "Sine"),
  floor: unary("floor", "Largest integer not above a"),

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
  matmul: binary("matmul", "Matrix product over the last two axes"),
  addmm: { args: { c: "array", a: "array", b: "array" }, cpp: "mx::addmm(c, a, b, 1.0f, 1.0f, S)", doc: "c + a @ b" },
  gather_mm: {
    args: { a: "array", b: "array", matrices: "array" },
    cpp: "mx::gather_mm(a, b, std::nullopt, matrices, false, S)",
    doc: "a [T, M, K] times, for each t, b[matrices[t]] of b [N, K, L]",
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

  // Our own for the CPU: see native/cpu-primitives.h.
  cpu_pack: {
    args: { weight: "array" },
    cpp: "cpu_pack(weight, S)",
    doc: "A matrix [n, k] in the layout that cpuLinear reads; bfloat16 stays, the rest becomes float32",
  },
  cpu_empty: {
    args: { shape: "ints" },
    cpp: "cpu_empty(shape_of(shape), S)",
    doc: "float32 with any content, for what is written before it is read",
  },
  cpu_linear: {
    args: { x: "array", packed: "array", bias: "array?", n: "int" },
    cpp: "cpu_linear(x, packed, bias, n, S)",
    doc: "x [..., k] times a packed matrix of n rows, plus bias [n]",
  },
  cpu_rows: {
    args: { packed: "array", ids: "array" },
    cpp: "cpu_rows(packed, ids, S)",
    doc: "Rows of a packed matrix, float32 [ids, k]",
  },
  cpu_quantized_pack: {
    args: { weight: "array", scales: "array", biases: "array", k: "int", group: "int", bits: "int" },
    cpp: "cpu_quantized_pack(weight, scales, biases, k, group, bits, S)",
    doc: "An affine-quantized matrix [n, k] in the layout that cpuQuantizedLinear reads",
  },
  cpu_quantized_linear: {
    args: { x: "array", packed: "array", bias: "array?", n: "int", group: "int", bits: "int" },
    cpp: "cpu_quantized_linear(x, packed, bias, n, group, bits, S)",
    doc: "x [..., k] times a packed quantized matrix of n rows, plus bias [n]",
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
  cpu_sample: {
    args: { scores: "array", params: "array" },
    cpp: "cpu_sample(scores, params, S)",
    doc: "uint32 [n] drawn from scores [n, m]; params [n, 5]: temperature, top_p, top_k, min_p, uniform number",
  },
  cpu_attend: {
    args: {
      q: "array",
      k: "array?",
      v: "array?",
      sinks: "array?",
      caches: "arrays",
      plan: "ints",
      value_dim: "int",
      window: "int",
      chunk: "int",
      scale: "float",
      softcap: "float",
    },
    cpp: "cpu_attend(q, k, v, sinks, caches, plan, {value_dim, window, chunk, scale, softcap}, S)",
    doc: "Writes k and v to the caches and attends; plan: [class, row, start, count, offset] for each stretch of a sequence",
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
