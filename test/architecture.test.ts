import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";

interface Import {
  /** A path from `src` such as `mlx/ops.ts`, `../package.json`, or a package's name. */
  target: string;
  typeOnly: boolean;
}

/** File, as a path from `src`, to what it imports. */
type Graph = ReadonlyMap<string, readonly Import[]>;

const SRC = join(import.meta.dir, "../src");

/** Which layers a layer may import, besides itself and the leaves. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  main: ["index", "http", "chat", "engine", "text", "models", "nn", "kv", "mlx", "hub", "bench"],
  index: ["http", "chat", "engine", "text", "models", "nn", "kv", "mlx"],
  http: ["chat", "storage", "engine"],
  storage: [],
  chat: [],
  engine: ["prefix", "grammar", "text", "models", "nn", "kv", "mlx"],
  grammar: [],
  text: [],
  prefix: [],
  models: ["nn", "kv", "mlx"],
  nn: ["mlx"],
  kv: ["mlx"],
  mlx: [],
  hub: [],
  bench: [],
  leaf: [],
};

/** What the layers say to each other: its types may be taken from any side. */
const CONTRACT = "engine/request.ts";

/** Packages that one layer keeps to itself. */
const OWNED: readonly [pattern: RegExp, layer: string][] = [
  [/^bun:ffi$/, "mlx"],
  [/^(elysia|@elysiajs\/.*)(\/|$)/, "http"],
  [/^@huggingface\/hub(\/|$)/, "hub"],
  [/^@huggingface\/(tokenizers|jinja)(\/|$)/, "text"],
  [/^@mlc-ai\/web-xgrammar(\/|$)/, "grammar"],
];

const PURE = /^engine\/(scheduler[^/]*|sequence)\.ts$/;

/** Folder, `main`, `index`, or `leaf` for the other files at the top. */
function layerOf(file: string): string {
  const folder = file.split("/")[0] ?? "";
  if (file.includes("/")) return folder;
  return file === "main.ts" || file === "index.ts" ? file.slice(0, -3) : "leaf";
}

const isOwnFile = (target: string) => target.endsWith(".ts") && !target.startsWith("../");

function findViolations(graph: Graph): string[] {
  const violations: string[] = [];
  for (const [file, imports] of graph) {
    const layer = layerOf(file);
    const allowed = ARROWS[layer];
    if (!allowed) violations.push(`${file} is in the unknown layer ${layer}`);
    for (const found of imports) {
      const reason = isOwnFile(found.target) ? judgeFile(layer, allowed ?? [], found) : judgePackage(layer, found.target);
      if (reason) violations.push(`${file} imports ${found.target}: ${reason}`);
    }
    if (PURE.test(file)) {
      const way = findWay(graph, file, (target) => layerOf(target) === "mlx");
      if (way || imports.some(({ target }) => layerOf(target) === "mlx"))
        violations.push(`${file} reaches mlx: ${way?.join(" → ")}`);
    }
  }
  return violations;
}

function judgeFile(layer: string, allowed: readonly string[], { target, typeOnly }: Import): string | null {
  const to = layerOf(target);
  if (to === layer || to === "leaf" || (target === CONTRACT && typeOnly)) return null;
  if (!allowed.includes(to)) return `${layer} may not import ${to}`;
  return layer === "http" && to === "engine" && !typeOnly ? "http may import only types of the engine" : null;
}

function judgePackage(layer: string, name: string): string | null {
  const owner = OWNED.find(([pattern]) => pattern.test(name))?.[1];
  return owner === undefined || owner === layer ? null : `only ${owner} may`;
}

/** The files from `start` to one that `isGoal`, along imports that are there at run time; null: there is no such way. */
function findWay(graph: Graph, start: string, isGoal: (file: string) => boolean): string[] | null {
  const ways: string[][] = [[start]];
  const seen = new Set([start]);
  for (const way of ways) {
    for (const { target, typeOnly } of graph.get(way.at(-1) ?? "") ?? []) {
      if (typeOnly || seen.has(target) || !isOwnFile(target)) continue;
      seen.add(target);
      ways.push([...way, target]);
      if (isGoal(target)) return [...way, target];
    }
  }
  return null;
}

/** `import { type A }` counts as a value: under `verbatimModuleSyntax` the module is still loaded. */
function readImports(file: string, code: string): Import[] {
  const statements = code.matchAll(/^(?:import|export)\s+(type\s)?(?:[\w*{}\s,$]*?\sfrom\s+)?"([^"]+)"/gm);
  return [...statements].map(([, type, name = ""]) => ({ target: resolve(file, name), typeOnly: type !== undefined }));
}

