import type { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { claimDirectory } from "../../src/storage/claim.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { FileStore } from "../../src/storage/file-store.ts";

const scratch = mkdtempSync(join(tmpdir(), "mlx-cb-files-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const description = { filename: "in.jsonl", purpose: "batch" };
const page = { purpose: null, limit: 10, after: null, ascending: false };
const bytesOf = (store: FileStore, id: string) => Buffer.concat([...store.read(id)]).toString();
const countChunks = (database: Database) => database.query<{ n: number }, []>("SELECT count(*) AS n FROM chunks").get()?.n;

/** Two pieces, the second one when it is let go on. */
function slowly() {
  const goOn = Promise.withResolvers<void>();
  const began = Promise.withResolvers<void>();
  async function* parts() {
    yield Buffer.from("first ");
    began.resolve();
    await goOn.promise;
    yield Buffer.from("second");
  }
  return { parts: parts(), began: began.promise, goOn };
}

test("a file that is on its way is not there yet, and survives that another server starts", async () => {
  const one = new FileStore(openDatabase(join(scratch, "two")));
  const { parts, began, goOn } = slowly();
  const added = one.add("", description, parts);
  await began;
  expect(one.list("", page)).toEqual([]);
  const two = new FileStore(openDatabase(join(scratch, "two")));
  goOn.resolve();
  const { id, bytes } = await added;
  expect(two.get("", id)).toMatchObject({ id, bytes: 12 });
  expect(bytes).toBe(12);
  expect(bytesOf(two, id)).toBe("first second");
});

test("of a file that could not be read nothing is left; of one that a crash has cut off nothing after a day", async () => {
  const database = openDatabase(join(scratch, "cut"));
  const store = new FileStore(database);
  const { parts, began, goOn } = slowly();
  const added = store.add("", description, parts).catch((error: Error) => error.message);
  await began;
  goOn.reject(new Error("the client went away"));
  expect(await added).toBe("the client went away");
  expect(countChunks(database)).toBe(0);

  const cut = slowly();
  void store.add("", description, cut.parts);
  await cut.began;
  database.run("UPDATE files SET created_at = created_at - 90000");
  expect(new FileStore(database).list("", page)).toEqual([]);
  expect(countChunks(database)).toBe(0);
});

test("a file that is written again under its id takes the place of the former attempt", async () => {
  const database = openDatabase(null);
  const store = new FileStore(database);
  for (const text of ["one, longer", "two"]) await store.add("", { ...description, id: "file-x" }, [Buffer.from(text)]);
  expect(store.list("", page).map(({ id, bytes }) => [id, bytes])).toEqual([["file-x", 3]]);
  expect(bytesOf(store, "file-x")).toBe("two");
  expect(countChunks(database)).toBe(1);
});

test("a directory has one holder, and nobody holds one that cannot be written to", () => {
  const directory = join(scratch, "claim");
  openDatabase(directory).close();
  const first = claimDirectory(directory);
  expect(first).not.toBeNull();
  expect(claimDirectory(directory)).toBeNull();
  first?.release();
  const second = claimDirectory(directory);
  expect(second).not.toBeNull();
  second?.release();
  expect(claimDirectory(join(scratch, "absent"))).toBeNull();
});
