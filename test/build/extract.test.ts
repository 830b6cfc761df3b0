import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StartupError } from "../../src/errors.ts";
import { cacheCandidates, type EmbeddedGroup, extractGroup } from "../../src/mlx/extract.ts";

let work: string;
let cache: string;
let group: EmbeddedGroup;
const plain = Buffer.from("as it is");
const large = Buffer.alloc(3_000_000, "a part of a library ");

beforeEach(() => {
  work = mkdtempSync(join(tmpdir(), "mlx-cb-extract-"));
  cache = join(work, "cache");
  const half = large.length / 2;
  const frames = [large.subarray(0, half), large.subarray(half)].map((part) => Bun.zstdCompressSync(part));
  writeFileSync(join(work, "plain.bin"), plain);
  writeFileSync(join(work, "large.bin"), Buffer.concat(frames));
  group = {
    hash: "0123456789abcdef0123",
    files: [
      { path: "plain.txt", source: join(work, "plain.bin"), size: plain.length, frames: null },
      {
        path: "deep/er/large.so",
        source: join(work, "large.bin"),
        size: large.length,
        frames: frames.map((frame) => frame.length),
      },
    ],
  };
});
afterEach(() => rmSync(work, { recursive: true, force: true }));

function expectWhole(directory: string): void {
  expect(readFileSync(join(directory, "plain.txt")).equals(plain)).toBeTrue();
  expect(readFileSync(join(directory, "deep/er/large.so")).equals(large)).toBeTrue();
}

const messageOf = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(StartupError);
    return error instanceof Error ? error.message : "";
  }
  throw new Error("nothing was thrown");
};

test("extracts into a private directory named by the content, and uses it again", () => {
  const directory = extractGroup("native", group, [cache]);
  expect(directory).toBe(join(cache, "native-0123456789abcdef"));
  expectWhole(directory);
  expect(statSync(directory).mode & 0o777).toBe(0o700);
  expect(statSync(cache).mode & 0o777).toBe(0o700);
  utimesSync(join(directory, "plain.txt"), 1000, 1000);
  expect(extractGroup("native", group, [cache])).toBe(directory);
  expect(statSync(join(directory, "plain.txt")).mtimeMs).toBe(1_000_000);
  expect(readdirSync(cache)).toEqual(["native-0123456789abcdef"]);
});

test("heals a cache in which a file is missing, cut off, or the directory is something else", () => {
  const directory = extractGroup("native", group, [cache]);
  const damages = [
    () => rmSync(join(directory, "plain.txt")),
    () => truncateSync(join(directory, "deep/er/large.so"), 5),
    () => rmSync(join(directory, "deep"), { recursive: true }),
    () => {
      rmSync(directory, { recursive: true });
      writeFileSync(directory, "a file");
    },
  ];
  for (const damage of damages) {
    damage();
    expectWhole(extractGroup("native", group, [cache]));
    expect(readdirSync(cache)).toEqual(["native-0123456789abcdef"]);
  }
});

test.each(["empty", "damaged"])("many processes at once on an %s cache all get it whole", async (state) => {
  if (state === "damaged") rmSync(join(extractGroup("group", group, [cache]), "plain.txt"));
  const groupFile = join(work, "group.json");
  const start = join(work, "start");
  writeFileSync(groupFile, JSON.stringify(group));
  const script = join(import.meta.dir, "extract-process.ts");
  const children = Array.from({ length: 6 }, () =>
    Bun.spawn([process.execPath, script, groupFile, cache, start], { stdout: "pipe", stderr: "inherit" }),
  );
  await Bun.sleep(200);
  writeFileSync(start, "");
  const answers = await Promise.all(children.map((child) => child.stdout.text()));
  expect(new Set(answers)).toEqual(new Set([`${join(cache, "group-0123456789abcdef")}\n`]));
  expectWhole(join(cache, "group-0123456789abcdef"));
  expect(readdirSync(cache)).toEqual(["group-0123456789abcdef"]);
});

test("passes over a place that cannot be written to or that others can write to", () => {
  writeFileSync(join(work, "file"), "");
  const shared = join(work, "shared");
  mkdirSync(shared);
  chmodSync(shared, 0o777);
  expect(extractGroup("native", group, [join(work, "file/below"), shared, cache])).toStartWith(cache);
  expect(readdirSync(shared)).toEqual([]);
});

test("says in one sentence where nothing could be written", () => {
  writeFileSync(join(work, "file"), "");
  const message = messageOf(() => extractGroup("native", group, [join(work, "file/below")]));
  expect(message).toContain(`Cannot write the embedded files below ${join(work, "file/below")}: `);
  expect(message).toContain("MLX_CB_CACHE");
});

test("a write that fails half-way leaves nothing behind and is told in one sentence", async () => {
  const groupFile = join(work, "group.json");
  const start = join(work, "start");
  writeFileSync(groupFile, JSON.stringify(group));
  writeFileSync(start, "");
  const script = join(import.meta.dir, "extract-process.ts");
  // A limit on the size of files fails a write like a full disk does, without needing one. 1,000 blocks are 512 or 1,024 KB.
  const limited = 'trap "" XFSZ; ulimit -f 1000; exec "$@"';
  const command = ["sh", "-c", limited, "sh", process.execPath, script, groupFile, cache, start];
  const answer = await Bun.spawn(command, { stdout: "pipe", stderr: "inherit" }).stdout.text();
  expect(answer).toStartWith(`StartupError: Cannot write the embedded files below ${cache}: `);
  expect(readdirSync(cache)).toEqual([]);
});

test("clears away what a killed start left, but not what one is writing now", () => {
  mkdirSync(join(cache, ".extract-old"), { recursive: true, mode: 0o700 });
  mkdirSync(join(cache, ".extract-new"));
  utimesSync(join(cache, ".extract-old"), 1000, 1000);
  chmodSync(cache, 0o700);
  extractGroup("native", group, [cache]);
  expect(readdirSync(cache).sort()).toEqual([".extract-new", "native-0123456789abcdef"]);
});

test("the places to try, best first", () => {
  const last = join(tmpdir(), `mlx-cb-serve-${process.getuid?.()}`);
  expect(cacheCandidates({ MLX_CB_CACHE: "/a", XDG_CACHE_HOME: "/b", HOME: "/c" })).toEqual(["/a"]);
  expect(cacheCandidates({ XDG_CACHE_HOME: "/b", HOME: "/c" })).toEqual(["/b/mlx-cb-serve", "/c/.cache/mlx-cb-serve", last]);
  expect(cacheCandidates({ XDG_CACHE_HOME: "b", HOME: "/c" })).toEqual(["/c/.cache/mlx-cb-serve", last]);
});
