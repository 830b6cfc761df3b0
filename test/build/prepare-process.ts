/** `bun prepare-process.ts SOURCES OUTPUT`: `build.ts native` for other sources and another place. */
import { StartupError } from "../../src/errors.ts";
import { prepareNative } from "../../src/mlx/build/native.ts";

const [sources = "", output = ""] = process.argv.slice(2);
try {
  await prepareNative(undefined, { sources, output });
} catch (error) {
  if (!(error instanceof StartupError)) throw error;
  console.error(error.message);
  process.exit(1);
}
