import { afterAll, expect, test } from "bun:test";
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { StartupError } from "../../src/errors.ts";
import { openCheckpoint } from "../../src/models/checkpoint.ts";
import { ConfigReader, type JsonObject, parseModelJson } from "../../src/models/model-config.ts";
import { readSafetensorsHeader, SAFETENSORS_DTYPES, type SafetensorsHeader } from "../../src/models/safetensors.ts";
import { fixtures, headerBytes, isOneSentence, makeScratch, writeTensors, writeWeights } from "./model-directories.ts";
import { Dice, inventConfig, inventHeader, mutateBytes } from "./mutations.ts";

/** Of the whole file; a third goes to each of the slower kinds. */
const RUNS = Number(process.env.FUZZ_RUNS ?? 3000);
const SEED = Number(process.env.FUZZ_SEED ?? 1);
const TIME_LIMIT = 60_000 + RUNS * 20;
/** Far above what any case takes here; a hang or something quadratic is above it. */
const SLOWEST_MS = 5_000;

const scratch = makeScratch();
afterAll(scratch.remove);

interface Tally {
  accepted: number;
  refused: number;
}

/** Each run must give a value that `check` agrees with, or a `StartupError` of one sentence, soon. */
async function fuzz<T>(
  runs: number,
  name: string,
  attempt: (dice: Dice) => Promise<T>,
  check: (value: T) => void,
): Promise<Tally> {
  const tally: Tally = { accepted: 0, refused: 0 };
  for (let run = 0; run < runs; run++) {
    const dice = new Dice(SEED * 1_000_003 + run * 7919 + name.length);
    const start = performance.now();
    try {
      check(await attempt(dice));
      tally.accepted++;
    } catch (error) {
      const fine = error instanceof StartupError && isOneSentence(error.message);
      if (!fine) throw new Error(`${name}: run ${run} with FUZZ_SEED=${SEED} failed`, { cause: error });
      tally.refused++;
    }
    if (performance.now() - start > SLOWEST_MS) throw new Error(`${name}: run ${run} with FUZZ_SEED=${SEED} took too long`);
  }
  return tally;
}

/** What native code relies on: every byte belongs to exactly one tensor, and each tensor has as many as its shape needs. */
function checkInvariants(header: SafetensorsHeader): void {
  let position = header.dataOffset;
  for (const tensor of [...header.tensors.values()].sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength)) {
    expect(tensor.offset).toBe(position);
    expect(tensor.shape.every((size) => Number.isInteger(size) && size >= 0 && size <= 2 ** 31 - 1)).toBe(true);
    const elements = tensor.shape.reduce((product, size) => product * size, 1);
    expect(tensor.byteLength).toBe((elements * SAFETENSORS_DTYPES[tensor.dtype].bits) / 8);
    position += tensor.byteLength;
  }
  expect(position).toBe(header.fileSize);
}

/** The header means the same to a general JSON parser: no room for two readers to disagree. */
function checkAgainstJson(header: SafetensorsHeader): void {
  const bytes = readFileSync(header.path).subarray(8, header.dataOffset);
  const json: Record<string, { dtype: string; shape: number[]; data_offsets: number[] }> = JSON.parse(
    new TextDecoder().decode(bytes),
  );
  const names = Object.keys(json).filter((name) => name !== "__metadata__");
  expect(names.sort()).toEqual([...header.tensors.keys()].sort());
  for (const [name, tensor] of header.tensors) {
    const begin = tensor.offset - header.dataOffset;
    expect(json[name]?.dtype).toBe(tensor.dtype);
    expect(json[name]?.shape).toEqual([...tensor.shape]);
    expect(json[name]?.data_offsets).toEqual([begin, begin + tensor.byteLength]);
  }
}

function checkHeader(header: SafetensorsHeader): void {
  checkInvariants(header);
  checkAgainstJson(header);
}

const weights = join(scratch.path, "model.safetensors");

for (const source of ["llama-plain/model.safetensors", "llama-headdim-sharded/model-00001-of-00002.safetensors"]) {
  test(
    `random edits in the header of ${source}`,
    async () => {
      const file = readFileSync(join(fixtures, "parity", source));
      const length = Number(file.readBigUInt64LE(0));
      const json = file.subarray(8, 8 + length);
      const dataBytes = file.length - 8 - length;
      const tally = await fuzz(
        Math.ceil(RUNS / 3),
        source,
        (dice) => {
          const body = dice.chance(0.95) ? mutateBytes(json, dice) : Uint8Array.from(json);
          const lie = dice.pick([
            0,
            1,
            2,
            length,
            body.length - 1,
            body.length + 1,
            file.length,
            100_000_000,
            2 ** 40,
            2n ** 63n,
            -1,
          ]);
          const bytes = headerBytes(body, dice.chance(0.8) ? body.length : lie);
          const surplus = dice.chance(0.8) ? 0 : dice.pick([-dataBytes, -1, 1, 8, 4096]);
          writeWeights(weights, bytes, dataBytes + surplus);
          return readSafetensorsHeader(weights);
        },
        checkHeader,
      );
      expect(tally.accepted).toBeGreaterThan(RUNS / 200);
      expect(tally.refused).toBeGreaterThan(RUNS / 6);
    },
    TIME_LIMIT,
  );
}

test(
  "invented headers",
  async () => {
    const tally = await fuzz(
      RUNS,
      "headers",
      (dice) => {
        const { json, dataBytes } = inventHeader(dice);
        writeWeights(weights, headerBytes(json), Math.max(0, dataBytes + (dice.chance(0.1) ? dice.pick([-4, -1, 1, 12]) : 0)));
        return readSafetensorsHeader(weights);
      },
      checkHeader,
    );
    expect(tally.accepted).toBeGreaterThan(RUNS / 20);
    expect(tally.refused).toBeGreaterThan(RUNS / 20);
  },
  TIME_LIMIT,
);

