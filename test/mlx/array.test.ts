import { dlopen, type Pointer, toArrayBuffer } from "bun:ffi";
import { beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import {
  byteLengthOf,
  dimension,
  dtypeOf,
  evaluate,
  floats,
  fromBytes,
  fromFile,
  ints,
  keep,
  liveArrays,
  openMlx,
  readFloats,
  readInts,
  release,
  scalar,
  scope,
  shapeOf,
  submit,
} from "../../src/mlx/array.ts";
import { DTYPES } from "../../src/mlx/dtype.ts";
import { currentDevice, MlxError, type MxArray } from "../../src/mlx/ffi.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import * as mx from "../../src/mlx/ops.ts";

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

/** A graph that MLX builds and cannot compute: it finds out late that these are no indices. */
const uncomputable = () => mx.takeAlongAxis(floats([1, 2, 3]), floats([0, 1]), 0);
const COMPLAINT = "[GatherAxis::eval_cpu] Cannot gather with indices type.";

/** MLX's count of the tasks that run: the first number of its scheduler. */
function activeTasks(): DataView {
  const symbol = "_ZN3mlx4core9scheduler9schedulerEv";
  const { symbols } = dlopen(join(dirname(locateNativeLibrary()), "libmlx.so"), { [symbol]: { args: [], returns: "ptr" } });
  return new DataView(toArrayBuffer((symbols[symbol] as () => Pointer)(), 0, 4));
}

describe("errors", () => {
  test("of building a graph have MLX's message", () => {
    scope(() => {
      const [a, b] = [floats([1, 2, 3]), floats([1, 2])];
      expect(() => mx.add(a, b)).toThrow(MlxError);
      expect(() => mx.add(a, b)).toThrow(/\[broadcast_shapes\].*\(3\) and \(2\)/);
      expect(() => mx.reshape(a, [2, 2])).toThrow(/\[reshape\] Cannot reshape array of size 3/);
      expect(() => mx.matmul(ints([1]), ints([1]))).toThrow(/\[matmul\]/);
      expect(() => mx.concatenate([], 0)).toThrow(MlxError);
      expect(() => mx.transpose(a, [5])).toThrow(MlxError);
      expect(() => mx.zeros([-1], DTYPES.float32)).toThrow(MlxError);
      expect(() => mx.astype(a, 99 as typeof DTYPES.int8)).toThrow("not a dtype");
    });
  });

  test("of computing it have MLX's message, and the next graph runs", async () => {
    expect(() => scope(() => evaluate(uncomputable()))).toThrow(new MlxError(COMPLAINT));
    const before = liveArrays();
    const { done } = submit(() => ({ outputs: [mx.add(uncomputable(), scalar(1))], awaited: 1, result: null }));
    await expect(done).rejects.toThrow(new MlxError(COMPLAINT));
    const view = () => mx.renew(mx.slice(floats([1, 2, 3]), [1], [3]), []);
    expect(() => scope(() => evaluate(view()))).toThrow("renew: the array does not own its buffer");
    const { result, done: good } = submit(() => {
      const sum = keep(mx.add(floats([1]), floats([2])));
      return { outputs: [sum], awaited: 1, result: sum };
    });
    await good;
    expect([...readFloats(result)]).toEqual([3]);
    release(result);
    expect(liveArrays()).toBe(before);
  });

  // MLX notes an error with the stream, so that a neighbour in flight may be the one that hears of it.
  test("of one submission among others reach somebody, and those that follow run", async () => {
    const before = liveArrays();
    const make = (fails: boolean) =>
      submit(() => {
        const array = keep(fails ? uncomputable() : mx.square(floats([3])));
        return { outputs: [array], awaited: 1, result: array };
      });
    for (let round = 0; round < 20; round++) {
      const submissions = Array.from({ length: 12 }, (_, i) => make(i === 6));
      const outcomes = await Promise.allSettled(submissions.map(({ done }) => done));
      const complaints = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [String(outcome.reason)] : []));
      expect(complaints.length).toBeGreaterThanOrEqual(1);
      expect(new Set(complaints)).toEqual(new Set([`MlxError: ${COMPLAINT}`]));
      for (const { result } of submissions) release(result);
      const after = make(false);
      await after.done;
      expect([...readFloats(after.result)]).toEqual([9]);
      release(after.result);
    }
    expect(liveArrays()).toBe(before);
  });

  test.if(process.platform === "linux")(
    "leave no task counted that is not there: a few of them would stop everything",
    async () => {
      const tasks = activeTasks();
      const fail = () =>
        submit(() => ({
          outputs: [uncomputable(), ...Array.from({ length: 20 }, () => mx.square(scalar(2)))],
          awaited: 1,
          result: null,
        })).done;
      for (let round = 0; round < 50; round++) {
        const outcomes = await Promise.allSettled(Array.from({ length: 10 }, fail));
        expect(outcomes.some(({ status }) => status === "rejected")).toBe(true);
      }
      await submit(() => ({ outputs: [mx.add(scalar(1), scalar(2))], awaited: 1, result: null })).done.catch(() => {});
      for (let i = 0; i < 1000 && tasks.getInt32(0, true) !== 0; i++) await Bun.sleep(1);
      expect(tasks.getInt32(0, true)).toBe(0);
    },
  );

  test("come for what cannot be read", () => {
    scope(() => {
      const a = mx.add(floats([1, 2]), floats([3, 4]));
      expect(() => readFloats(a)).toThrow("not computed");
      evaluate(a);
      expect([...readFloats(a)]).toEqual([4, 6]);
      expect(() => readInts(a)).toThrow(MlxError);
      const turned = mx.transpose(floats([1, 2, 3, 4, 5, 6], [2, 3]), [1, 0]);
      evaluate(turned);
      expect(() => readFloats(turned)).toThrow("row-major");
    });
  });

  test("come for bytes that are not what they are said to be", () => {
    scope(() => {
      expect(() => fromBytes(new Float32Array(3), DTYPES.float32, [2])).toThrow("size and shape differ");
      expect(() => fromBytes(new Float32Array(2), DTYPES.float32, [-1, -2])).toThrow(MlxError);
      expect(() => fromBytes(new Uint8Array(2), DTYPES.float32, [2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1])).toThrow(MlxError);
      expect(shapeOf(fromBytes(new Float32Array(0), DTYPES.float32, [0, 4]))).toEqual([0, 4]);
    });
  });
});

