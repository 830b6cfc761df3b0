import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultPatience, type Patience } from "../../src/hub/client.ts";
import { type ProgressReport, silentProgress } from "../../src/hub/progress.ts";
import { resolveModel } from "../../src/hub/resolve.ts";
import { partialPath } from "../../src/hub/transfer.ts";
import { addModel, dropAfter, HubImitation, neededFiles } from "./imitation.ts";

const patience: Patience = { retries: 3, pauseMs: 5, silenceMs: 400 };
const shard = "model-00001-of-00002.safetensors";
let hub: HubImitation;
let cache: string;
let root: string;

beforeEach(async () => {
  hub = await new HubImitation().start();
  addModel(hub);
  cache = mkdtempSync(join(tmpdir(), "mlx-cb-hub-"));
  root = join(cache, "models--owner--name");
});
afterEach(() => {
  hub.stop();
  rmSync(cache, { recursive: true, force: true });
});

const resolve = (changes = {}, report = silentProgress) =>
  resolveModel("owner/name", hub.settings(cache, changes), report, patience);
const failure = async (promise: Promise<unknown>) => {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ name: "StartupError" });
  return (error as Error).message;
};
const readAll = (directory: string) => {
  for (const name of neededFiles) expect(Buffer.compare(readFileSync(join(directory, name)), hub.files.get(name)!)).toBe(0);
};
const partials = () =>
  existsSync(join(root, "blobs")) ? readdirSync(join(root, "blobs")).filter((name) => name.endsWith(".incomplete")) : [];

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

describe("a download that fails", () => {
  test("401, 403, 404 and an unknown revision each have their sentence", async () => {
    hub.refusal = { status: 401, code: "RepoNotFound" };
    expect(await failure(resolve())).toMatch(/^"owner\/name" is gated or private \(or does not exist\) on .*: set HF_TOKEN/);
    hub.refusal = { status: 403, code: "GatedRepo" };
    const message = await failure(resolve({ token: "secret-token" }));
    expect(message).toMatch(/^"owner\/name" is gated or private on .*ask for access/);
    expect(message).not.toContain("secret-token");
    hub.refusal = { status: 404, code: "RepoNotFound" };
    expect(await failure(resolve())).toContain('"owner/name" was not found on');
    hub.refusal = { status: 404, code: "RevisionNotFound" };
    const wrong = resolveModel("owner/name@nope", hub.settings(cache), silentProgress, patience);
    expect(await failure(wrong)).toContain('has no revision "nope"');
  });

  test("a gated file behind a public listing says so", async () => {
    hub.fault = ({ path }, response) => {
      if (!path.endsWith("config.json")) return false;
      response.writeHead(401, { "X-Error-Code": "GatedRepo" }).end();
      return true;
    };
    expect(await failure(resolve())).toContain("set HF_TOKEN");
  });

  test("a hub that cannot be reached", async () => {
    hub.stop();
    expect(await failure(resolve())).toMatch(/downloading it from 127\.0\.0\.1:\d+ failed: the connection was refused/);
  });

  test("HF_HUB_OFFLINE asks nothing", async () => {
    expect(await failure(resolve({ offline: true }))).toContain("HF_HUB_OFFLINE");
    expect(hub.seen).toEqual([]);
  });

  test("a wrong checksum: fetched once more, then refused and thrown away", async () => {
    hub.wrongOids.set(shard, "ab".repeat(32));
    expect(await failure(resolve())).toContain(`the checksum of ${shard} is wrong`);
    expect(hub.fetched().filter((name) => name === shard)).toHaveLength(2);
    expect(partials()).toEqual([]);
    expect(existsSync(join(root, "refs", "main"))).toBe(false);
  });

  test("spoilt once, right the second time", async () => {
    let times = 0;
    hub.fault = ({ path }, response, body) => {
      if (!path.endsWith(shard) || times++ > 0) return false;
      response.writeHead(200, { "Content-Length": body.length }).end(new Uint8Array(body.length));
      return true;
    };
    readAll(await resolve());
    expect(times).toBe(2);
  });

  test("a repository without safetensors, without a config, and with an index that lies", async () => {
    const saved = new Map(hub.files);
    hub.files.delete("model-00002-of-00002.safetensors");
    expect(await failure(resolve())).toContain("its weights lack model-00002-of-00002.safetensors");
    for (const name of saved.keys()) if (name.startsWith("model-") || name.includes("index")) hub.files.delete(name);
    expect(await failure(resolve())).toContain("has no model*.safetensors");
    hub.files.delete("config.json");
    expect(await failure(resolve())).toContain("it has no config.json");
  });

  test("an index that points out of its directory is refused", async () => {
    hub.files.set(
      "model.safetensors.index.json",
      new TextEncoder().encode('{"weight_map": {"a": "../../../escape.safetensors"}}'),
    );
    expect(await failure(resolve())).toContain("not a valid safetensors index");
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
