import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BlockContent } from "../../src/prefix/block-file.ts";
import { DiskStore, type DiskStoreOptions } from "../../src/prefix/disk-store.ts";
import { Prng } from "../engine/prng.ts";

const scratch = mkdtempSync(join(tmpdir(), "mlx-cb-blocks-"));
let directories = 0;

afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
});

const fresh = () => join(scratch, String(directories++));
const openStore = (directory: string, options: Partial<DiskStoreOptions> = {}) =>
  DiskStore.open({ directory, limitBytes: 2 ** 24, ...options });

const keyOf = (n: number) => n.toString(16).padStart(2, "0").padEnd(32, "a");

function block(n: number, kind: BlockContent["kind"] = "tokens"): BlockContent {
  const data = new Uint8Array(1024).map((_, i) => (i * 7 + n) % 256);
  return { key: keyOf(n), kind, dtype: "F32", shape: [4, 64], data };
}

const wanted = ({ data: _, ...want }: BlockContent) => want;
const files = (directory: string) =>
  readdirSync(directory).flatMap((folder) => readdirSync(join(directory, folder)).map((name) => join(directory, folder, name)));

test("what is written is there after a restart, for this user only, and readable as safetensors", async () => {
  const directory = fresh();
  const store = await openStore(directory);
  for (let n = 0; n < 20; n++) store.write(block(n), n);
  store.write(block(3, "state"), 3);
  await store.flush();
  const again = await openStore(directory);
  expect(again.bytes).toBe(store.bytes);
  for (let n = 0; n < 20; n++) expect(await again.read(wanted(block(n)), n)).toEqual(block(n).data);
  expect(await again.read(wanted(block(3, "state")), 3)).toEqual(block(3).data);
  expect(await again.has({ key: keyOf(4), kind: "state", depth: 4 })).toBe(false);
  expect(await again.read(wanted(block(99)), 0)).toBeNull();
  for (const file of files(directory)) expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(statSync(directory).mode & 0o077).toBe(0);
  const bytes = readFileSync(files(directory)[0]!);
  const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE())).toString());
  expect(header.content).toEqual({ dtype: "F32", shape: [4, 64], data_offsets: [0, 1024] });
});

test("a block of another shape, type, kind or key is not taken for the one that is wanted", async () => {
  const directory = fresh();
  const store = await openStore(directory);
  const others: Partial<BlockContent>[] = [{ shape: [64, 4] }, { dtype: "BF16" }, { shape: [256] }];
  for (const [n, other] of others.entries()) {
    store.write(block(n), 0);
    await store.flush();
    expect(await store.read({ ...wanted(block(n)), ...other }, 0)).toBeNull();
  }
  store.write(block(7), 0);
  await store.flush();
  const [from] = files(directory).filter((file) => file.includes(keyOf(7)));
  mkdirSync(join(directory, "08"));
  writeFileSync(join(directory, "08", `${keyOf(8)}-0.tokens.safetensors`), readFileSync(from!));
  expect(await store.read(wanted(block(8)), 0)).toBeNull();
});

test("1,000 files with a flipped bit, cut short or made longer: none is taken, all are removed", async () => {
  const directory = fresh();
  const random = new Prng(9);
  const store = await openStore(directory);
  for (let n = 0; n < 1000; n++) store.write({ ...block(n % 200), key: n.toString(16).padStart(32, "0") }, 0);
  await store.flush();
  for (const file of files(directory)) {
    const bytes = readFileSync(file);
    const way = random.int(0, 9);
    if (way === 0) writeFileSync(file, bytes.subarray(0, random.int(0, bytes.length - 1)));
    else if (way === 1) writeFileSync(file, Buffer.concat([bytes, Buffer.from([0])]));
    else {
      bytes[random.int(0, bytes.length - 1)]! ^= 1 << random.int(0, 7);
      writeFileSync(file, bytes);
    }
  }
  const again = await openStore(directory);
  for (let n = 0; n < 1000; n++) {
    expect(await again.read({ ...wanted(block(0)), key: n.toString(16).padStart(32, "0") }, 0)).toBeNull();
  }
  expect(files(directory)).toEqual([]);
  expect(again.bytes).toBe(0);
});

