/** Lifetime, contents and evaluation of arrays. */
import { DTYPES, type Dtype, dtypeBytes } from "./dtype.ts";
import {
  checked,
  checkedOk,
  type Device,
  doubles,
  ffi,
  type Ints,
  int32s,
  lastError,
  MlxError,
  type MxArray,
  nativeText,
  openLibrary,
} from "./ffi.ts";

const pending = new Map<number, { resolve: () => void; reject: (error: MlxError) => void }>();

function settle(ticket: number, ok: boolean): void {
  const waiting = pending.get(ticket);
  pending.delete(ticket);
  if (ok) waiting?.resolve();
  else waiting?.reject(new MlxError(nativeText(ffi.shim_ticket_error(ticket)) || "unknown error"));
}

/** Loads MLX through the shim at `path`; repeated calls do nothing. `forceCpu` ignores a GPU. */
export function openMlx(path: string, forceCpu = false): Device {
  return openLibrary(path, forceCpu, settle);
}

/** Runs `body`; every array made in it is freed at its end unless kept. */
export function scope<T>(body: () => T): T {
  checkedOk(ffi.shim_scope_begin());
  try {
    return body();
  } finally {
    ffi.shim_scope_end();
  }
}

export interface Submission {
  /** Computed all together. */
  outputs: readonly MxArray[];
  /** How many of the outputs, from the first on, the caller will read. */
  awaited: number;
}

/**
 * Builds a graph in a scope and hands it to the evaluator thread. The promise settles on this event loop when the
 * awaited outputs are there; arrays wanted later must be kept by `build`.
 */
export function submit<T>(build: () => Submission & { result: T }): { result: T; done: Promise<void> } {
  checkedOk(ffi.shim_scope_begin());
  let built: Submission & { result: T };
  try {
    built = build();
  } catch (error) {
    ffi.shim_scope_end();
    throw error;
  }
  const ticket = ffi.shim_submit(doubles(built.outputs), built.outputs.length, built.awaited);
  if (typeof ticket !== "number" || ticket === 0) throw lastError();
  const done = new Promise<void>((resolve, reject) => pending.set(ticket, { resolve, reject }));
  // Steps are awaited in order: one that fails before its turn is not an unhandled rejection.
  done.catch(() => {});
  return { result: built.result, done };
}

/** Computes arrays while the caller waits: for loading and tools, never while requests run. */
export function evaluate(...list: MxArray[]): void {
  checkedOk(ffi.shim_eval(doubles(list), list.length));
}

/** Takes an array out of its scope; it lives until `release`. */
export function keep(a: MxArray): MxArray {
  checkedOk(ffi.shim_keep(a));
  return a;
}

export function release(a: MxArray): void {
  checkedOk(ffi.shim_release(a));
}

/** How many arrays the shim holds. */
export function liveArrays(): number {
  return ffi.shim_live_arrays() as number;
}

export function shapeOf(a: MxArray): number[] {
  const ndim = ffi.shim_ndim(a) as number;
  if (ndim < 0) throw lastError();
  return Array.from({ length: ndim }, (_, axis) => ffi.shim_dim(a, axis) as number);
}

/** Size along one axis; negative axes count from the end. */
export function dimension(a: MxArray, axis: number): number {
  const size = ffi.shim_dim(a, axis) as number;
  if (size < 0) throw lastError();
  return size;
}

export function dtypeOf(a: MxArray): Dtype {
  const dtype = ffi.shim_dtype(a) as number;
  if (dtype < 0) throw lastError();
  return dtype as Dtype;
}

/** Bytes of the elements. */
export function byteLengthOf(a: MxArray): number {
  return shapeOf(a).reduce((product, n) => product * n, dtypeBytes(dtypeOf(a)));
}

/** A copy of bytes as an array. Throws when shape × dtype is not the length. */
export function fromBytes(data: NodeJS.TypedArray, dtype: Dtype, shape: Ints): MxArray {
  return checked(ffi.shim_from_data(data.byteLength === 0 ? null : data, data.byteLength, dtype, int32s(shape), shape.length));
}

/** int32, by default a vector. */
export function ints(values: Ints, shape: Ints = [values.length]): MxArray {
  return fromBytes(int32s(values), DTYPES.int32, shape);
}

/** float32, by default a vector. */
export function floats(values: readonly number[] | Float32Array, shape: Ints = [values.length]): MxArray {
  return fromBytes(values instanceof Float32Array ? values : Float32Array.from(values), DTYPES.float32, shape);
}

/** float32 without dimensions. */
export function scalar(value: number): MxArray {
  return fromBytes(Float32Array.of(value), DTYPES.float32, []);
}

/** `byteLength` bytes at `offset` of a file, whose header must have been validated. */
export function fromFile(path: string, offset: number, byteLength: number, dtype: Dtype, shape: Ints): MxArray {
  const name = new TextEncoder().encode(`${path}\0`);
  return checked(ffi.shim_from_file(name, offset, byteLength, dtype, int32s(shape), shape.length));
}

function read<T extends NodeJS.TypedArray>(a: MxArray, dtype: Dtype, make: (length: number) => T): T {
  if (dtypeOf(a) !== dtype) throw new MlxError("read: the array has another type");
  const length = shapeOf(a).reduce((product, n) => product * n, 1);
  const out = make(length);
  if (length > 0) checkedOk(ffi.shim_read(a, out, length * dtypeBytes(dtype)));
  return out;
}

/** Bytes of a computed array of any type, row-major. */
export function readBytes(a: MxArray): Uint8Array {
  return read(a, dtypeOf(a), (n) => new Uint8Array(n * dtypeBytes(dtypeOf(a))));
}

/** Contents of a computed float32 array, row-major. */
export function readFloats(a: MxArray): Float32Array {
  return read(a, DTYPES.float32, (n) => new Float32Array(n));
}

/** Contents of a computed int32 array, row-major. */
export function readInts(a: MxArray): Int32Array {
  return read(a, DTYPES.int32, (n) => new Int32Array(n));
}

/** Contents of a computed uint32 array, row-major. */
export function readUints(a: MxArray): Uint32Array {
  return read(a, DTYPES.uint32, (n) => new Uint32Array(n));
}
