import { describe, expect, test } from "bun:test";
import { createApp } from "../../src/http/app.ts";
import type { ErrorBody } from "../../src/http/fields.ts";
import { ImitationServer } from "./imitation-server.ts";

const chat = (key: string | null, body: Record<string, unknown> = {}) =>
  new Request("http://localhost/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json", ...(key && { authorization: `Bearer ${key}` }) },
    body: JSON.stringify({ messages: [{ role: "user", content: "Hi" }], ...body }),
  });

/** The salts under which the engine keeps the prefixes of these requests. */
async function saltsOf(options: Parameters<typeof createApp>[1], requests: Request[]): Promise<(string | undefined)[]> {
  const server = new ImitationServer();
  const app = createApp(server, options);
  for (const request of requests) expect((await app.handle(request)).status).toBe(200);
  return server.submitted.map(({ request }) => request.cacheSalt);
}

describe("computed prefixes", () => {
  test("are shared by all without keys, but not over different salts", async () => {
    const [a, b, c, d] = await saltsOf({}, [
      chat(null),
      chat("x"),
      chat(null, { cache_salt: "s" }),
      chat("y", { cache_salt: "s" }),
    ]);
    expect(a).toBe(b);
    expect(c).toBe(d);
    expect(a).not.toBe(c);
  });

  test("are kept apart by key, and the key is not among what is kept", async () => {
    const apiKeys = ["alpha-key", "beta-key"];
    const requests = () => [chat("alpha-key"), chat("beta-key"), chat("alpha-key"), chat("beta-key", { cache_salt: "s" })];
    const [a, b, again, salted] = await saltsOf({ apiKeys }, requests());
    expect(new Set([a, b, salted]).size).toBe(3);
    expect(again).toBe(a);
    expect(a).not.toContain("alpha-key");
    const shared = await saltsOf({ apiKeys, sharePrefixCache: true }, requests());
    expect(new Set(shared.slice(0, 3)).size).toBe(1);
  });

  test("DELETE /v1/cache forgets them, for those who have a key", async () => {
    const server = new ImitationServer();
    const app = createApp(server, { apiKeys: ["k"] });
    const ask = (headers: Record<string, string>) =>
      app.handle(new Request("http://localhost/v1/cache", { method: "DELETE", headers }));
    expect((await ask({})).status).toBe(401);
    expect(server.cleared).toBe(0);
    const response = await ask({ authorization: "Bearer k" });
    expect(await response.json()).toEqual({ object: "cache", deleted: true, bytes: 1024 });
    expect(server.cleared).toBe(1);
  });

  test("a salt that is no string is refused", async () => {
    const response = await createApp(new ImitationServer()).handle(chat(null, { cache_salt: 5 }));
    expect(response.status).toBe(400);
    expect(((await response.json()) as ErrorBody).error.param).toBe("cache_salt");
  });
});
