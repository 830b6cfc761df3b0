import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import OpenAI, { BadRequestError } from "openai";
import * as v from "valibot";
import { EngineFailure, Overloaded } from "../../src/errors.ts";
import { createApp } from "../../src/http/app.ts";
import { EmbeddingList } from "../../src/http/embeddings/model.ts";
import { createClient } from "./client.ts";
import { ImitationServer } from "./imitation-server.ts";

const server = new ImitationServer();
const app = createApp(server);
app.listen({ port: 0, hostname: "127.0.0.1", idleTimeout: 0 });
afterAll(() => app.stop(true));
const client = new OpenAI({ baseURL: `http://127.0.0.1:${app.server!.port}/v1`, apiKey: "any", maxRetries: 0 });

const { post, server: quiet } = createClient();
const ask = (body: object) => post("/v1/embeddings", body);
const read = async (body: object): Promise<EmbeddingList> => {
  const response = await ask(body);
  expect(response.status).toBe(200);
  return v.parse(EmbeddingList, await response.json());
};
const refusal = async (body: object) => {
  const response = await ask(body);
  const { error } = (await response.json()) as { error: { message: string; param: string; code: string } };
  return { status: response.status, ...error };
};

beforeEach(() => {
  for (const one of [server, quiet]) {
    one.embedded = [];
    one.encoded = [];
    one.refusal = null;
    one.model = { ...one.model, embedding: { dimensions: 4, maxTokens: 64 }, adapters: [] };
  }
});

describe("with OpenAI's client", () => {
  test("texts, as base64 under the hood and as numbers", async () => {
    for (const encoding_format of [undefined, "float"] as const) {
      const answer = await client.embeddings.create({ model: "default", input: ["abc", "abcdefgh"], encoding_format });
      expect(answer.object).toBe("list");
      expect(answer.model).toBe("tiny-chat");
      expect(answer.usage).toEqual({ prompt_tokens: 11, total_tokens: 11 });
      expect(answer.data.map(({ index, object }) => [index, object])).toEqual([
        [0, "embedding"],
        [1, "embedding"],
      ]);
      for (const { embedding } of answer.data) {
        expect(embedding).toHaveLength(4);
        expect(Math.hypot(...embedding)).toBeCloseTo(1, 5);
      }
    }
    expect(server.encoded.every(({ addSpecialTokens }) => addSpecialTokens)).toBe(true);
  });

  test("fewer dimensions are the first ones at length 1 again", async () => {
    const [whole, short] = await Promise.all(
      [undefined, 2].map(async (dimensions) => {
        const answer = await client.embeddings.create({ model: "default", input: "abcd", dimensions });
        return answer.data[0]!.embedding;
      }),
    );
    expect(short).toHaveLength(2);
    expect(Math.hypot(...short!)).toBeCloseTo(1, 5);
    expect(short![0]! / short![1]!).toBeCloseTo(whole![0]! / whole![1]!, 5);
  });

  test("errors are the client's classes", async () => {
    const error: unknown = await client.embeddings.create({ model: "default", input: "" }).catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(BadRequestError);
    expect((error as BadRequestError).param).toBe("input");
    expect((error as BadRequestError).type).toBe("invalid_request_error");
  });
});

test("token ids are taken as they are, one list or several", async () => {
  expect((await read({ input: [1, 2, 3] })).usage.total_tokens).toBe(3);
  const { data } = await read({ input: [[1, 2], [3]], encoding_format: "float" });
  expect(data.map(({ embedding }) => (embedding as number[])[0])).toEqual([expect.closeTo(1 / Math.sqrt(5), 6), 1]);
  expect(quiet.embedded).toEqual([[[1, 2, 3]], [[1, 2], [3]]]);
  expect(quiet.encoded).toEqual([]);
});

test("base64 is float32 in little-endian bytes", async () => {
  const { data } = await read({ input: [[3, 4]], encoding_format: "base64" });
  const bytes = Buffer.from(data[0]!.embedding as string, "base64");
  expect([0, 4, 8, 12].map((at) => bytes.readFloatLE(at))).toEqual([Math.fround(0.6), Math.fround(0.8), 0, 0]);
});

test("longer texts are refused, or cut where the request says so", async () => {
  const long = "x".repeat(65);
  expect(await refusal({ input: ["a", long] })).toMatchObject({ status: 400, param: "input.1", code: "context_length_exceeded" });
  expect(await refusal({ input: Array(65).fill(1) })).toMatchObject({
    status: 400,
    param: "input",
    code: "context_length_exceeded",
  });
  expect((await read({ input: long, truncate: true })).usage.total_tokens).toBe(64);
  expect((await read({ input: Array(65).fill(1), truncate: true })).usage.total_tokens).toBe(64);
});

test.each<[body: object, param: string]>([
  [{}, "input"],
  [{ input: "" }, "input"],
  [{ input: [] }, "input"],
  [{ input: ["a", ""] }, "input.1"],
  [{ input: [[1], []] }, "input.1"],
  [{ input: [1, -1] }, "input.1"],
  [{ input: [1.5] }, "input.0"],
  [{ input: ["a", 1] }, "input.1"],
  [{ input: { text: "a" } }, "input"],
  [{ input: Array(2049).fill("a") }, "input"],
  [{ input: "a", encoding_format: "int8" }, "encoding_format"],
  [{ input: "a", dimensions: 0 }, "dimensions"],
  [{ input: "a", dimensions: 5 }, "dimensions"],
])("refused before anything is computed: %j", async (body, param) => {
  expect(await refusal(body)).toMatchObject({ status: 400, param, type: "invalid_request_error" });
  expect(quiet.embedded).toEqual([]);
});

test("the model's name is checked, and an adapter makes no embeddings", async () => {
  expect(await refusal({ input: "a", model: "gpt-4" })).toMatchObject({ status: 404, code: "model_not_found" });
  quiet.model = { ...quiet.model, adapters: ["chef"] };
  expect(await refusal({ input: "a", model: "chef" })).toMatchObject({ status: 400, param: "model" });
});

test("a model without pooling makes none", async () => {
  quiet.model = { ...quiet.model, embedding: null };
  expect(await refusal({ input: "a" })).toMatchObject({ status: 400, param: "model", code: "model_not_supported" });
});

test("a full queue is 429, a failed pass 500", async () => {
  quiet.refusal = { after: 0, error: new Overloaded("full", 7) };
  const full = await ask({ input: "a" });
  expect([full.status, full.headers.get("retry-after")]).toEqual([429, "7"]);
  quiet.refusal = { after: 0, error: new EngineFailure("broken") };
  expect(await refusal({ input: "a" })).toMatchObject({ status: 500, code: "engine_failure" });
});
