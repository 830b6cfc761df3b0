/** The fused operations of a layer: MLX's own on a GPU, our primitives on the CPU, where MLX's are chains of small ones. */
import type { MxArray } from "./ffi.ts";
import { currentDevice } from "./ffi.ts";
import * as mx from "./ops.ts";

/** x / rms(x) * weight over the last axis. */
export function rmsNorm(x: MxArray, weight: MxArray | null, eps: number): MxArray {
  return currentDevice() === "cpu" ? mx.cpuRmsNorm(x, weight, eps) : mx.rmsNorm(x, weight, eps);
}

/** (x - mean) / deviation * weight + bias over the last axis. */
export function layerNorm(x: MxArray, weight: MxArray | null, bias: MxArray | null, eps: number): MxArray {
  return currentDevice() === "cpu" ? mx.cpuLayerNorm(x, weight, bias, eps) : mx.layerNorm(x, weight, bias, eps);
}

/** silu(gate) * up */
export function swiglu(gate: MxArray, up: MxArray): MxArray {
  if (currentDevice() === "cpu") return mx.cpuSwiglu(gate, up);
  return mx.multiply(mx.multiply(gate, mx.sigmoid(gate)), up);
}

/** uint32 index of the largest of each row of [n, m]. */
export function argmax(x: MxArray): MxArray {
  return currentDevice() === "cpu" ? mx.cpuArgmax(x) : mx.argmax(x, -1);
}
