import { parseArgs } from "node:util";
import * as v from "valibot";
import { StartupError } from "./errors.ts";

/** One option of the command line. Flag, environment variable, help text and parsing all come from this. */
export interface Option {
  /** From the raw text to the value; its default (raw, or null) is what an absent option gives. */
  schema: v.GenericSchema<string | null | undefined, unknown> & { readonly default: string | null };
  /** What is accepted, as the end of "must be …". */
  accepts: string;
  help: string;
  /** Name of the value in the help text; an option without one is a flag. */
  value?: string;
  short?: string;
  /** May be given several times; the texts are joined by commas. */
  list?: boolean;
  /** The value never appears in a message. */
  secret?: boolean;
}
export type OptionTable = Readonly<Record<string, Option>>;
export type OptionValues<Table extends OptionTable> = { [Key in keyof Table]: v.InferOutput<Table[Key]["schema"]> };
type Environment = Readonly<Record<string, string | undefined>>;

const kebab = (key: string) => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
export const flagName = (key: string) => `--${kebab(key)}`;
export const variableName = (key: string, prefix: string) => prefix + kebab(key).replaceAll("-", "_").toUpperCase();

/**
 * Values of all options: the command line goes before the environment, the environment before the defaults; of an option
 * given twice the last counts. `--help` and `--version` win over everything, wrong options included. `positional`: the option that an
 * argument without a name is the value of.
 */
export function parseOptions<Table extends OptionTable>(
  table: Table,
  prefix: string,
  argv: readonly string[],
  env: Environment,
  positional: (keyof Table & string) | null = null,
): OptionValues<Table> | { action: "help" | "version" } {
  const given = readArguments(table, argv, positional);
  if (typeof given === "string") return { action: given };
  const values: Record<string, unknown> = {};
  for (const [key, option] of Object.entries(table)) {
    const variable = variableName(key, prefix);
    const flag = given.get(key);
    // An empty variable counts as absent, as in `MLX_CB_MODEL= mlx-cb-serve`.
    const text = flag ?? (env[variable] || undefined);
    const parsed = v.safeParse(option.schema, text, { abortEarly: true });
    if (!parsed.success) {
      const shown = option.secret ? "what was given" : JSON.stringify(text ?? "");
      throw new StartupError(`${flag === undefined ? variable : flagName(key)} must be ${option.accepts}, not ${shown}.`);
    }
    values[key] = parsed.output;
  }
  return values as OptionValues<Table>;
}

/** Raw texts by option key. */
function readArguments(
  table: OptionTable,
  argv: readonly string[],
  positional: string | null,
): Map<string, string> | "help" | "version" {
  const keys = new Map(Object.keys(table).map((key) => [kebab(key), key]));
  const { tokens } = parseArgs({
    args: [...argv],
    strict: false,
    tokens: true,
    allowPositionals: true,
    options: {
      ...Object.fromEntries(
        Object.entries(table).map(([key, { value, short }]) => [
          kebab(key),
          { type: value ? ("string" as const) : ("boolean" as const), ...(short && { short }) },
        ]),
      ),
      help: { type: "boolean", short: "h" },
      version: { type: "boolean" },
    },
  });
  for (const token of tokens)
    if (token.kind === "option" && (token.name === "help" || token.name === "version")) return token.name;

  const given = new Map<string, string>();
  for (const token of tokens) {
    if (token.kind === "positional") {
      if (positional !== null && !given.has(positional)) {
        given.set(positional, token.value);
        continue;
      }
      throw new StartupError(`Unexpected argument ${JSON.stringify(token.value)}: a model is given with --model.`);
    }
    if (token.kind !== "option") continue;
    const key = keys.get(token.name);
    if (key === undefined) throw new StartupError(unknownOption(token.rawName, [...keys.keys(), "help", "version"]));
    const option = table[key]!;
    // `--port --host x` is a forgotten value, not a port called "--host"; a negative number is a value.
    const forgotten = !token.inlineValue && (token.value === undefined || /^-[^\d]/.test(token.value));
    if (option.value && (forgotten || token.value === "")) {
      throw new StartupError(`${token.rawName} needs a value: ${option.accepts}.`);
    }
    const text = token.value ?? "true";
    const before = given.get(key);
    given.set(key, option.list && before !== undefined ? `${before},${text}` : text);
  }
  return given;
}

function unknownOption(name: string, known: readonly string[]): string {
  const wanted = name.replace(/^-+/, "").replaceAll("_", "-").toLowerCase();
  const nearest = known
    .map((candidate) => ({ candidate, distance: editDistance(wanted, candidate) }))
    .sort((a, b) => a.distance - b.distance)[0];
  const close = nearest && name.startsWith("--") && nearest.distance <= Math.max(1, Math.floor(nearest.candidate.length / 3));
  return `Unknown option ${name}${close ? `: did you mean --${nearest.candidate}?` : "; --help lists all."}`;
}

/** Levenshtein's distance, with a swap of two neighbours as one edit. */
function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, index) => index)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    const above = rows[i - 1]!;
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row.push(
        Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + (same ? 0 : 1), swapped ? rows[i - 2]![j - 2]! + 1 : Infinity),
      );
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}

const standardRows: [left: string, right: string][] = [
  ["    --version", "Print the version and exit"],
  ["-h, --help", "Print this text and exit"],
];

/** The lines of the help text that describe the options. */
export function describeOptions(table: OptionTable, more = standardRows): string {
  const rows: [left: string, right: string][] = Object.entries(table).map(([key, option]) => [
    `${option.short ? `-${option.short}, ` : "    "}${flagName(key)}${option.value ? ` ${option.value}` : ""}`,
    `${option.help}${option.value && option.schema.default ? ` (default ${option.schema.default})` : ""}`,
  ]);
  rows.push(...more);
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  return rows.map(([left, right]) => `  ${left.padEnd(width)}${right}`).join("\n");
}
