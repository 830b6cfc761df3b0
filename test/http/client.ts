import { type AppOptions, createApp } from "../../src/http/app.ts";
import { ImitationServer } from "./imitation-server.ts";

export const origin = "http://localhost";

/** An app on an imitation server, asked without a socket. */
export function createClient(options: AppOptions = {}, server = new ImitationServer()) {
  const app = createApp(server, options);
  const send = (path: string, init?: RequestInit) => app.handle(new Request(origin + path, init));
  const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    send(path, {
      method: "POST",
      body: typeof body === "string" ? body : JSON.stringify(body),
      headers: { "content-type": "application/json", ...headers },
    });
  const chat = (body: object) => post("/v1/chat/completions", { messages: [{ role: "user", content: "hi" }], ...body });
  const complete = (body: object) => post("/v1/completions", { prompt: "hi", ...body });
  return { app, server, send, post, chat, complete };
}

/** The data of every event, parsed, `[DONE]` as it is; comments apart. */
export function readEvents(text: string) {
  const lines = text.split("\n\n").filter((line) => line !== "");
  const comments = lines.filter((line) => line.startsWith(":"));
  const events = lines.filter((line) => line.startsWith("data: ")).map((line) => line.slice("data: ".length));
  if (comments.length + events.length !== lines.length) throw new Error(`malformed stream: ${text}`);
  const chunks = events.filter((data) => data !== "[DONE]").map((data) => JSON.parse(data) as Record<string, unknown>);
  return { comments, events, chunks };
}
