import { StartupError } from "../errors.ts";
import type { DTYPES } from "../mlx/dtype.ts";
import { decodeUtf8, readExactly, withFile } from "./model-file.ts";
import { type HeaderEntry, type ParsedHeader, parseHeaderJson } from "./safetensors-json.ts";
import { countOf, quote } from "./wording.ts";

type MlxDtype = keyof typeof DTYPES;

interface DtypeFacts {
  bits: number;
  /** How MLX holds the bytes; null: it cannot. */
  mlx: MlxDtype | null;
}

/** Every element type of the format. The 8-bit floats that MLX's own reader takes are held as their raw bytes. */
export const SAFETENSORS_DTYPES = {
  BOOL: { bits: 8, mlx: "bool" },
  F4: { bits: 4, mlx: null },
  F6_E2M3: { bits: 6, mlx: null },
  F6_E3M2: { bits: 6, mlx: null },
  U8: { bits: 8, mlx: "uint8" },
  I8: { bits: 8, mlx: "int8" },
  F8_E5M2: { bits: 8, mlx: null },
  F8_E4M3: { bits: 8, mlx: "uint8" },
  F8_E8M0: { bits: 8, mlx: "uint8" },
  F8_E4M3FNUZ: { bits: 8, mlx: null },
  F8_E5M2FNUZ: { bits: 8, mlx: null },
  I16: { bits: 16, mlx: "int16" },
  U16: { bits: 16, mlx: "uint16" },
  F16: { bits: 16, mlx: "float16" },
  BF16: { bits: 16, mlx: "bfloat16" },
  I32: { bits: 32, mlx: "int32" },
  U32: { bits: 32, mlx: "uint32" },
  F32: { bits: 32, mlx: "float32" },
  C64: { bits: 64, mlx: "complex64" },
  F64: { bits: 64, mlx: "float64" },
  I64: { bits: 64, mlx: "int64" },
  U64: { bits: 64, mlx: "uint64" },
} as const satisfies Record<string, DtypeFacts>;

export type SafetensorsDtype = keyof typeof SAFETENSORS_DTYPES;

/** Those that weights may have. */
export const FLOAT_DTYPES: readonly SafetensorsDtype[] = ["F32", "F16", "BF16", "F64"];

export interface TensorInfo {
  readonly dtype: SafetensorsDtype;
  /** How MLX holds it; null: it cannot, so the tensor may be there but not be used. */
  readonly mlxDtype: MlxDtype | null;
  readonly shape: readonly number[];
  /** Of the first byte, from the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
  readonly path: string;
  /** Whether `offset` is a multiple of the element's size; the format does not promise it. */
  readonly aligned: boolean;
}

export interface SafetensorsHeader {
  readonly path: string;
  readonly metadata: ReadonlyMap<string, string>;
  /** In the order of their bytes. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Where the tensors' bytes begin in the file. */
  readonly dataOffset: number;
  readonly fileSize: number;
}

/** The format's own limit, also MLX's. */
export const MAX_HEADER_BYTES = 100_000_000;

const LENGTH_BYTES = 8;
const LFS_POINTER = "version ";
const MAX_DIMENSIONS = 8;
const MAX_DIMENSION = 2 ** 31 - 1;
const MAX_BITS = 64;

/**
 * Reads the header of a safetensors file and checks all that it says against itself and against the file, so that native code may
 * read each tensor's bytes without looking again. Throws `StartupError` naming the file, and the tensor where there is one.
 */
export function readSafetensorsHeader(path: string): Promise<SafetensorsHeader> {
  return withFile(path, async (file, fileSize) => {
    if (fileSize === 0) throw new StartupError(`${path} is empty`);
    if (fileSize < LENGTH_BYTES + 2) {
      throw new StartupError(`${path} is not a safetensors file: it has only ${countOf(fileSize, "byte")}`);
    }
    const prefix = await readExactly(file, path, 0, LENGTH_BYTES);
    const length = headerLength(prefix, path, fileSize);
    const text = decodeUtf8(await readExactly(file, path, LENGTH_BYTES, length), `the header of ${path}`);
    if (!text.startsWith("{")) throw new StartupError(`${path} is not a safetensors file: its header does not begin with "{"`);
    return checkHeader(parseHeaderJson(text, path), path, LENGTH_BYTES + length, fileSize);
  });
}