test("the limit holds, the least recently used go first, of those the ends of chains", async () => {
  const directory = fresh();
  const store = await openStore(directory);
  for (let n = 0; n < 10; n++) store.write(block(n), n);
  await store.flush();
  const long = new Date(Date.now() - 7_200_000);
  for (const n of [0, 1]) utimesSync(files(directory).find((file) => file.includes(keyOf(n)))!, long, long);
  const size = store.bytes / 10;
  const small = await openStore(directory, { limitBytes: size * 9.5 });
  small.write(block(20), 0);
  await small.flush();
  expect(small.bytes).toBeLessThanOrEqual(size * 9.5);
  const left = await Promise.all(Array.from({ length: 10 }, (_, n) => small.has({ key: keyOf(n), kind: "tokens", depth: n })));
  expect(left.indexOf(false)).toBe(0);
  expect(left.slice(2, 9)).toEqual(Array(7).fill(true));
  expect(await small.has({ key: keyOf(20), kind: "tokens", depth: 0 })).toBe(true);
});

describe("a disk that refuses", () => {
  test("turns writing off with one warning, leaves nothing half written, and goes on reading", async () => {
    const directory = fresh();
    const first = await openStore(directory);
    first.write(block(1), 0);
    await first.flush();
    const refusals: unknown[] = [];
    const full = Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
    const store = await openStore(directory, {
      onRefusal: (error) => refusals.push(error),
      writeFile: async (path, parts) => {
        writeFileSync(path, parts[0]!);
        throw full;
      },
    });
    for (let n = 2; n < 6; n++) store.write(block(n), 0);
    await store.flush();
    expect(refusals).toEqual([full]);
    expect(store.writing).toBe(false);
    expect(files(directory).length).toBe(1);
    expect(await store.read(wanted(block(1)), 0)).toEqual(block(1).data);
  });

  test("at the start is an error that names the directory", async () => {
    const file = fresh();
    writeFileSync(file, "");
    await expect(openStore(join(file, "x"))).rejects.toThrow(/x cannot be used/);
  });
});

test("what does not fit into the queue is passed over", async () => {
  const directory = fresh();
  const store = await openStore(directory, { queueBytes: 3000 });
  for (let n = 0; n < 10; n++) store.write(block(n), n);
  await store.flush();
  expect(files(directory).length).toBe(2);
});

test("two stores share a directory; foreign files are left alone, those of a crash are cleared away", async () => {
  const directory = fresh();
  const [a, b] = [await openStore(directory), await openStore(directory)];
  a.write(block(1), 0);
  b.write(block(1), 0);
  a.write(block(2), 1);
  await Promise.all([a.flush(), b.flush()]);
  expect(await b.read(wanted(block(2)), 1)).toEqual(block(2).data);
  await a.clear();
  expect(await b.read(wanted(block(1)), 0)).toBeNull();
  const folder = join(directory, "01");
  writeFileSync(join(folder, "notes.txt"), "mine");
  const partial = join(folder, `.${keyOf(1)}-0.tokens.${crypto.randomUUID()}.partial`);
  writeFileSync(partial, "");
  const young = await openStore(directory);
  expect(files(directory).length).toBe(2);
  const long = new Date(Date.now() - 7_200_000);
  utimesSync(partial, long, long);
  await openStore(directory);
  await young.clear();
  expect(files(directory)).toEqual([join(folder, "notes.txt")]);
});

test("killed in the middle of writing, again and again: what is left is whole or not taken", async () => {
  const directory = fresh();
  const program = `
    import { DiskStore } from ${JSON.stringify(join(import.meta.dir, "../../src/prefix/disk-store.ts"))};
    const store = await DiskStore.open({ directory: ${JSON.stringify(directory)}, limitBytes: 2 ** 30 });
    const data = new Uint8Array(2 ** 18).fill(5);
    console.log("writing");
    for (let n = 0; ; n++) {
      store.write({ key: n.toString(16).padStart(32, "0"), kind: "tokens", dtype: "F32", shape: [64, 1024], data }, n);
      if (n % 20 === 0) await store.flush();
    }`;
  for (const ms of [30, 60]) {
    const child = Bun.spawn([process.execPath, "-e", program], { stdout: "pipe", stderr: "inherit" });
    await child.stdout.getReader().read();
    await Bun.sleep(ms);
    child.kill("SIGKILL");
    await child.exited;
  }
  const store = await openStore(directory, { limitBytes: 2 ** 30 });
  let whole = 0;
  for (let n = 0; n < 2000; n++) {
    const want = { key: n.toString(16).padStart(32, "0"), kind: "tokens", dtype: "F32", shape: [64, 1024] } as const;
    const data = await store.read(want, n);
    if (data === null) continue;
    whole++;
    expect(data.every((byte) => byte === 5)).toBe(true);
  }
  expect(whole).toBeGreaterThan(0);
});
