import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync, renameSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ask, askWhole } from "./ask.ts";
import { blockFiles, cachedOf, first, next, PrefixScene, topicsOf, wholeBlocks } from "./prefix-scene.ts";
import { runToEnd } from "./serve.ts";

const scene = new PrefixScene();
beforeAll(() => scene.open());
afterAll(() => scene.close());

test("survives a restart, belongs to the user, and is forgotten on demand", async () => {
  const directory = join(scene.scratch, "restart");
  const topics = topicsOf("restarts", 4);
  await scene.withServers(async (start) => {
    const one = await start(["--prefix-cache-dir", directory]);
    expect(await scene.askAll(one, topics)).toBe(0);
    expect(await one.stop()).toBe(0);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    for (const path of blockFiles(directory)) expect(statSync(path).mode & 0o777).toBe(0o600);

    const two = await start(["--prefix-cache-dir", directory]);
    const prompt = (await scene.referenceOf(topics[0]!)).usage!.prompt_tokens;
    expect(await scene.askAll(two, topics)).toBe(4 * wholeBlocks(prompt - 1));
    const opening = first(topics[0]!);
    expect(cachedOf(await ask(two.openai, next(opening, await ask(two.openai, opening))))).toBeGreaterThan(0);
    expect((await fetch(`${two.url}/v1/cache`, { method: "DELETE" })).status).toBe(200);
    expect(blockFiles(directory)).toEqual([]);
    expect(await scene.askAll(two, topics)).toBe(0);
  });
});

test("a kill in the middle of writing, twice, does no harm", async () => {
  const directory = join(scene.scratch, "killed");
  const topics = topicsOf("kills", 16);
  for (const topic of topics) await scene.referenceOf(topic);
  await scene.withServers(async (start) => {
    for (let round = 1; round <= 2; round++) {
      const server = await start(["--prefix-cache-dir", directory]);
      const asked = topics.map((topic) => askWhole(server.openai, first(topic)).catch(() => null));
      while (!readdirSync(directory).length || blockFiles(directory).length < 8 * round) await Bun.sleep(1);
      await server.kill();
      await Promise.all(asked);
    }
    const after = await start(["--prefix-cache-dir", directory]);
    expect(await scene.askAll(after, topics)).toBeGreaterThan(0);
  });
});

test("bits that have changed on disk are never taken up", async () => {
  const directory = join(scene.scratch, "bits");
  const topics = topicsOf("bits", 6);
  await scene.withServers(async (start) => {
    const one = await start(["--prefix-cache-dir", directory]);
    await scene.askAll(one, topics);
    await one.stop();
    // First blocks, without which all behind them are of no use, come first: half of them stay as they are.
    const isFirst = (path: string) => path.includes("-0.");
    const files = blockFiles(directory).toSorted((a, b) => Number(isFirst(b)) - Number(isFirst(a)));
    expect(files.length).toBeGreaterThan(20);
    for (const [i, path] of files.entries()) {
      const bytes = readFileSync(path);
      if (i % 5 === 0 || (isFirst(path) && i % 2 === 0)) continue;
      if (i % 5 === 1) truncateSync(path, (i * 7919) % bytes.length);
      else if (i % 5 === 2) writeFileSync(path, Buffer.concat([bytes, bytes.subarray(0, 64)]));
      else {
        // In the header, and in the numbers.
        const at = (i * 104_729) % (i % 5 === 3 ? 256 : bytes.length);
        bytes[at] = bytes[at]! ^ (1 << (i % 8));
        writeFileSync(path, bytes);
      }
    }
    const two = await start(["--prefix-cache-dir", directory]);
    const cached = await scene.askAll(two, topics);
    expect(cached).toBeGreaterThan(0);
    await two.stop();
    // What was met has been replaced by good ones.
    const three = await start(["--prefix-cache-dir", directory]);
    expect(await scene.askAll(three, topics)).toBeGreaterThan(cached);
  });
});

test("two servers share a directory, also while both write", async () => {
  const directory = join(scene.scratch, "shared");
  const topics = topicsOf("neighbours", 6);
  await scene.withServers(async (start) => {
    const [one, two] = await Promise.all([
      start(["--prefix-cache-dir", directory]),
      start(["--prefix-cache-dir", directory, "--prefix-cache-disk", "6MB"]),
    ]);
    await Promise.all([scene.askAll(one, topics), scene.askAll(two, topics)]);
    expect(await scene.askAll(one, ["a late topic"])).toBe(0);
    const written = () => blockFiles(directory).length;
    for (let before = -1; before !== written(); ) {
      before = written();
      await Bun.sleep(100);
    }
    expect(await scene.askAll(two, ["a late topic"])).toBeGreaterThan(0);
  });
});

test("a directory that is none stops the start, one that is taken away ends the writing with a warning", async () => {
  const none = join(scene.scratch, "file");
  writeFileSync(none, "");
  for (const directory of [none, join(none, "below")]) {
    const { code, stderr } = await runToEnd(["--port", "0", "--prefix-cache-dir", directory], scene.env);
    expect(code).toBe(1);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(stderr).toMatch(/^mlx-cb-serve: the prefix cache's directory .*file cannot be used|below cannot be used/);
  }
  const directory = join(scene.scratch, "away");
  await scene.withServers(async (start) => {
    const server = await start(["--prefix-cache-dir", directory]);
    await scene.askAll(server, topicsOf("before", 2));
    renameSync(directory, `${directory}-else`);
    writeFileSync(directory, "");
    await scene.askAll(server, topicsOf("after", 3));
    expect(await scene.askAll(server, topicsOf("after", 3))).toBeGreaterThan(0);
    expect(server.log().match(/ warn .*takes no more computed prefixes/g)).toHaveLength(1);
    expect(await server.stop()).toBe(0);
  });
});

test("a full disk ends the writing with a warning and leaves no half blocks", async () => {
  const directory = join(scene.scratch, "full");
  const topics = topicsOf("full disks", 3);
  await scene.withServers(async (start) => {
    const server = await start(["--prefix-cache-dir", directory], 200_000);
    await scene.askAll(server, topics);
    expect(await scene.askAll(server, topics)).toBeGreaterThan(0);
    expect(server.log().match(/ warn .*takes no more computed prefixes/g)).toHaveLength(1);
    expect(await server.stop()).toBe(0);
    expect(readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())).toEqual([]);
  });
});
