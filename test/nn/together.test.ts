import { beforeAll, expect, test } from "bun:test";
import { evaluate, ints, openMlx, readFloats, scope } from "../../src/mlx/array.ts";
import { geglu, swiglu } from "../../src/mlx/fast.ts";
import type { MxArray } from "../../src/mlx/ffi.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import * as mx from "../../src/mlx/ops.ts";
import { DenseLinear, type Linear, PackedLinear } from "../../src/nn/linear.ts";
import { LoraLinear } from "../../src/nn/lora.ts";
import type { Parameter } from "../../src/nn/parameter.ts";
import { forwardAll, forwardGated } from "../../src/nn/together.ts";
import { randoms } from "../mlx/randoms.ts";

const [IN, OUT, ROWS] = [64, 40, 5];

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

const parameter = (array: MxArray) => ({ array }) as Parameter;

/** Linear layers of all kinds, and what they stand beside. */
function makeLayers() {
  const dense = () => new DenseLinear(parameter(mx.transpose(randoms([OUT, IN]), [1, 0])), null);
  const packed = (bias = false) =>
    new PackedLinear(parameter(mx.cpuPack(randoms([OUT, IN]))), bias ? parameter(randoms([OUT])) : null, OUT);
  const quantized = () => {
    const levels = mx.quantize(randoms([OUT, IN]), 32, 4);
    const weight = mx.cpuQuantizedPack(levels, mx.output(levels, 1), mx.output(levels, 2), IN, 32, 4);
    return new PackedLinear(parameter(weight), null, OUT, { mode: "affine", groupSize: 32, bits: 4 });
  };
  const lora = () => new LoraLinear(packed(), parameter(randoms([2, IN, 3])), parameter(randoms([2, 3, OUT])));
  return { dense, packed, quantized, lora };
}

function numbers(array: MxArray): number[] {
  const plain = mx.contiguous(array);
  evaluate(plain);
  return [...readFloats(plain)];
}

function expectSame(got: MxArray, want: MxArray): void {
  const [a, b] = [numbers(got), numbers(want)];
  expect(a.length).toBe(ROWS * OUT);
  a.forEach((value, i) => {
    expect(value).toBeCloseTo(b[i]!, 3);
  });
}

test("layers of whatever kinds give what each gives by itself, with adapters and without", () => {
  scope(() => {
    const { dense, packed, quantized, lora } = makeLayers();
    const rows: Linear[][] = [
      [packed(), packed(), packed()],
      [packed(true), packed(true)],
      [packed(true), packed()],
      [quantized(), quantized()],
      [quantized(), packed()],
      [dense(), packed()],
      [lora(), packed(), lora()],
    ];
    const x = randoms([ROWS, IN]);
    for (const layers of rows) {
      for (const batch of [{ adapters: null }, { adapters: ints([0, 1, 1, 0, 1]) }]) {
        forwardAll(layers, x, batch).forEach((y, i) => {
          expectSame(y, layers[i]!.forward(x, batch));
        });
        const [gate, up] = layers as [Linear, Linear];
        for (const activation of [swiglu, geglu, mx.maximum]) {
          expectSame(forwardGated(gate, up, activation, x, batch), activation(gate.forward(x, batch), up.forward(x, batch)));
        }
      }
    }
  });
});

test("what is alike is one operation", () => {
  scope(() => {
    const { packed, quantized } = makeLayers();
    const x = randoms([ROWS, IN]);
    expect(PackedLinear.forwardAll([packed(), packed()], x)?.length).toBe(2);
    expect(PackedLinear.forwardAll([packed(), quantized()], x)).toBeNull();
    expect(PackedLinear.forwardAll([packed(true), packed()], x)).toBeNull();
    expect(PackedLinear.forwardGated(quantized(), quantized(), x, true)).not.toBeNull();
    expect(PackedLinear.forwardGated(packed(), packed(true), x, false)).toBeNull();
  });
});
