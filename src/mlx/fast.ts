/** The fused operations of a layer: MLX's own on a GPU, our primitives on the CPU, where MLX's are chains of small ones. */
import { dimension, dtypeOf, scalar } from "./array.ts";
import type { MxArray } from "./ffi.ts";
import { currentDevice } from "./ffi.ts";
import * as mx from "./ops.ts";

/** Of gpt-oss's activation. */
const CLIP = 7;

/** x / rms(x) * weight over the last axis. */
export function rmsNorm(x: MxArray, weight: MxArray | null, eps: number): MxArray {
  return currentDevice() === "cpu" ? mx.cpuRmsNorm(x, weight, eps) : mx.rmsNorm(x, weight, eps);
}

/** (x - mean) / deviation * weight + bias over the last axis. */
export function layerNorm(x: MxArray, weight: MxArray | null, bias: MxArray | null, eps: number): MxArray {
  return currentDevice() === "cpu" ? mx.cpuLayerNorm(x, weight, bias, eps) : mx.layerNorm(x, weight, bias, eps);
}

/** x + change, both of the graph that is being built. */
export function addTo(x: MxArray, change: MxArray): MxArray {
  return currentDevice() === "cpu" ? mx.cpuAddTo(x, change) : mx.add(x, change);
}

/** silu(gate) * up */
export function swiglu(gate: MxArray, up: MxArray): MxArray {
  if (currentDevice() === "cpu") return mx.cpuSwiglu(gate, up);
  return mx.multiply(mx.multiply(gate, mx.sigmoid(gate)), up);
}

/** gpt-oss's: (up + 1) gate sigmoid(1.702 gate), the gate held at 7 from above and up at both sides. */
export function clippedSwiglu(gate: MxArray, up: MxArray): MxArray {
  if (currentDevice() === "cpu") return mx.cpuClippedSwiglu(gate, up);
  const g = mx.minimum(gate, mx.astype(scalar(CLIP), dtypeOf(gate)));
  const clipped = mx.maximum(mx.minimum(up, mx.astype(scalar(CLIP), dtypeOf(up))), mx.astype(scalar(-CLIP), dtypeOf(up)));
  const linear = mx.add(clipped, mx.astype(scalar(1), dtypeOf(up)));
  return mx.multiply(linear, mx.multiply(g, mx.sigmoid(times(g, 1.702))));
}

/** uint32 index of the largest of each row of [n, m]. */
export function argmax(x: MxArray): MxArray {
  return currentDevice() === "cpu" ? mx.cpuArgmax(x) : mx.argmax(x, -1);
}

/** uint32 indices [n, k] of the k largest of each row of [n, m], in any order. */
export function topK(x: MxArray, k: number): MxArray {
  if (currentDevice() === "cpu") return mx.cpuTopK(x, k);
  return mx.slice(mx.argpartition(mx.negative(x), k - 1, -1), [0, 0], [dimension(x, 0), k]);
}

/** gelu(gate) * up, with gelu's tanh approximation. */
export function geglu(gate: MxArray, up: MxArray): MxArray {
  return currentDevice() === "cpu" ? mx.cpuGeglu(gate, up) : mx.multiply(geluApprox(gate), up);
}

/** x (1 + erf(x / sqrt(2))) / 2 */
export function gelu(x: MxArray): MxArray {
  if (currentDevice() === "cpu") return mx.cpuGelu(x);
  return mx.multiply(times(x, 0.5), mx.add(mx.erf(times(x, Math.SQRT1_2)), mx.astype(scalar(1), dtypeOf(x))));
}

/** x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 */
export function geluApprox(x: MxArray): MxArray {
  const inner = times(mx.add(x, times(mx.multiply(x, mx.square(x)), 0.044715)), Math.sqrt(2 / Math.PI));
  return times(mx.add(x, mx.multiply(x, mx.tanh(inner))), 0.5);
}

/** relu(x)^2 */
export function reluSquared(x: MxArray): MxArray {
  return mx.square(mx.maximum(x, mx.astype(scalar(0), dtypeOf(x))));
}

/** x * factor, in x's own type. */
export function times(x: MxArray, factor: number): MxArray {
  return mx.multiply(x, mx.astype(scalar(factor), dtypeOf(x)));
}

/** cap tanh(x / cap) */
export function softcap(x: MxArray, cap: number): MxArray {
  return times(mx.tanh(times(x, 1 / cap)), cap);
}
