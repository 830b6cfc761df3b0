import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { silentProgress } from "../../src/hub/progress.ts";
import { resolveModel } from "../../src/hub/resolve.ts";
import { cache, failure, freshHub, hub, partials, patience, readAll, resolve, root, shard } from "./downloading.ts";

freshHub();

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
