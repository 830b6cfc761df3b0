import { expect, test } from "bun:test";
import { isLoopback, listen, requireAddress, urlOf } from "../src/listen.ts";

const answer = () => new Response("here");

test("a port that is taken is said in one sentence, before and while listening", async () => {
  const first = listen({ host: "127.0.0.1", port: 0 }, answer);
  const address = { host: "127.0.0.1", port: first.port! };
  const sentence = `Port ${first.port} on 127.0.0.1 is taken: choose another with --port, or stop what listens there.`;
  expect(() => listen(address, answer)).toThrow(sentence);
  await expect(requireAddress(address)).rejects.toMatchObject({ name: "StartupError", message: sentence });
  await first.stop(true);
  await requireAddress(address);
  const second = listen(address, answer);
  expect(await (await fetch(urlOf(address))).text()).toBe("here");
  await second.stop(true);
});

test("an address that is not ours", () => {
  expect(() => listen({ host: "192.0.2.1", port: 0 }, answer)).toThrow(
    "192.0.2.1 is not an address of this machine: choose another with --host.",
  );
});

test("what a handler throws is answered without any of the program's text", async () => {
  const fail = () => {
    throw new Error("a secret of ours");
  };
  for (const [onError, status] of [[undefined, 500] as const, [() => new Response("sorry", { status: 599 }), 599] as const]) {
    const server = listen({ host: "127.0.0.1", port: 0 }, fail, onError);
    const response = await fetch(urlOf({ host: "127.0.0.1", port: server.port! }));
    expect(response.status).toBe(status);
    expect(await response.text()).toBe(onError ? "sorry" : "");
    await server.stop(true);
  }
});

test("the URL that a client here can use", () => {
  expect(urlOf({ host: "127.0.0.1", port: 80 })).toBe("http://127.0.0.1:80");
  expect(urlOf({ host: "0.0.0.0", port: 1 })).toBe("http://127.0.0.1:1");
  expect(urlOf({ host: "::", port: 1 })).toBe("http://[::1]:1");
  expect(urlOf({ host: "box.local", port: 1 })).toBe("http://box.local:1");
  expect(["127.0.0.1", "localhost", "::1", "0.0.0.0", "10.0.0.1"].map(isLoopback)).toEqual([true, true, true, false, false]);
});
