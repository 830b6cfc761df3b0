import Ajv from "ajv/dist/2020.js";
import OpenAI from "openai";
import * as v from "valibot";
import type { AppOptions } from "../../src/http/app.ts";
import { ResponseEvent } from "../../src/http/responses/events.ts";
import { Response as ResponseModel } from "../../src/http/responses/model.ts";
import schemas from "../fixtures/openai/responses.schema.json" with { type: "json" };
import { createClient } from "./client.ts";
import { ImitationServer, type Step } from "./imitation-server.ts";

const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true });
ajv.addSchema(schemas, "openai");

/** Throws unless the value satisfies this one of OpenAI's published schemas. */
export function checkPublished(name: string, value: unknown): void {
  const validate = ajv.getSchema(`openai#/$defs/${name}`);
  if (!validate) throw new Error(`there is no schema ${name}`);
  if (!validate(withoutOpenUsage(value)))
    throw new Error(`${name}: ${ajv.errorsText(validate.errors)}\n${JSON.stringify(value)}`);
}

/** While a response is in progress, OpenAI's own examples have null for its usage, which their schema does not. */
function withoutOpenUsage(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value), (key, inner: unknown) => (key === "usage" && inner === null ? undefined : inner));
}

/** A response that satisfies our schema and OpenAI's. */
export async function readWhole(response: Response): Promise<ResponseModel> {
  const body: unknown = await response.json();
  if (response.status !== 200) throw new Error(`${response.status}: ${JSON.stringify(body)}`);
  checkPublished("Response", body);
  return v.parse(ResponseModel, body);
}

/** The events of a stream, each checked against both schemas, named by its type and numbered in order. */
export async function readEvents(response: Response): Promise<ResponseEvent[]> {
  const frames = (await response.text()).split("\n\n").filter((frame) => frame !== "" && !frame.startsWith(":"));
  if (frames.pop() !== "data: [DONE]") throw new Error("the stream has no end");
  return frames.map((frame, index) => {
    const [, name, data = ""] = /^event: (\S+)\ndata: (.*)$/.exec(frame) ?? [];
    const event = v.parse(ResponseEvent, JSON.parse(data));
    checkPublished("ResponseStreamEvent", JSON.parse(data));
    if (event.type !== name) throw new Error(`${event.type} is called ${name}`);
    if (event.sequence_number !== index) throw new Error(`${event.type} has number ${event.sequence_number}, not ${index}`);
    return event;
  });
}

export interface Setup {
  template?: string;
  steps?: Step[];
  /** What the template writes of the answer. */
  begun?: string;
  options?: AppOptions;
}

/** An app whose model has this template and writes these pieces, asked without a socket, also by OpenAI's client. */
export function createResponder({ template = "", steps, begun = "", options = {} }: Setup = {}) {
  const server = new ImitationServer();
  server.model = { ...server.model, chatTemplate: template };
  if (steps) server.scripts = [steps];
  const { renderChat } = server;
  server.renderChat = (...args) => renderChat.apply(server, args) + begun;
  const client = createClient(options, server);
  const ask = (body: object, headers?: Record<string, string>) => client.post("/v1/responses", body, headers);
  const openai = new OpenAI({
    baseURL: "http://localhost/v1",
    apiKey: "key",
    maxRetries: 0,
    fetch: async (url, init) => client.app.handle(new Request(String(url), init)),
  });
  return { ...client, ask, openai };
}

/** Status and parameter of a refusal. */
export async function readRefusal(response: Response): Promise<[status: number, param: string | null]> {
  const { error } = (await response.json()) as { error: { param: string | null } };
  return [response.status, error.param];
}
