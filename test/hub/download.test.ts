import { describe, expect, test } from "bun:test";
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defaultPatience } from "../../src/hub/client.ts";
import { type ProgressReport, silentProgress } from "../../src/hub/progress.ts";
import { resolveModel } from "../../src/hub/resolve.ts";
import { partialPath } from "../../src/hub/transfer.ts";
import { cache, failure, freshHub, hub, partials, patience, readAll, resolve, root, shard } from "./downloading.ts";
import { dropAfter, neededFiles } from "./imitation.ts";

freshHub();

describe("a clean download", () => {
  test("leaves the standard cache layout, with the needed files only", async () => {
    const directory = await resolve();
    expect(directory).toBe(join(root, "snapshots", hub.commit));
    expect(readFileSync(join(root, "refs", "main"), "utf8")).toBe(hub.commit);
    readAll(directory);
    expect(readdirSync(directory, { recursive: true }).map(String).sort()).toEqual(["1_Pooling", ...neededFiles].sort());
    expect(readlinkSync(join(directory, shard))).toBe(`../../blobs/${hub.oid(shard)}`);
    expect(readlinkSync(join(directory, "1_Pooling/config.json"))).toBe(`../../../blobs/${hub.oid("1_Pooling/config.json")}`);
    expect(readdirSync(join(root, "blobs")).sort()).toEqual(neededFiles.map((name) => hub.oid(name)).sort());
    expect(hub.fetched().sort()).toEqual(neededFiles);
  });

  test("is not repeated: the second time nothing is asked", async () => {
    const first = await resolve();
    hub.seen.length = 0;
    expect(await resolve()).toBe(first);
    expect(await resolve({ offline: true })).toBe(first);
    expect(hub.seen).toEqual([]);
  });

  test("takes a branch or a commit as the revision", async () => {
    await resolveModel("owner/name@dev/two", hub.settings(cache), silentProgress, patience);
    expect(readFileSync(join(root, "refs", "dev", "two"), "utf8")).toBe(hub.commit);
    expect(hub.seen[0]!.path).toBe("/api/models/owner/name/revision/dev%2Ftwo");
    hub.seen.length = 0;
    await resolveModel(`owner/name@${hub.commit}`, hub.settings(cache), silentProgress, patience);
    expect(hub.seen).toEqual([]);
  });

  test("takes one weight file where there is no index", async () => {
    for (const name of [...hub.files.keys()].filter((name) => name.startsWith("model-") || name.includes("index")))
      hub.files.delete(name);
    hub.files.set("model.safetensors", new Uint8Array(5000));
    hub.files.set("adapters.safetensors", new Uint8Array(10));
    const names = readdirSync(await resolve()).filter((name) => name.endsWith(".safetensors"));
    expect(names.sort()).toEqual(["adapters.safetensors", "model.safetensors"]);
  });

  test("sends the token to the hub and not to the storage that it redirects to", async () => {
    await resolve({ token: "my-own-token" });
    for (const { storage, authorization } of hub.seen) expect(authorization).toBe(storage ? null : "Bearer my-own-token");
    expect(hub.seen.filter(({ storage }) => storage)).toHaveLength(2);
  });

  test("reads the token that the hub's own tools have stored", async () => {
    const tokenFile = join(cache, "token");
    writeFileSync(tokenFile, "stored-token\n");
    await resolve({ tokenFile });
    expect(hub.seen[0]!.authorization).toBe("Bearer stored-token");
  });

  test("reports all bytes", async () => {
    let [total, present, received] = [0, 0, 0];
    const report: ProgressReport = {
      ...silentProgress,
      begin: (_, all, here) => {
        [total, present, received] = [all, here, 0];
      },
      advance: (bytes) => {
        received += bytes;
      },
    };
    await resolve({}, report);
    expect(total).toBe(neededFiles.reduce((sum, name) => sum + hub.files.get(name)!.length, 0));
    expect(present + received).toBe(total);
  });
});

