import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { floats, openMlx, scope } from "../../src/mlx/array.ts";
import { DTYPES } from "../../src/mlx/dtype.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import * as mx from "../../src/mlx/ops.ts";
import { openCheckpoint } from "../../src/models/checkpoint.ts";
import { loadModel, prepareModel } from "../../src/models/load.ts";
import { randoms } from "../mlx/randoms.ts";
import { Driver } from "../parity/driver.ts";
import { fixtures, makeScratch, repository, startupMessage } from "./model-directories.ts";
import { contentOf, floatContent, numbersOf, openWeights, writeContents } from "./tensor-files.ts";

const scratch = makeScratch();
afterAll(scratch.remove);
beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

const OUT = 40;
const IN = 128;
const ALONE = { adapters: null };
const WAYS = [
  { way: "CPU primitives", options: { dtype: DTYPES.float32, packed: true } },
  { way: "graph", options: { dtype: null, packed: false } },
];

/** x times what `mx.quantize` makes of bfloat16 numbers. */
function expected(x: Float32Array, numbers: Float32Array, bits: number): Float32Array {
  return numbersOf(() => {
    const levels = mx.quantize(mx.astype(floats(numbers, [OUT, IN]), DTYPES.bfloat16), 64, bits);
    const [scales, biases] = [1, 2].map((index) => mx.astype(mx.output(levels, index), DTYPES.float32));
    const weight = mx.dequantize(levels, scales!, biases!, 64, bits, 0, DTYPES.float32);
    return mx.matmul(floats(x, [3, IN]), mx.transpose(weight, [1, 0]));
  });
}

describe.each(WAYS)("$way", ({ way, options }) => {
  test.each([4, 8] as const)("%d bits are those of mx.quantize, of the numbers as they are stored", async (bits) => {
    const half = () => mx.astype(randoms([OUT, IN]), DTYPES.bfloat16);
    const stored = scope(() => contentOf("BF16", [OUT, IN], half()));
    const numbers = Float32Array.from(
      new Float32Array(Uint32Array.from(new Uint16Array(stored.bytes.buffer), (b) => b << 16).buffer),
    );
    const path = join(scratch.path, `${way} ${bits}.safetensors`);
    const narrow = floatContent([8, 48], new Float32Array(8 * 48).fill(0.3));
    writeContents(path, { "up.weight": stored, "mlp.gate.weight": stored, "narrow.weight": narrow });
    const weights = await openWeights(path, {}, { ...options, quantize: { bits, precise: [/gate$/] } });
    const [up, gate] = [weights.linear("up", IN, OUT, false), weights.linear("mlp.gate", IN, OUT, false)];
    const dense = weights.linear("narrow", 48, 8, false);
    weights.check("here", []);
    await weights.load();
    expect(weights.matrices.map(({ quantization }) => quantization?.bits ?? null)).toEqual([bits, 8, null]);
    expect(weights.bytes).toBe(weights.plannedBytes);

    const x = scope(() => numbersOf(() => randoms([3, IN])));
    const want = [expected(x, numbers, bits), expected(x, numbers, 8)];
    // The graph rounds to the scales' bfloat16 on the way.
    const tolerance = options.packed ? 3e-6 : 2e-2;
    [up, gate].forEach((layer, i) => {
      const got = scope(() => numbersOf(() => layer.forward(floats(x, [3, IN]), ALONE)));
      const error = Math.max(...got.map((value, j) => Math.abs(value - want[i]![j]!)));
      expect(error / Math.max(...want[i]!.map(Math.abs))).toBeLessThan(tolerance);
    });
    const sum = scope(() => numbersOf(() => dense.forward(mx.full([1, 48], 1, DTYPES.float32), ALONE)));
    expect(sum[0]).toBeCloseTo(0.3 * 48, 4);
    weights.free();
  });
});

describe("a whole model", () => {
  const logits = async (quantize: 4 | 8 | null) => {
    const loaded = await loadModel(await openCheckpoint(join(repository, "src/assets/tiny-chat")), { quantize });
    const driver = new Driver(loaded);
    const [result] = driver.step([{ sequence: 0, ids: [1, 50, 60, 70, 80] }]);
    driver.free();
    loaded.free();
    return { logits: result!, bytes: loaded.bytes };
  };

  test("8 bits are nearer to the dense model than 4, and both are smaller", async () => {
    const [dense, eight, four] = [await logits(null), await logits(8), await logits(4)];
    const error = (other: Float32Array) => Math.max(...other.map((value, i) => Math.abs(value - dense.logits[i]!)));
    const size = Math.max(...dense.logits.map(Math.abs));
    expect(error(eight.logits) / size).toBeLessThan(0.05);
    expect(error(four.logits) / size).toBeLessThan(0.6);
    expect(error(four.logits)).toBeGreaterThan(2 * error(eight.logits));
    expect(eight.bytes).toBeLessThan(dense.bytes * 0.7);
    expect(four.bytes).toBeLessThan(dense.bytes * 0.4);
  });

  test("a quantized checkpoint is refused", async () => {
    const checkpoint = await openCheckpoint(join(fixtures, "parity/llama-mixed_4_6"));
    const message = await startupMessage(() => prepareModel(checkpoint, { quantize: 4 }));
    expect(message).toMatch(
      /^the checkpoint is quantized already \(it has "model\.[\w.]+\.scales"\): load it without --quantize$/,
    );
  });
});
