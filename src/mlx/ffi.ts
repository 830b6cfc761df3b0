/** The only file that knows `bun:ffi`: opens the shim, turns its error channel into `MlxError`. */
import { CString, dlopen, JSCallback, type Pointer } from "bun:ffi";
import { FFI_TYPES, OPS, type Op } from "./op-table.ts";

/** MLX refused an operation or failed to compute it; the message is MLX's own. */
export class MlxError extends Error {
  override readonly name = "MlxError";
}

declare const brand: unique symbol;
/**
 * A node of an MLX graph, computed or not. A plain number (slot and generation in the shim's table), valid until its
 * scope ends unless kept; used afterwards it is an `MlxError`, not a crash.
 */
export type MxArray = number & { readonly [brand]: true };

export type Ints = readonly number[] | Int32Array;

const CORE = {
  shim_open: { args: ["bool", "function"], returns: "i32" },
  shim_last_error: { args: [], returns: "ptr" },
  shim_scope_begin: { args: [], returns: "bool" },
  shim_scope_end: { args: [], returns: "bool" },
  shim_keep: { args: ["ptr"], returns: "bool" },
  shim_release: { args: ["ptr"], returns: "bool" },
  shim_live_arrays: { args: [], returns: "f64" },
  shim_ndim: { args: ["ptr"], returns: "i32" },
  shim_dim: { args: ["ptr", "i32"], returns: "i32" },
  shim_dtype: { args: ["ptr"], returns: "i32" },
  shim_submit: { args: ["ptr", "i32", "i32"], returns: "u32" },
  shim_ticket_error: { args: ["u32"], returns: "ptr" },
  shim_eval: { args: ["ptr", "i32"], returns: "bool" },
  shim_from_data: { args: ["ptr", "f64", "i32", "ptr", "i32"], returns: "ptr" },
  shim_from_file: { args: ["ptr", "f64", "f64", "i32", "ptr", "i32"], returns: "ptr" },
  shim_read: { args: ["ptr", "ptr", "f64"], returns: "bool" },
  shim_active_memory: { args: [], returns: "f64" },
  shim_peak_memory: { args: [], returns: "f64" },
  shim_cache_memory: { args: [], returns: "f64" },
  shim_set_memory_limit: { args: ["f64"], returns: "bool" },
  shim_set_cache_limit: { args: ["f64"], returns: "bool" },
  shim_clear_cache: { args: [], returns: "bool" },
  shim_reserve_places: { args: ["i32", "f64"], returns: "bool" },
  shim_ready_block_memory: { args: [], returns: "f64" },
  shim_touched_block_memory: { args: [], returns: "f64" },
  shim_touching_seconds: { args: [], returns: "f64" },
  shim_prepare_block: { args: ["f64", "f64"], returns: "i32" },
  shim_device_memory: { args: [], returns: "f64" },
} as const;

type Value = number | boolean | null | NodeJS.TypedArray | JSCallback;
type Native = (...args: Value[]) => number | boolean | null;
type OpName = `op_${keyof typeof OPS}`;

/** The shim's functions, empty until `openLibrary`. */
export const ffi = {} as Record<keyof typeof CORE | OpName, Native>;

/** Where the arrays live. */
export type Device = "gpu" | "cpu";

let device: Device | null = null;

/** Loads the shim (once) and starts its threads. `onDone(ticket, ok)` reports submissions on this event loop. */
export function openLibrary(path: string, forceCpu: boolean, onDone: (ticket: number, ok: boolean) => void): Device {
  if (device !== null) return device;
  const ops = Object.fromEntries(
    Object.entries<Op>(OPS).map(([name, op]) => [
      `op_${name}`,
      { args: Object.values(op.args).flatMap((kind) => FFI_TYPES[kind]), returns: "ptr" as const },
    ]),
  );
  Object.assign(ffi, dlopen(path, { ...CORE, ...ops }).symbols);
  // Lives as long as the process: the waiter thread may call it at any time.
  const callback = new JSCallback((ticket: number, ok: boolean) => onDone(ticket, ok), {
    args: ["u32", "bool"],
    returns: "void",
    threadsafe: true,
  });
  const kind = ffi.shim_open(forceCpu, callback);
  if (kind === 0) throw lastError();
  device = kind === 1 ? "gpu" : "cpu";
  return device;
}

/** Where arrays are computed. Throws before `openLibrary`. */
export function currentDevice(): Device {
  if (device === null) throw new MlxError("MLX is not open");
  return device;
}

/** The text behind a `const char*` that the shim returned. */
export function nativeText(pointer: number | boolean | null): string {
  return typeof pointer === "number" ? new CString(pointer as Pointer).toString() : "";
}

export function lastError(): MlxError {
  return new MlxError(nativeText(ffi.shim_last_error()) || "unknown error");
}

/** A handle that the shim returned, or its error thrown. */
export function checked(handle: number | boolean | null): MxArray {
  if (handle === null) throw lastError();
  return handle as MxArray;
}

/** For entry points that return success. */
export function checkedOk(ok: number | boolean | null): void {
  if (!ok) throw lastError();
}

/** A list as the 32-bit integers that the shim reads. */
export function int32s(list: Ints): Int32Array {
  return list instanceof Int32Array ? list : Int32Array.from(list);
}

/** Handles as the doubles that the shim reads. */
export function doubles(list: readonly MxArray[]): Float64Array {
  return Float64Array.from(list);
}
