import Anthropic, { type ClientOptions } from "@anthropic-ai/sdk";
import type { AppOptions } from "../../src/http/app.ts";
import { createClient, origin } from "./client.ts";
import { ImitationServer, type Step } from "./imitation-server.ts";

/** What a model with this template writes, or makes of each request. */
export interface Scene {
  template?: string;
  /** What the template begins the answer with. */
  prompt?: string;
  steps?: Step[];
  options?: AppOptions;
  client?: ClientOptions;
}

/** The official client on an app without a socket, and the app itself. */
export function createScene({ template = "", prompt = "", steps, options, client }: Scene = {}, server = new ImitationServer()) {
  server.model = { ...server.model, chatTemplate: template };
  if (steps) server.scripts = [steps];
  const { renderChat } = server;
  server.renderChat = (...args) => renderChat.apply(server, args) + prompt;
  const http = createClient(options, server);
  const ask = async (input: string | URL | Request, init?: RequestInit) =>
    http.app.handle(new Request(input instanceof Request ? input.url : input.toString(), init));
  const anthropic = new Anthropic({ baseURL: origin, apiKey: "key", maxRetries: 0, ...client, fetch: ask });
  const base = { model: "tiny-chat", max_tokens: 64, messages: [{ role: "user" as const, content: "hi" }] };
  const message = (body: object) => http.post("/v1/messages", { ...base, ...body });
  return { ...http, server, anthropic, base, message };
}

/** Named events as they came, with their data; `event:` and the data's type must agree. */
export function readNamedEvents(text: string): Record<string, unknown>[] {
  const frames = text.split("\n\n");
  if (frames.pop() !== "") throw new Error(`the last event has no end: ${text}`);
  return frames.map((frame) => {
    const [, name, data = ""] = /^event: (\w+)\ndata: (.+)$/.exec(frame) ?? [];
    const event = JSON.parse(data) as Record<string, unknown>;
    if (event.type !== name) throw new Error(`${name} is not ${JSON.stringify(event.type)}`);
    return event;
  });
}