describe("a file", () => {
  const directory = mkdtempSync(join(tmpdir(), "mlx-cb-array-"));
  const path = join(directory, "zahlen-ä.bin");
  const read = (offset: number, count: number, file = path) =>
    scope(() => {
      const array = fromFile(file, offset, count * 4, DTYPES.float32, [count]);
      evaluate(array);
      return [...readFloats(array)];
    });

  test("is read at its offset, and too short a one or none is an error that names it", () => {
    writeFileSync(path, new Uint8Array(Float32Array.of(1, 2, 3, 4, 5).buffer));
    expect(read(4, 3)).toEqual([2, 3, 4]);
    expect(() => read(8, 4)).toThrow(/zahlen-ä\.bin: the file ends too early/);
    truncateSync(path, 10);
    expect(() => read(4, 3)).toThrow(MlxError);
    expect(() => read(100, 1)).toThrow("ends too early");
    expect(() => read(0, 1, join(directory, "none"))).toThrow(/none: No such file/);
    expect(() => read(0, 1, directory)).toThrow(MlxError);
    expect(() => scope(() => fromFile(path, 0, 4, DTYPES.float32, [2]))).toThrow("size and shape differ");
    rmSync(directory, { recursive: true });
  });
});

describe("handles", () => {
  const uses: [name: string, use: (a: MxArray) => unknown][] = [
    ["an operand", (a) => mx.negative(a)],
    ["the second operand", (a) => mx.add(floats([1]), a)],
    ["one of a list", (a) => mx.concatenate([floats([1]), a], 0)],
    ["an optional operand", (a) => mx.rmsNorm(floats([1, 2]), a, 1e-5)],
    ["what is computed", (a) => evaluate(a)],
    ["what is submitted", (a) => submit(() => ({ outputs: [a], awaited: 1, result: null }))],
    ["what is kept", (a) => keep(a)],
    ["what is released", (a) => release(a)],
    ["what is read", (a) => readFloats(a)],
    ["a shape", (a) => shapeOf(a)],
    ["a dimension", (a) => dimension(a, 0)],
    ["a type", (a) => dtypeOf(a)],
  ];
  const freed = () => scope(() => floats([1, 2]));
  const released = () => {
    const a = keep(floats([1, 2]));
    release(a);
    return a;
  };
  test.each(uses)("that are gone or never were are an error as %s", (name, use) => {
    const before = liveArrays();
    const strange = [0, -1, 1, 0.5, 2 ** 24, 2 ** 24 - 1, 2 ** 52, 2 ** 53, 2 ** 60, -(2 ** 60), Number.MAX_VALUE];
    const never = [...strange, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    // What becomes null on the way is a value where the operand is optional.
    const isValue = (n: number) => name === "an optional operand" && !(Math.abs(n) >= 1 && Math.abs(n) < 2 ** 63);
    const wrong = [freed(), released(), ...never.filter((n) => !isValue(n))];
    for (const handle of wrong) expect(() => scope(() => use(handle as MxArray))).toThrow(MlxError);
    expect(liveArrays()).toBe(before);
  });

  test("say what is wrong with them", () => {
    expect(() => mx.exp(freed())).toThrow("array used after it was freed");
    expect(() => mx.exp(released())).toThrow("array used after it was freed");
    expect(() => mx.exp(0 as MxArray)).toThrow("not an array handle");
  });

  test("are never given out twice", () => {
    const seen = new Set<number>();
    for (let i = 0; i < 2000; i++) seen.add(scope(() => floats([i])));
    expect(seen.size).toBe(2000);
  });
});

describe("scopes", () => {
  test("free what was made in them, the inner one only its own", () => {
    const before = liveArrays();
    scope(() => {
      const outer = floats([1]);
      scope(() => {
        mx.add(outer, floats([2]));
        expect(liveArrays()).toBe(before + 3);
      });
      expect(liveArrays()).toBe(before + 1);
      expect(shapeOf(outer)).toEqual([1]);
    });
    expect(liveArrays()).toBe(before);
  });

  test("leave alone what is kept, until it is released", () => {
    const before = liveArrays();
    const kept = scope(() => scope(() => keep(mx.add(floats([1]), floats([2])))));
    expect(liveArrays()).toBe(before + 1);
    evaluate(kept);
    expect([...readFloats(kept)]).toEqual([3]);
    scope(() => {
      keep(kept);
      release(kept);
      // Its place is taken by another, which the end of the scope must not mistake for it.
      keep(floats([5]));
    });
    expect(liveArrays()).toBe(before + 1);
    scope(() => {
      const other = keep(floats([6]));
      release(other);
      floats([7]);
    });
    expect(liveArrays()).toBe(before + 1);
  });

  test("end with an exception as well", () => {
    const before = liveArrays();
    const fail = () => {
      floats([1]);
      throw new RangeError("mine");
    };
    expect(() => scope(fail)).toThrow(RangeError);
    expect(() => submit(fail)).toThrow(RangeError);
    expect(() => scope(() => scope(fail))).toThrow(RangeError);
    expect(() => submit(() => ({ outputs: [floats([1]), 77 as MxArray], awaited: 1, result: null }))).toThrow(MlxError);
    expect(() => submit(() => ({ outputs: [floats([1])], awaited: 2, result: null }))).toThrow("more arrays awaited");
    expect(liveArrays()).toBe(before);
    scope(() => expect(liveArrays()).toBe(before));
  });
});

test("arrays know their shape, type and size", () => {
  scope(() => {
    const a = mx.zeros([2, 3, 4], DTYPES.bfloat16);
    expect(shapeOf(a)).toEqual([2, 3, 4]);
    expect([dimension(a, 1), dimension(a, -1)]).toEqual([3, 4]);
    expect(() => dimension(a, 3)).toThrow(MlxError);
    expect([dtypeOf(a), byteLengthOf(a)]).toEqual([DTYPES.bfloat16, 48]);
    expect(shapeOf(scalar(2))).toEqual([]);
    expect(currentDevice()).toBe("cpu");
  });
});
