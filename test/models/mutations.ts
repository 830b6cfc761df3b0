/** Seeded randomness: the same seed gives the same run, on every machine. */
export class Dice {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** From 0 up to 1, by mulberry32. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  chance(share: number): boolean {
    return this.next() < share;
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error("nothing to pick from");
    return item;
  }
}

const ALPHABET = [...'{}[]",:0123456789.-+eE \\utfnNaI\n\0\x7f\x80\xc3\xff'].map((character) => character.charCodeAt(0));

/** One to eight random edits: a byte changed, some left out, put in, or copied elsewhere. */
export function mutateBytes(source: Uint8Array, dice: Dice): Uint8Array<ArrayBuffer> {
  let bytes = Array.from(source);
  for (let edits = 1 + dice.below(8); edits > 0; edits--) {
    const at = dice.below(bytes.length + 1);
    const kind = dice.below(6);
    if (kind === 0) bytes[Math.min(at, Math.max(0, bytes.length - 1))] = dice.below(256);
    else if (kind === 1) bytes[Math.min(at, Math.max(0, bytes.length - 1))] = dice.pick(ALPHABET);
    else if (kind === 2) bytes.splice(at, 1 + dice.below(12));
    else if (kind === 3) bytes.splice(at, 0, dice.pick(ALPHABET));
    else if (kind === 4) bytes.splice(at, 0, ...bytes.slice(dice.below(bytes.length), dice.below(bytes.length)));
    else if (dice.chance(0.2)) bytes = bytes.slice(0, at);
  }
  return Uint8Array.from(bytes);
}

/** JSON texts of values that sizes and offsets should not have, and some that they may. */
const NUMBERS = [
  ...[
    "0",
    "1",
    "2",
    "3",
    "4",
    "8",
    "16",
    "24",
    "-1",
    "-0",
    "1.0",
    "1.5",
    "1e3",
    "1e999",
    "NaN",
    "Infinity",
    "null",
    "true",
    '"4"',
  ],
  ...[
    "[]",
    "{}",
    "2147483647",
    "2147483648",
    "4294967296",
    "9007199254740991",
    "9007199254740992",
    "18446744073709551615",
    "08",
    "",
  ],
];
const DTYPES = [
  '"F32"',
  '"BF16"',
  '"U8"',
  '"F4"',
  '"F6_E2M3"',
  '"C64"',
  '"BOOL"',
  '"F8_E8M0"',
  '"F99"',
  '"f32"',
  '""',
  "32",
  "null",
];
const NAMES = [
  "a",
  "b",
  "a",
  "__proto__",
  "constructor",
  "",
  "__metadata__",
  "é",
  "\\u0061",
  "\\u0000",
  "\\ud800",
  "x".repeat(300),
];

/** A header of a few tensors, laid out right at first and then spoilt in a place or two; `dataBytes` is what the file should have. */
export function inventHeader(dice: Dice): { json: string; dataBytes: number } {
  const spoil = (value: string, others: readonly string[]) => (dice.chance(0.04) ? dice.pick(others) : value);
  let end = 0;
  const entries: string[] = [];
  for (let count = dice.below(6); count > 0; count--) {
    const shape = Array.from({ length: dice.below(4) }, () => dice.below(4));
    const begin = end;
    end += 4 * shape.reduce((product, size) => product * size, 1);
    const sizes = shape.map((size) => spoil(String(size), NUMBERS)).join(",");
    const offsets = [spoil(String(begin), NUMBERS), spoil(String(end), NUMBERS)].join(",");
    const fields = [`"dtype":${spoil('"F32"', DTYPES)}`, `"shape":[${sizes}]`, `"data_offsets":[${offsets}]`];
    if (dice.chance(0.03)) fields.splice(dice.below(3), 1);
    if (dice.chance(0.03)) fields.push(dice.pick(fields.length > 0 ? fields : ['"x":1']));
    if (dice.chance(0.03)) fields.push(`"x":${dice.pick(NUMBERS)}`);
    const name = dice.chance(0.15) ? dice.pick(NAMES) : `t${count}`;
    entries.push(`"${name}":{${fields.join(",")}}`);
  }
  if (dice.chance(0.2)) entries.push(`"__metadata__":{"format":${spoil('"pt"', NUMBERS)}}`);
  if (dice.chance(0.3)) entries.reverse();
  const depth = 1 + dice.below(30_000);
  if (dice.chance(0.01)) entries.push(`"deep":{"x":${"[".repeat(depth)}${"]".repeat(depth)}}`);
  return { json: `{${entries.join(",")}}${" ".repeat(dice.below(8))}`, dataBytes: end };
}

/** A random JSON-like text of a configuration, at times with what Python writes, at times broken. */
export function inventConfig(fields: readonly string[], dice: Dice): string {
  const value = (depth: number): string => {
    const kind = dice.below(depth > 4 ? 8 : 10);
    if (kind < 5) return dice.pick(NUMBERS) || "0";
    if (kind < 7) return dice.pick(['"silu"', '"NaN"', '"\\""', "false", "-Infinity", '"\\\\"', '"__proto__"', "64", "1e-5"]);
    if (kind === 7) return dice.chance(0.02) ? "[".repeat(dice.below(50_000)) : "12";
    const members = Array.from({ length: dice.below(4) }, () => value(depth + 1));
    if (kind === 8) return `[${members.join(", ")}]`;
    return `{${members.map((member) => `${JSON.stringify(dice.pick(fields))}: ${member}`).join(",")}}`;
  };
  const members = fields.map((field) => `${JSON.stringify(field)}: ${value(0)}`);
  if (dice.chance(0.2)) members.push(`"__proto__": ${value(0)}`);
  return `${dice.chance(0.1) ? "\uFEFF" : ""}{${members.join(",\n")}}`;
}