const resolve = (file: string, name: string) => (name.startsWith(".") ? posix.join(posix.dirname(file), name) : name);

const sources = readdirSync(SRC, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts"))
  // The transpiler does not take the first line of a script.
  .map((file) => ({ file, code: readFileSync(join(SRC, file), "utf8").replace(/^#!.*/, "") }));

describe("imports of src", () => {
  test("go downward only", () => {
    const graph = new Map(sources.map(({ file, code }) => [file, readImports(file, code)]));
    expect(graph.size).toBeGreaterThan(20);
    expect(findViolations(graph)).toEqual([]);
  });

  test("are static, and all seen by the test above", () => {
    const transpiler = new Bun.Transpiler({ loader: "ts" });
    for (const { file, code } of sources) {
      const seen = readImports(file, code).map(({ target }) => target);
      for (const { path, kind } of transpiler.scanImports(code)) {
        expect(`${file}: ${kind}`).toBe(`${file}: import-statement`);
        expect(seen).toContain(resolve(file, path));
      }
    }
  });
});

describe("the rules themselves", () => {
  const judge = (file: string, code: string, others: Record<string, string> = {}) =>
    findViolations(new Map(Object.entries({ [file]: code, ...others }).map(([name, text]) => [name, readImports(name, text)])));

  const refused: [file: string, code: string][] = [
    ["mlx/a.ts", 'import { b } from "../nn/b.ts";'],
    ["nn/a.ts", 'import type { B } from "../models/b.ts";'],
    ["models/a.ts", 'import "../engine/b.ts";'],
    ["models/a.ts", 'export { b } from "../text/b.ts";'],
    ["text/a.ts", 'export * from "../mlx/b.ts";'],
    ["chat/a.ts", 'import { b } from "../text/b.ts";'],
    ["engine/a.ts", 'import { b } from "../chat/b.ts";'],
    ["text/a.ts", 'import { type B } from "../engine/request.ts";'],
    ["engine/a.ts", 'import type { B } from "../http/b.ts";'],
    ["engine/a.ts", 'import { b } from "../hub/b.ts";'],
    ["engine/a.ts", 'import { dlopen } from "bun:ffi";'],
    ["engine/a.ts", 'import { Elysia } from "elysia";'],
    ["http/a.ts", 'import {\n  b,\n  type C,\n} from "../engine/b.ts";'],
    ["http/chat/a.ts", 'import type { B } from "../../models/b.ts";'],
    ["http/a.ts", 'import * as b from "../mlx/b.ts";'],
    ["index.ts", 'import { b } from "./hub/b.ts";'],
    ["errors.ts", 'import { b } from "./http/b.ts";'],
    ["elsewhere/a.ts", ""],
    ["engine/scheduler.ts", 'import type { MxArray } from "../mlx/ffi.ts";'],
  ];
  for (const [file, code] of refused) {
    test(`refuse ${file}: ${code.replaceAll("\n", " ")}`, () => expect(judge(file, code)).toHaveLength(1));
  }

  const allowed: [file: string, code: string][] = [
    ["main.ts", 'import { b } from "./hub/b.ts";\nimport { c } from "./index.ts";'],
    ["index.ts", 'export { createApp } from "./http/app.ts";'],
    ["http/a/b.ts", 'import type {\n  C,\n} from "../../engine/c.ts";\nimport { Elysia } from "elysia";'],
    ["text/a.ts", 'import type { B } from "../engine/request.ts";'],
    ["http/a.ts", 'import { b } from "../chat/b.ts";'],
    ["mlx/a.ts", 'import { dlopen } from "bun:ffi";\nimport { B } from "../errors.ts";'],
    ["engine/sequence.ts", 'import { b } from "../kv/rows.ts";'],
  ];
  for (const [file, code] of allowed) {
    test(`allow ${file}: ${code.replaceAll("\n", " ")}`, () => expect(judge(file, code)).toEqual([]));
  }

  test("find the way from the scheduler to mlx through other files, but not along types", () => {
    const plan = { "engine/plan.ts": 'import { c } from "../kv/c.ts";' };
    const scheduler = 'import { b } from "./plan.ts";';
    expect(judge("engine/scheduler-queue.ts", scheduler, { ...plan, "kv/c.ts": 'import * as mx from "../mlx/ops.ts";' })).toEqual(
      ["engine/scheduler-queue.ts reaches mlx: engine/scheduler-queue.ts → engine/plan.ts → kv/c.ts → mlx/ops.ts"],
    );
    expect(judge("engine/scheduler.ts", scheduler, { ...plan, "kv/c.ts": 'import type { A } from "../mlx/ffi.ts";' })).toEqual(
      [],
    );
  });
});