describe("a download that is interrupted", () => {
  test("goes on after a dropped connection where it stopped", async () => {
    let drops = 0;
    hub.fault = ({ path }, response, body) => path.endsWith(shard) && drops++ === 0 && dropAfter(123_456, response, body);
    readAll(await resolve());
    const ranges = hub.seen.filter(({ path, storage }) => storage && path.endsWith(shard)).map(({ range }) => range);
    expect(ranges).toHaveLength(2);
    expect(ranges[0]).toBeNull();
    const from = Number(/^bytes=(\d+)-$/.exec(ranges[1]!)![1]);
    expect(from).toBeGreaterThan(0);
    expect(from).toBeLessThanOrEqual(123_456);
  });

  test("keeps what it has when it gives up, and the next start goes on from there", async () => {
    hub.fault = ({ path, range }, response, body) => {
      if (!path.endsWith(shard)) return false;
      if (range === null) return dropAfter(200_000, response, body);
      response.destroy();
      return true;
    };
    expect(await failure(resolve())).toContain("start again to go on");
    expect(partials()).toHaveLength(1);
    hub.fault = () => false;
    hub.seen.length = 0;
    let present = 0;
    readAll(
      await resolve(
        {},
        {
          ...silentProgress,
          begin: (_label, _total, here) => {
            present = here;
          },
        },
      ),
    );
    expect(present).toBeGreaterThan(0);
    expect(hub.seen.find(({ path, storage }) => storage && path.endsWith(shard))!.range).toMatch(/^bytes=\d+-$/);
    expect(hub.fetched()).not.toContain("config.json");
    expect(partials()).toEqual([]);
  });

  test("starts over where the storage does not know ranges", async () => {
    let drops = 0;
    hub.fault = ({ path }, response, body) => {
      if (!path.endsWith(shard)) return false;
      if (drops++ === 0) return dropAfter(100_000, response, body);
      response.writeHead(200, { "Content-Length": body.length }).end(body);
      return true;
    };
    readAll(await resolve());
    expect(drops).toBe(2);
  });

  test("leaves a connection that has fallen silent", async () => {
    let stalls = 0;
    hub.fault = ({ path }, response, body) => {
      if (!path.endsWith(shard) || stalls++ > 0) return false;
      response.writeHead(200, { "Content-Length": body.length });
      return response.write(body.subarray(0, 50_000)) || true;
    };
    readAll(await resolve());
    expect(stalls).toBe(2);
  });

  test("is patient with 429 and 5xx", async () => {
    const statuses = [429, 503, 500];
    hub.fault = ({ path }, response) => {
      if (!path.endsWith(shard) || statuses.length === 0) return false;
      response.writeHead(statuses.shift()!).end();
      return true;
    };
    readAll(await resolve());
    expect(statuses).toEqual([]);
  });

  test("completes a partial snapshot of another tool", async () => {
    const [blobs, snapshot] = [join(root, "blobs"), join(root, "snapshots", hub.commit)];
    for (const directory of [blobs, snapshot, join(root, "refs")]) mkdirSync(directory, { recursive: true });
    writeFileSync(join(root, "refs", "main"), hub.commit);
    for (const name of ["config.json", "tokenizer.json", "model.safetensors.index.json", shard]) {
      writeFileSync(join(blobs, hub.oid(name)), hub.files.get(name)!);
      symlinkSync(`../../blobs/${hub.oid(name)}`, join(snapshot, name));
    }
    // A link whose blob is gone counts as missing.
    symlinkSync("../../blobs/gone", join(snapshot, "model-00002-of-00002.safetensors"));
    readAll(await resolve());
    expect(hub.fetched().sort()).toEqual(["1_Pooling/config.json", "model-00002-of-00002.safetensors", "tokenizer_config.json"]);
  });
});

test("two downloads of one model at the same time: each byte is fetched once", async () => {
  const waited: string[] = [];
  const report = { ...silentProgress, note: (line: string) => waited.push(line) };
  const directories = await Promise.all([resolve({}, report), resolve({}, report), resolve({}, report)]);
  for (const directory of directories) readAll(directory);
  expect(hub.fetched().sort()).toEqual(neededFiles);
  expect(waited.filter((line) => line.startsWith("waiting"))).toHaveLength(2);
});

test("two processes download one model; the one that is killed leaves no stale lock", async () => {
  hub.fault = ({ path, range }, response, body) => {
    if (!path.endsWith(shard) || range !== null) return false;
    response.writeHead(200, { "Content-Length": body.length });
    return response.write(body.subarray(0, 50_000)) || true;
  };
  const script = `
    import { resolveModel } from ${JSON.stringify(join(import.meta.dir, "../../src/hub/resolve.ts"))};
    import { silentProgress } from ${JSON.stringify(join(import.meta.dir, "../../src/hub/progress.ts"))};
    await resolveModel("owner/name", ${JSON.stringify(hub.settings(cache))}, silentProgress);`;
  const other = Bun.spawn(["bun", "-e", script], { stdio: ["ignore", "ignore", "ignore"] });
  const partial = partialPath(join(root, "blobs", hub.oid(shard)));
  for (let i = 0; !(Bun.file(partial).size > 0) && i < 500; i++) await Bun.sleep(10);
  expect(Bun.file(partial).size).toBeGreaterThan(0);
  const mine = resolve();
  await Bun.sleep(300);
  other.kill("SIGKILL");
  await other.exited;
  readAll(await mine);
  expect(lstatSync(join(root, "snapshots", hub.commit, shard)).isSymbolicLink()).toBe(true);
});

test("the patience of a real download is that of a person", () => {
  expect(defaultPatience.silenceMs).toBeGreaterThanOrEqual(10_000);
  expect(defaultPatience.retries).toBeGreaterThanOrEqual(3);
});
