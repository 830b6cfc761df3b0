/** Loads the model directory given and prints what that took: `{loaded, largest, peak}` in bytes, the peak above what was there. */
import { readFileSync } from "node:fs";
import { openMlx } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { openCheckpoint } from "../../src/models/checkpoint.ts";
import { loadModel } from "../../src/models/load.ts";

const [directory = "", bits] = process.argv.slice(2);

function status(field: string): number {
  const found = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readFileSync("/proc/self/status", "utf8"));
  return Number(found?.[1]) * 1024;
}

openMlx(locateNativeLibrary(), true);
const checkpoint = await openCheckpoint(directory);
const largest = Math.max(...[...checkpoint.tensors.values()].map(({ byteLength }) => byteLength));
const before = status("VmRSS");
const loaded = await loadModel(checkpoint, { quantize: bits === "4" ? 4 : bits === "8" ? 8 : null });
console.log(JSON.stringify({ loaded: loaded.bytes, largest, peak: status("VmHWM") - before }));
process.exit(0);
