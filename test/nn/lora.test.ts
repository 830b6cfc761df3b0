import { beforeAll, expect, test } from "bun:test";
import { evaluate, floats, ints, openMlx, readFloats, scope } from "../../src/mlx/array.ts";
import { DTYPES } from "../../src/mlx/dtype.ts";
import type { MxArray } from "../../src/mlx/ffi.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import * as mx from "../../src/mlx/ops.ts";
import { type Linear, takeAdapters } from "../../src/nn/linear.ts";
import { LoraLinear } from "../../src/nn/lora.ts";
import { Parameter } from "../../src/nn/parameter.ts";

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

function read(array: MxArray): number[] {
  const result = mx.contiguous(mx.astype(array, DTYPES.float32));
  evaluate(result);
  return [...readFloats(result)];
}

function filled(values: readonly number[], shape: readonly number[]): Parameter {
  const parameter = new Parameter("p");
  parameter.fill(floats(values, shape));
  return parameter;
}

/** Passes x on; two adapters of rank 1 on two inputs and outputs. */
function makeLayer(): LoraLinear {
  const base: Linear = { forward: (x) => x };
  return new LoraLinear(base, filled([0, 0, 1, 10, 2, 0], [3, 2, 1]), filled([0, 0, 1, -1, 0, 3], [3, 1, 2]));
}

const X = [1, 2, 3, 4, 5, 6, 7, 8];

test("each row gets the update of its own adapter, in any order", () => {
  scope(() => {
    const y = makeLayer().forward(floats(X, [4, 2]), { adapters: ints([2, 0, 1, 2]) });
    // [1, 2]: 2 * 1 = 2, times [0, 3]. [5, 6]: 5 + 60 = 65, times [1, -1]. [7, 8]: 14 times [0, 3].
    expect(read(y)).toEqual([1, 2 + 6, 3, 4, 5 + 65, 6 - 65, 7, 8 + 42]);
  });
});

test("without adapters in the batch nothing is computed but the layer itself", () => {
  scope(() => {
    const x = floats(X, [4, 2]);
    expect(makeLayer().forward(x, { adapters: null })).toBe(x);
  });
});

test("what comes out has the type of the layer", () => {
  scope(() => {
    const x = mx.astype(floats(X, [4, 2]), DTYPES.bfloat16);
    const y = makeLayer().forward(x, { adapters: ints([1, 1, 0, 0]) });
    expect(read(y)).toEqual([1 + 21, 2 - 21, 3 + 43, 4 - 43, 5, 6, 7, 8]);
    expect(read(mx.astype(y, DTYPES.bfloat16))).toEqual(read(y));
  });
});

test("rows that are taken from the batch keep their adapters", () => {
  scope(() => {
    const batch = { adapters: ints([2, 0, 1, 2]) };
    const left = takeAdapters(batch, ints([2, 1])).adapters!;
    const y = makeLayer().forward(floats([5, 6, 3, 4], [2, 2]), { adapters: left });
    expect(read(y)).toEqual([5 + 65, 6 - 65, 3, 4]);
    expect(takeAdapters(batch, null).adapters).toBe(batch.adapters);
    expect(takeAdapters({ adapters: null }, ints([0])).adapters).toBeNull();
  });
});
