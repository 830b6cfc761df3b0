/** Writes `native/ops.cpp` and `ops.ts` from `op-table.ts`: `bun src/mlx/generate.ts`. */
import { join } from "node:path";
import { type ArgKind, OPS, type Op } from "./op-table.ts";

const CPP_PARAMS: Record<ArgKind, (n: string) => string> = {
  array: (n) => `Handle ${n}_`,
  "array?": (n) => `Handle ${n}_`,
  arrays: (n) => `const double* ${n}_, int32_t ${n}_n`,
  ints: (n) => `const int32_t* ${n}_, int32_t ${n}_n`,
  int: (n) => `int32_t ${n}`,
  float: (n) => `double ${n}_`,
  bool: (n) => `bool ${n}`,
  dtype: (n) => `int32_t ${n}_`,
  mode: (n) => `int32_t ${n}_`,
};

const CPP_LOCALS: Record<ArgKind, (n: string) => string> = {
  array: (n) => `const mx::array& ${n} = array_at(${n}_);`,
  "array?": (n) => `std::optional<mx::array> ${n} = optional_at(${n}_);`,
  arrays: (n) => `std::vector<mx::array> ${n} = arrays_at(${n}_, ${n}_n);`,
  ints: (n) => `std::vector<int> ${n}(${n}_, ${n}_ + ${n}_n);`,
  int: () => "",
  float: (n) => `float ${n} = static_cast<float>(${n}_);`,
  bool: () => "",
  dtype: (n) => `mx::Dtype ${n} = dtype_at(${n}_);`,
  mode: (n) => `const std::string& ${n} = mode_at(${n}_);`,
};

const TS_TYPES: Record<ArgKind, string> = {
  array: "MxArray",
  "array?": "MxArray | null",
  arrays: "readonly MxArray[]",
  ints: "Ints",
  int: "number",
  float: "number",
  bool: "boolean",
  dtype: "Dtype",
  mode: "QuantizationMode",
};

const TS_VALUES: Record<ArgKind, (n: string) => string> = {
  array: (n) => n,
  "array?": (n) => n,
  arrays: (n) => `doubles(${n}), ${n}.length`,
  ints: (n) => `int32s(${n}), ${n}.length`,
  int: (n) => n,
  float: (n) => n,
  bool: (n) => n,
  dtype: (n) => n,
  mode: (n) => n,
};

const ops = Object.entries(OPS) as [string, Op][];
const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

export function generateCpp(): string {
  const functions = ops.map(([name, op]) => {
    const args = Object.entries(op.args);
    const params = args.map(([n, kind]) => CPP_PARAMS[kind](n)).join(", ");
    const locals = args.map(([n, kind]) => CPP_LOCALS[kind](n)).filter(Boolean);
    const body = [...locals, `return hold(${op.cpp});`].map((line) => `    ${line}`).join("\n");
    return `SHIM_EXPORT Handle op_${name}(${params}) {\n  return guard([&]() -> Handle {\n${body}\n  });\n}`;
  });
  return `// Written by generate.ts from op-table.ts.\n#include "cpu-primitives.h"\n#include "shim.h"\n\nnamespace shim {\n\nextern "C" {\n\n${functions.join("\n\n")}\n\n}\n\n}  // namespace shim\n`;
}

/** As Biome formats it. */
function head(name: string, params: readonly string[]): string {
  const line = `export function ${name}(${params.join(", ")}): MxArray {`;
  return line.length <= 130 ? line : `export function ${name}(\n${params.map((param) => `  ${param},\n`).join("")}): MxArray {`;
}

export function generateTypeScript(): string {
  const functions = ops.map(([name, op]) => {
    const args = Object.entries(op.args);
    const params = args.map(([n, kind]) => `${n}: ${TS_TYPES[kind]}`);
    const values = args.map(([n, kind]) => TS_VALUES[kind](n)).join(", ");
    return `/** ${op.doc}. */\n${head(camel(name), params)}\n  return checked(ffi.op_${name}(${values}));\n}`;
  });
  return [
    "// Written by generate.ts from op-table.ts.",
    'import type { Dtype, QuantizationMode } from "./dtype.ts";',
    'import { checked, doubles, ffi, type Ints, int32s, type MxArray } from "./ffi.ts";',
    "",
    functions.join("\n\n"),
    "",
  ].join("\n");
}

if (import.meta.main) {
  await Bun.write(join(import.meta.dir, "native/ops.cpp"), generateCpp());
  await Bun.write(join(import.meta.dir, "ops.ts"), generateTypeScript());
}