function headerLength(prefix: Uint8Array, path: string, fileSize: number): number {
  if (String.fromCharCode(...prefix) === LFS_POINTER) {
    throw new StartupError(`${path} is a Git LFS pointer instead of the file itself: run "git lfs pull" in its directory`);
  }
  const length = new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw new StartupError(
      `${path} is not a safetensors file: it claims a header of ${length} bytes, the limit is ${MAX_HEADER_BYTES}`,
    );
  }
  if (length > BigInt(fileSize - LENGTH_BYTES)) {
    throw new StartupError(`${path} is cut short or corrupt: its header should have ${length} bytes, the file has ${fileSize}`);
  }
  return Number(length);
}

function checkHeader(header: ParsedHeader, path: string, dataOffset: number, fileSize: number): SafetensorsHeader {
  const entries = header.entries.toSorted((a, b) => a.begin - b.begin || a.end - b.end);
  const tensors = new Map<string, TensorInfo>();
  let position = 0;
  let previous = "";
  for (const entry of entries) {
    const tensor = checkEntry(entry, path, dataOffset);
    if (entry.begin < position) {
      throw corrupt(path, `tensors ${quote(previous)} and ${quote(entry.name)} overlap`);
    }
    if (entry.begin > position) {
      throw corrupt(path, `${countOf(entry.begin - position, "byte")} before tensor ${quote(entry.name)} belong to no tensor`);
    }
    if (dataOffset + entry.end > fileSize) {
      const needed = dataOffset + (entries.at(-1)?.end ?? 0);
      throw new StartupError(
        `${path} is cut short: tensor ${quote(entry.name)} ends after the file does (${fileSize} bytes; its header speaks of ${needed})`,
      );
    }
    tensors.set(entry.name, tensor);
    position = entry.end;
    previous = entry.name;
  }
  const surplus = fileSize - dataOffset - position;
  if (surplus > 0) throw corrupt(path, `${countOf(surplus, "byte")} after the last tensor belong to no tensor`);
  return { path, metadata: header.metadata, tensors, dataOffset, fileSize };
}

function checkEntry(entry: HeaderEntry, path: string, dataOffset: number): TensorInfo {
  const name = `tensor ${quote(entry.name)}`;
  // Native code takes names as C strings, which end at the first NUL.
  if (entry.name.includes("\0")) throw corrupt(path, `the name of ${name} has a NUL character`);
  const dtype = entry.dtype;
  if (!isDtype(dtype)) throw corrupt(path, `${name} has the unknown dtype ${quote(dtype)}`);
  const { bits, mlx } = SAFETENSORS_DTYPES[dtype];
  const wantedBits = countElements(entry.shape, name, path) * bits;
  if (wantedBits % 8 !== 0) throw corrupt(path, `${name} does not end on a whole byte`);
  if (entry.end < entry.begin) throw corrupt(path, `${name} ends before it begins (data_offsets ${entry.begin}, ${entry.end})`);
  const byteLength = entry.end - entry.begin;
  if (byteLength !== wantedBits / 8) {
    const wanted = `${dtype} ${shapeText(entry.shape)} takes ${countOf(wantedBits / 8, "byte")}`;
    throw corrupt(path, `${name} has ${countOf(byteLength, "byte")}, but ${wanted}`);
  }
  const offset = dataOffset + entry.begin;
  if (!Number.isSafeInteger(dataOffset + entry.end)) throw corrupt(path, `${name} lies outside of the file`);
  const aligned = offset % Math.max(1, bits / 8) === 0;
  return { dtype, mlxDtype: mlx, shape: entry.shape, offset, byteLength, path, aligned };
}

function countElements(shape: readonly number[], name: string, path: string): number {
  if (shape.length > MAX_DIMENSIONS)
    throw corrupt(path, `${name} has ${shape.length} dimensions, the limit is ${MAX_DIMENSIONS}`);
  let elements = 1;
  for (const size of shape) {
    elements *= size;
    // With room for the size in bits, so that every product below is exact.
    if (size > MAX_DIMENSION || elements > Number.MAX_SAFE_INTEGER / MAX_BITS) {
      throw corrupt(path, `${name} has the shape ${shapeText(shape)}, which is too large`);
    }
  }
  return elements;
}

function isDtype(name: string): name is SafetensorsDtype {
  return Object.hasOwn(SAFETENSORS_DTYPES, name);
}

/** `[2, 3]` */
export function shapeText(shape: readonly number[]): string {
  return `[${shape.join(", ")}]`;
}

function corrupt(path: string, problem: string): StartupError {
  return new StartupError(`${path} is corrupt: ${problem}`);
}
