/** Checks a parity case: logits of a model directory against those that mlx-lm computed, alone and in ragged batches. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { evaluate, fromFile, readFloats, scope } from "../../src/mlx/array.ts";
import { DTYPES } from "../../src/mlx/dtype.ts";
import { openCheckpoint } from "../../src/models/checkpoint.ts";
import { type LoadedModel, loadModel } from "../../src/models/load.ts";
import { readSafetensorsHeader } from "../../src/models/safetensors.ts";
import { Driver, type DriverSpan } from "./driver.ts";

interface CaseSequence {
  prompt: number[];
  decode: number[];
  prefill_first_row: number;
}

interface CaseFile {
  name: string;
  model_type: string;
  /** What is special. */
  about?: string;
  sequences: CaseSequence[];
  tolerance: { max_abs_diff: number };
}

export interface CaseResult {
  case: string;
  max_error: number;
  tolerance: number;
  ok: boolean;
}

/** The largest errors of a case by the way in which its sequences are fed. */
export interface CaseErrors {
  name: string;
  modelType: string;
  about?: string | undefined;
  errors: Record<Mode, number>;
  tolerance: number;
}

interface Expected {
  prefill: Float32Array[];
  decode: Float32Array[];
}

/** How a check feeds the sequences. */
export type Mode = "alone" | "ragged";

/** The model as it is, or with the adapter that the case has. */
interface Variant {
  adapter: number;
  expected: Expected;
}

const ADAPTER = "adapters";
const EXPECTED = "expected.safetensors";
const EXPECTED_BASE = "expected_base.safetensors";

async function readVariants(directory: string, count: number): Promise<Variant[]> {
  if (!existsSync(join(directory, ADAPTER))) return [{ adapter: 0, expected: await readExpected(directory, EXPECTED, count) }];
  const adapted = { adapter: 1, expected: await readExpected(directory, EXPECTED, count) };
  if (!existsSync(join(directory, EXPECTED_BASE))) return [adapted];
  return [{ adapter: 0, expected: await readExpected(directory, EXPECTED_BASE, count) }, adapted];
}

async function readExpected(directory: string, file: string, count: number): Promise<Expected> {
  const { tensors } = await readSafetensorsHeader(join(directory, file));
  const read = (name: string): Float32Array => {
    const info = tensors.get(name);
    if (!info) throw new Error(`${file} has no ${name}`);
    return scope(() => {
      const array = fromFile(info.path, info.offset, info.byteLength, DTYPES.float32, info.shape as number[]);
      evaluate(array);
      return readFloats(array);
    });
  };
  const indices = Array.from({ length: count }, (_, i) => i);
  return { prefill: indices.map((i) => read(`seq${i}.prefill`)), decode: indices.map((i) => read(`seq${i}.decode`)) };
}

/** Logits of every position of every sequence, [length, vocab] each. */
function runAlone(loaded: LoadedModel, sequences: readonly CaseSequence[], adapter: number): Float32Array[] {
  return sequences.map(({ prompt, decode }) => {
    const driver = new Driver(loaded);
    try {
      const parts = [driver.step([{ sequence: 0, ids: prompt, adapter }])[0]!];
      for (const id of decode) parts.push(driver.step([{ sequence: 0, ids: [id], adapter }])[0]!);
      return join32(parts);
    } finally {
      driver.free();
    }
  });
}

/**
 * All sequences, with each adapter of the list, in one batch: chunks of changing sizes, decoding rows beside them, joins,
 * leaves, class changes. Neighbouring rows have different adapters. Beside it the same with the logits of some last tokens only, which
 * must be the same: `narrowed` is the largest difference.
 */