const FIELDS = [
  "hidden_size",
  "num_hidden_layers",
  "eps",
  "tie",
  "act",
  "eos_token_id",
  "rope_scaling",
  "architectures",
  "constructor",
];

function readAll(config: JsonObject): number[] {
  const reader = new ConfigReader(config, "config.json");
  const numbers = [
    reader.int("hidden_size", { min: 1, max: 100, default: 1 }),
    reader.int(["layers", "num_hidden_layers"], { min: 1, max: 100, default: 1 }),
    ...reader.ints("eos_token_id", { min: 1, max: 100, default: [] }),
    reader.optionalChild("rope_scaling")?.int("hidden_size", { min: 1, max: 100, default: 1 }) ?? 1,
  ];
  expect(Number.isFinite(reader.number("eps", { default: 1 }))).toBe(true);
  expect(typeof reader.boolean("tie", { default: true })).toBe("boolean");
  expect(typeof reader.string("act", { default: "" })).toBe("string");
  expect(Array.isArray(reader.strings("architectures", { default: [] }))).toBe(true);
  return numbers;
}

test(
  "invented configurations",
  async () => {
    const tally = await fuzz(
      RUNS,
      "configurations",
      async (dice) => {
        let text = inventConfig(dice.chance(0.5) ? FIELDS : [dice.pick(FIELDS)], dice);
        if (dice.chance(0.2)) text = new TextDecoder().decode(mutateBytes(new TextEncoder().encode(text), dice));
        return readAll(parseModelJson(text, "config.json"));
      },
      (numbers) => expect(numbers.every((value) => Number.isInteger(value) && value >= 1 && value <= 100)).toBe(true),
    );
    expect(tally.accepted).toBeGreaterThan(RUNS / 50);
    expect(Object.getOwnPropertyNames(Object.prototype)).not.toContain("hidden_size");
  },
  TIME_LIMIT,
);

const TRICKS = [
  ...[
    "../m.safetensors",
    "/etc/passwd",
    "a/b.safetensors",
    "..",
    "",
    "\0",
    "x\n.safetensors",
    "model-3.safetensors",
    "config.json",
  ],
  ...["..\\m.safetensors", "./model-1.safetensors", "%2e%2e/m.safetensors", "~/m.safetensors", "C:model-1.safetensors"],
  ...[
    "model-1.safetensors\0.bin",
    "x".repeat(300).concat(".safetensors"),
    "file:///m.safetensors",
    "model-1.safetensors/",
    "．．/m.safetensors",
  ],
  ...[7, null, {}, ["model-1.safetensors"], true, "MODEL-1.safetensors", "model-1.safetensors ", "sub.safetensors"],
];

/** A small model of two files and an index, with a few things wrong. */
function spoilDirectory(directory: string, dice: Dice): void {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  const path = (name: string) => join(directory, name);
  writeFileSync(path("config.json"), '{"model_type": "llama", "eps": NaN}');
  writeTensors(path("model-1.safetensors"), { a: [2], b: [1, 3] });
  writeTensors(path("model-2.safetensors"), { c: [2] });
  const map: Record<string, unknown> = { a: "model-1.safetensors", b: "model-1.safetensors", c: "model-2.safetensors" };
  if (dice.chance(0.3)) map[dice.pick(["a", "b", "c", "d", "constructor"])] = dice.pick(TRICKS);
  if (dice.chance(0.8))
    writeFileSync(path("model.safetensors.index.json"), JSON.stringify({ weight_map: dice.chance(0.9) ? map : TRICKS }));
  for (const name of ["tokenizer.json", "generation_config.json"]) if (dice.chance(0.3)) writeFileSync(path(name), "{}");
  if (dice.chance(0.2)) writeFileSync(path("chat_template.json"), '{"chat_template": "x"}');
  while (dice.chance(0.4)) spoilFile(path(dice.pick(readdirSync(directory))), dice);
}

function spoilFile(path: string, dice: Dice): void {
  const kind = dice.below(7);
  const bytes = kind < 4 ? Uint8Array.from(readRegular(path)) : new Uint8Array();
  rmSync(path, { recursive: true, force: true });
  if (kind < 3) writeFileSync(path, mutateBytes(bytes, dice));
  else if (kind === 3) writeFileSync(path, bytes.subarray(0, dice.below(bytes.length + 1)));
  else if (kind === 4) mkdirSync(path);
  else if (kind === 5) symlinkSync(dice.pick([path, "nowhere", "config.json", "/dev/zero", "."]), path);
}

function readRegular(path: string): Uint8Array {
  return lstatSync(path).isFile() ? readFileSync(path).subarray(0, 4096) : new Uint8Array();
}

test(
  "spoilt model directories",
  async () => {
    const directory = join(scratch.path, "spoilt");
    const tally = await fuzz(
      Math.ceil(RUNS / 3),
      "directories",
      (dice) => {
        spoilDirectory(directory, dice);
        return openCheckpoint(directory);
      },
      (checkpoint) => {
        expect(checkpoint.tensors.size).toBeGreaterThan(0);
        for (const tensor of checkpoint.tensors.values()) expect(tensor.path.startsWith(`${directory}/`)).toBe(true);
      },
    );
    expect(tally.accepted).toBeGreaterThan(RUNS / 60);
    expect(tally.refused).toBeGreaterThan(RUNS / 60);
  },
  TIME_LIMIT,
);
