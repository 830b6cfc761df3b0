/** Servers for the tests of the load generator: ours on an imitation engine, and one that sends what a test says. */

import type { Target } from "../../src/bench/stream.ts";
import type { GenerationRequest } from "../../src/engine/request.ts";
import { createApp } from "../../src/http/app.ts";
import { listen, urlOf } from "../../src/listen.ts";
import { ImitationServer, type Step } from "../http/imitation-server.ts";

function* writeTokens({ maxTokens }: GenerationRequest): Iterable<Step> {
  for (let i = 0; i < (maxTokens ?? 0); i++) yield { text: "a", tokens: [{ id: 97 }], finishReason: null };
  yield { text: "", tokens: [], finishReason: "length" };
}

/** Every answer has as many tokens as were asked for. */
export function serveImitation(apiKeys: readonly string[] = []) {
  const engine = new ImitationServer();
  engine.scripts = [writeTokens];
  const address = { host: "127.0.0.1", port: 0 };
  const listener = listen(address, createApp(engine, { apiKeys }).fetch);
  const url = urlOf({ ...address, port: listener.port! });
  return { engine, url, target: targetAt(url), stop: () => listener.stop(true) };
}

export function targetAt(url: string, apiKey: string | null = null): Target {
  return { url: new URL(url), model: "tiny-chat", apiKey };
}

/** Sends these pieces, one write each, to whoever asks, and closes. Null: waits for ever. */
export function serveRaw(pieces: readonly (string | null)[]) {
  const asked: string[] = [];
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      async data(socket, bytes) {
        asked.push(bytes.toString());
        for (const piece of pieces) {
          if (piece === null) return;
          socket.write(piece);
          socket.flush();
          await Bun.sleep(1);
        }
        socket.end();
      },
    },
  });
  return { asked, target: targetAt(`http://127.0.0.1:${listener.port}`), stop: () => listener.stop(true) };
}
