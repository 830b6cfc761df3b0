/** The tensors of a checkpoint under the names that the model uses: renamed, dropped, or made from several. */
import { StartupError } from "../errors.ts";
import { shapeOf } from "../mlx/array.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import { SAFETENSORS_DTYPES, type SafetensorsDtype, shapeText, type TensorInfo } from "./safetensors.ts";
import { quote } from "./wording.ts";

/** A tensor that is computed from others of the checkpoint when it is read. */
export interface DerivedTensor {
  name: string;
  shape: readonly number[];
  /** Its element type where that is another than the first part's. */
  dtype?: SafetensorsDtype;
  /** Names (of the set, before the change) that it takes the place of. */
  from: readonly string[];
  /**
   * Makes it from them, in their order. The parts have whatever shapes the file says: MLX refuses what does not fit, and a
   * result of another shape than `shape` is refused too.
   */
  compute(parts: readonly MxArray[]): MxArray;
}

interface Source {
  info: TensorInfo;
  /** Its name in the checkpoint, that of its first part if it is derived. */
  origin: string;
  /** Null: as stored. */
  derived: { parts: readonly Source[]; compute: DerivedTensor["compute"] } | null;
}

const MAX_DIMENSION = 2 ** 31 - 1;
/** Derived numbers for each byte of the parts: one bit is the least that a number takes. */
const NUMBERS_PER_BYTE = 8;

export class TensorSet {
  readonly #sources = new Map<string, Source>();

  constructor(tensors: ReadonlyMap<string, TensorInfo>) {
    for (const [name, info] of tensors) this.#sources.set(name, { info, origin: name, derived: null });
  }

  has(name: string): boolean {
    return this.#sources.has(name);
  }

  names(): string[] {
    return [...this.#sources.keys()];
  }

  /** Shape and type as the model sees them. */
  get(name: string): TensorInfo | undefined {
    return this.#sources.get(name)?.info;
  }

  /** What the checkpoint calls it: what the config of a checkpoint speaks of. */
  originOf(name: string): string | undefined {
    return this.#sources.get(name)?.origin;
  }

  /** All tensors as the model sees them. */
  infos(): ReadonlyMap<string, TensorInfo> {
    return new Map([...this.#sources].map(([name, { info }]) => [name, info]));
  }

  /** Gives every tensor the name that `rename` says, or drops it for null. Throws `StartupError` when two would have the same. */
  rename(rename: (name: string) => string | null): void {
    const entries = [...this.#sources];
    this.#sources.clear();
    for (const [name, source] of entries) {
      const renamed = rename(name);
      if (renamed !== null) this.#add(renamed, source);
    }
  }

  drop(pattern: RegExp): void {
    this.rename((name) => (name.search(pattern) >= 0 ? null : name));
  }

  /**
   * Replaces tensors by ones computed from them, all of it at once. A part may serve several; one that is missing makes nothing.
   * Throws `StartupError` for a shape that cannot be.
   */
  derive(tensors: readonly DerivedTensor[]): void {
    const made: [string, Source][] = [];
    const used = new Set<string>();
    for (const tensor of tensors) {
      const parts = tensor.from.map((part) => this.#sources.get(part));
      const [first] = parts;
      if (first === undefined || !parts.every((part) => part !== undefined)) continue;
      for (const part of tensor.from) used.add(part);
      const info = derivedInfo(tensor, parts);
      made.push([tensor.name, { info, origin: first.origin, derived: { parts, compute: tensor.compute } }]);
    }
    for (const name of used) this.#sources.delete(name);
    for (const [name, source] of made) this.#add(name, source);
  }

  /** The array of a tensor; `readStored` reads what lies in a file. Throws `StartupError` when it comes out in another shape. */
  read(name: string, readStored: (info: TensorInfo) => MxArray): MxArray {
    const readSource = ({ info, derived }: Source): MxArray => {
      if (derived === null) return readStored(info);
      const array = derived.compute(derived.parts.map(readSource));
      const shape = shapeText(shapeOf(array));
      // A view would keep all of its parts in memory, and be copied at every use.
      if (shape === shapeText(info.shape)) return mx.contiguous(array);
      throw new StartupError(`tensor ${quote(name)} comes out as ${shape} instead of ${shapeText(info.shape)}`);
    };
    return readSource(this.#sources.get(name)!);
  }

  #add(name: string, source: Source): void {
    const other = this.#sources.get(name);
    if (other) {
      const [one, two] = [other, source].map(({ origin }) => quote(origin));
      throw new StartupError(`the tensors ${one} and ${two} of the checkpoint are both ${quote(name)} for the model`);
    }
    this.#sources.set(name, source);
  }
}

function derivedInfo({ name, shape, dtype }: DerivedTensor, parts: readonly Source[]): TensorInfo {
  const first = parts[0]!.info;
  const isSize = (size: number) => Number.isInteger(size) && size >= 0 && size <= MAX_DIMENSION;
  const bytes = parts.reduce((sum, { info }) => sum + info.byteLength, 0);
  const numbers = shape.reduce((product, size) => product * size, 1);
  if (!shape.every(isSize) || numbers > bytes * NUMBERS_PER_BYTE) {
    const names = parts.map(({ origin, info }) => `${quote(origin)} ${shapeText(info.shape)}`);
    throw new StartupError(
      `tensor ${quote(name)} cannot be ${shapeText(shape)}, made from ${names.slice(0, 4).join(", ")}${names.length > 4 ? ", …" : ""}`,
    );
  }
  // What MLX cannot hold is still named, by the check of all tensors.
  const unusable = parts.find(({ info }) => info.mlxDtype === null)?.info.dtype;
  const type = unusable ?? dtype ?? first.dtype;
  const { bits, mlx } = SAFETENSORS_DTYPES[type];
  return { ...first, shape, dtype: type, mlxDtype: mlx, byteLength: Math.ceil((numbers * bits) / 8) };
}