function runRagged(loaded: LoadedModel, sequences: readonly CaseSequence[], adapters: readonly number[]) {
  const driver = new Driver(loaded, 8, 16);
  const narrow = new Driver(loaded, 8, 16);
  const sampled = ({ sequence, ids }: DriverSpan) => (sequence + ids[0]!) % 3 > 0;
  let narrowed = 0;
  const rows = sequences.flatMap(({ prompt, decode }, i) =>
    adapters.map((adapter, j) => {
      const id = i * adapters.length + j;
      const joins = (j * sequences.length + i) * 2;
      return { id, adapter, prompt, ids: [...prompt, ...decode], at: 0, joins, parts: [] as Float32Array[] };
    }),
  );
  const chunks = [3, 1, 7, 2, 16, 5, 11];
  try {
    for (let step = 0; rows.some(({ at, ids }) => at < ids.length); step++) {
      const spans: DriverSpan[] = [];
      for (const row of rows) {
        if (step < row.joins || row.at >= row.ids.length) continue;
        // A decoding row sometimes pauses, so that rows without a token lie between others.
        if (row.at >= row.prompt.length && (step + row.id) % 4 === 0) continue;
        const limit = row.at < row.prompt.length ? row.prompt.length - row.at : 1;
        const count = Math.min(limit, chunks[(step + row.id) % chunks.length]!);
        spans.push({ sequence: row.id, ids: row.ids.slice(row.at, row.at + count), adapter: row.adapter });
      }
      if (spans.length === 0) continue;
      const outputs = narrow.stepOutputs(spans, sampled);
      driver.step(spans).forEach((logits, i) => {
        const wanted = sampled(spans[i]!)
          ? logits.subarray(logits.length - logits.length / spans[i]!.ids.length)
          : new Float32Array();
        narrowed = Math.max(narrowed, maxError(outputs[i]!, wanted));
        const row = rows[spans[i]!.sequence]!;
        row.parts.push(logits);
        row.at += spans[i]!.ids.length;
        if (row.at !== row.ids.length) return;
        driver.leave(row.id);
        narrow.leave(row.id);
      });
    }
  } finally {
    driver.free();
    narrow.free();
  }
  return { narrowed, logits: adapters.map((_, j) => sequences.map((_, i) => join32(rows[i * adapters.length + j]!.parts))) };
}

function join32(parts: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Largest absolute difference; NaN anywhere is infinite. */
function maxError(got: Float32Array, want: Float32Array): number {
  if (got.length !== want.length) return Number.POSITIVE_INFINITY;
  let max = 0;
  for (let i = 0; i < want.length; i++) {
    const error = Math.abs(got[i]! - want[i]!);
    if (!(error <= max)) max = Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
  }
  return max;
}

function compare(logits: readonly Float32Array[], sequences: readonly CaseSequence[], expected: Expected): number {
  return sequences.reduce((max, { prompt, decode, prefill_first_row }, i) => {
    const vocab = logits[i]!.length / (prompt.length + decode.length);
    const prefill = logits[i]!.subarray(prefill_first_row * vocab, prompt.length * vocab);
    const decoded = logits[i]!.subarray(prompt.length * vocab);
    return Math.max(max, maxError(prefill, expected.prefill[i]!), maxError(decoded, expected.decode[i]!));
  }, 0);
}

const MODES: readonly Mode[] = ["alone", "ragged"];

/** A case with an adapter is checked with it and without it, in the same batch too. Throws what loading throws. */
export async function measureCase(directory: string, modes = MODES): Promise<CaseErrors> {
  const { name, model_type, about, sequences, tolerance }: CaseFile = await Bun.file(join(directory, "case.json")).json();
  const variants = await readVariants(directory, sequences.length);
  const adapters = variants.some(({ adapter }) => adapter > 0) ? [{ name: ADAPTER, path: join(directory, ADAPTER) }] : [];
  const loaded = await loadModel(await openCheckpoint(directory), { adapters });
  const alone = () => variants.map(({ adapter, expected }) => compare(runAlone(loaded, sequences, adapter), sequences, expected));
  const ragged = () => {
    const twice = [...variants, ...variants];
    const numbers = twice.map(({ adapter }) => adapter);
    const { narrowed, logits } = runRagged(loaded, sequences, numbers);
    return [narrowed, ...logits.map((rows, i) => compare(rows, sequences, twice[i]!.expected))];
  };
  try {
    const errors = { alone: 0, ragged: 0 };
    for (const mode of modes) errors[mode] = Math.max(...(mode === "alone" ? alone() : ragged()));
    return { name, modelType: model_type, about, errors, tolerance: tolerance.max_abs_diff };
  } finally {
    loaded.free();
  }
}

/** The same in short: a difference is `ok: false`. */
export async function checkCase(directory: string, modes = MODES): Promise<CaseResult> {
  const { name, errors, tolerance } = await measureCase(directory, modes);
  const max_error = Math.max(errors.alone, errors.ragged);
  return { case: name, max_error, tolerance, ok: max_error <= tolerance };
}
