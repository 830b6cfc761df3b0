/** Every architecture that has a parity case, with a config in which one field is wrong: one clear refusal, or a model. */
import { beforeAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { StartupError } from "../../src/errors.ts";
import { openMlx } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { openCheckpoint } from "../../src/models/checkpoint.ts";
import { prepareModel } from "../../src/models/load.ts";
import { isObject, type JsonObject } from "../../src/models/model-json.ts";
import { fixtures, isOneSentence } from "./model-directories.ts";

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

const WRONG: readonly unknown[] = [
  null,
  -1,
  0,
  1,
  3,
  0.3,
  1e300,
  2 ** 31,
  Number.NaN,
  true,
  "x",
  "constructor",
  [],
  [1e9],
  ["x"],
  {},
  { factor: "x" },
];

/** All paths to fields of an object and of those inside. */
function pathsOf(object: JsonObject, before: readonly string[] = []): string[][] {
  return Object.entries(object).flatMap(([key, value]) => {
    const path = [...before, key];
    return isObject(value) ? [path, ...pathsOf(value, path)] : [path];
  });
}

function withValue(object: JsonObject, [key = "", ...rest]: readonly string[], value: unknown): JsonObject {
  const inner = object[key];
  return { ...object, [key]: rest.length > 0 && isObject(inner) ? withValue(inner, rest, value) : value } as JsonObject;
}

const cases = readdirSync(join(fixtures, "parity"), { withFileTypes: true }).filter((entry) => entry.isDirectory());

/** Each field of each case gets some of the values, different ones from case to case. */
test.each(cases.map(({ name }, index) => [name, index] as const))("%s", async (name, index) => {
  const checkpoint = await openCheckpoint(join(fixtures, "parity", name));
  await prepareModel(checkpoint);
  for (const [at, path] of pathsOf(checkpoint.config).entries()) {
    for (let draw = 0; draw < 4; draw++) {
      const value = WRONG[(index + at * 5 + draw * 7) % WRONG.length];
      const config = withValue(checkpoint.config, path, value);
      const said = `${path.join(".")} = ${JSON.stringify(value)}`;
      try {
        await prepareModel({ ...checkpoint, config });
      } catch (error) {
        if (!(error instanceof StartupError)) throw new Error(said, { cause: error });
        expect([said, error.message, isOneSentence(error.message)]).toEqual([said, error.message, true]);
      }
    }
  }
});
