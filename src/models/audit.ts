import { StartupError } from "../errors.ts";
import { type SafetensorsDtype, shapeText, type TensorInfo } from "./safetensors.ts";
import { countOf, listSome, quote } from "./wording.ts";

/** A tensor that a model needs. */
export interface ExpectedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** The element types that the model can use; without it all that MLX holds as numbers (no 8-bit floats: it has their bytes only). */
  readonly dtypes?: readonly SafetensorsDtype[];
}

export interface AuditOptions {
  /** Tensors of the checkpoint that the model leaves aside. */
  readonly ignore?: readonly RegExp[];
  /** Whose tensors they are, for the message. */
  readonly where?: string;
}

/** Throws one `StartupError` that names the missing, misshapen, unusable and surplus tensors of a checkpoint, if there are any. */
export function matchTensors(
  expected: Iterable<ExpectedTensor>,
  tensors: ReadonlyMap<string, TensorInfo>,
  options: AuditOptions = {},
): void {
  const mismatches = findMismatches(expected, tensors, options);
  if (mismatches.length === 0) return;
  throw new StartupError(`${options.where ?? "the checkpoint"} does not fit the model: ${mismatches.join("; ")}`);
}

/** One phrase for each kind of mismatch, with counts and the first few names; empty when all is right. */
export function findMismatches(
  expected: Iterable<ExpectedTensor>,
  tensors: ReadonlyMap<string, TensorInfo>,
  options: AuditOptions = {},
): string[] {
  const missing: string[] = [];
  const misshapen: string[] = [];
  const unusable: string[] = [];
  const known = new Set<string>();
  for (const want of expected) {
    known.add(want.name);
    const found = tensors.get(want.name);
    if (found === undefined) missing.push(`${quote(want.name)} ${shapeText(want.shape)}`);
    else if (!sameShape(found.shape, want.shape)) {
      misshapen.push(`${quote(want.name)} ${shapeText(found.shape)} instead of ${shapeText(want.shape)}`);
    } else if (!isUsable(found, want)) unusable.push(`${quote(want.name)} ${found.dtype}`);
  }
  const ignore = options.ignore ?? [];
  // `search`, since `test` would remember a position when the pattern is global.
  const surplus = [...tensors.keys()].filter((name) => !known.has(name) && !ignore.some((pattern) => name.search(pattern) >= 0));
  return [
    phrase(missing, "missing", "tensor"),
    phrase(misshapen, "misshapen", "tensor"),
    phrase(unusable, "unusable", "element type"),
    phrase(surplus.map(quote), "surplus", "tensor"),
  ].filter((text) => text !== "");
}

function phrase(items: readonly string[], kind: string, noun: string): string {
  return items.length === 0 ? "" : `${countOf(items.length, `${kind} ${noun}`)}: ${listSome(items, 4)}`;
}

function isUsable(found: TensorInfo, want: ExpectedTensor): boolean {
  if (found.mlxDtype === null) return false;
  return want.dtypes ? want.dtypes.includes(found.dtype) : !found.dtype.startsWith("F8_");
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}
