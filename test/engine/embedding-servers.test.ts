/** Embedding models and language models behind the HTTP app. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { poolings } from "../../src/config.ts";
import { poolTexts } from "../../src/engine/embedding-math.ts";
import { type ModelServer, openServer } from "../../src/engine/open-server.ts";
import { RunningPool } from "../../src/engine/running-pool.ts";
import { ContinuousBatchingServer } from "../../src/engine/server.ts";
import { InvalidRequest, StartupError } from "../../src/errors.ts";
import { createApp } from "../../src/http/app.ts";
import { evaluate, floats, openMlx, readFloats, scope } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import * as mx from "../../src/mlx/ops.ts";

const fixtures = `${import.meta.dir}/../fixtures/parity-encoder`;
const tinyChat = `${import.meta.dir}/../../src/assets/tiny-chat`;
const options = { cpu: true, memoryLimit: 2e9, modelId: "served" };

function ask(server: ModelServer) {
  const app = createApp(server);
  return async (path: string, body?: object) => {
    const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
    const response = await app.handle(new Request(`http://localhost${path}`, init));
    return { status: response.status, body: (await response.json()) as Record<string, never> };
  };
}

describe("an embedding model", () => {
  let server: ModelServer;
  let send: ReturnType<typeof ask>;
  beforeAll(async () => {
    server = await openServer(`${fixtures}/bert`, options);
    send = ask(server);
  });
  afterAll(() => server.close());

  test("answers embeddings, tokens, models and health", async () => {
    const { status, body } = await send("/v1/embeddings", { input: ["the quick brown fox", "dogs"], model: "served" });
    expect([status, (body.data as unknown[]).length]).toEqual([200, 2]);
    expect(body.usage as unknown).toEqual({ prompt_tokens: 9, total_tokens: 9 });
    expect((await send("/tokenize", { prompt: "dogs" })).body).toMatchObject({ count: 3, max_model_len: 80 });
    expect((await send("/v1/models")).body).toMatchObject({ data: [{ id: "served", architecture: "bert", context_length: 80 }] });
    const health = await send("/health");
    expect(health).toMatchObject({ status: 200, body: { status: "ok", queue_size: 0, active_requests: 0 } });
  });

  test("refuses what it cannot do with a sentence that says so", async () => {
    const messages = [{ role: "user", content: "hi" }];
    for (const [path, body] of [
      ["/v1/chat/completions", { messages }],
      ["/v1/completions", { prompt: "hi" }],
      ["/apply-template", { messages }],
    ] as const) {
      const { status, body: answer } = await send(path, body);
      expect([path, status]).toEqual([path, 400]);
      expect((answer.error as { message: string }).message).toContain("makes embeddings only");
    }
  });

  test("refuses texts longer than it takes, and cuts them where asked", async () => {
    const input = "the quick brown fox jumps over the lazy dog ".repeat(20);
    const refused = await send("/v1/embeddings", { input });
    expect(refused).toMatchObject({ status: 400, body: { error: { code: "context_length_exceeded" } } });
    const cut = await send("/v1/embeddings", { input, truncate: true });
    expect(cut.body.usage as unknown).toEqual({ prompt_tokens: 80, total_tokens: 80 });
    // What is cut off is the end of the text, not the tokens around it.
    const framed = await server.encode(input, { addSpecialTokens: true, truncateTo: 80 });
    const short = await server.encode("the quick brown fox", { addSpecialTokens: true });
    expect([framed.length, framed[0], framed.at(-1)]).toEqual([80, short[0], short.at(-1)]);
    expect(framed.slice(0, 5)).toEqual(short.slice(0, 5));
  });

  test("a crowd of requests gives each its own vectors", async () => {
    const inputs = Array.from({ length: 40 }, (_, i) => `dogs ${i} ${"fox ".repeat(i % 13)}`);
    const one = async (input: string) =>
      (await send("/v1/embeddings", { input })).body.data as unknown as { embedding: number[] }[];
    const together = await Promise.all(inputs.map(one));
    for (const i of [0, 12, 25, 39]) {
      const [alone] = await one(inputs[i]!);
      const difference = alone!.embedding.map((value, d) => Math.abs(value - together[i]![0]!.embedding[d]!));
      expect(Math.max(...difference)).toBeLessThan(1e-5);
    }
  });
});

describe("a language model with pooling", () => {
  let server: ModelServer;
  beforeAll(async () => {
    server = await openServer(`${fixtures}/qwen3`, { ...options, maxTokensPerStep: 16 });
  });
  afterAll(() => server.close());

  test("generates beside its embeddings, each as if alone", async () => {
    if (!(server instanceof ContinuousBatchingServer)) throw new Error("it is no language model");
    const text = await server.encode("the quick brown fox jumps over the lazy dog", { addSpecialTokens: true });
    const generate = async () => {
      let ids: number[] = [];
      for await (const { tokens } of await (server as ContinuousBatchingServer).generate({
        prompt: text,
        maxTokens: 24,
        temperature: 0,
      })) {
        ids = ids.concat(tokens.map(({ id }) => id));
      }
      return ids;
    };
    const alone = { ids: await generate(), vectors: await server.embed([text]) };
    const [ids, ...vectors] = await Promise.all([generate(), ...Array.from({ length: 12 }, () => server.embed([text]))]);
    expect(ids).toEqual(alone.ids);
    for (const [vector] of vectors) {
      for (const [i, value] of vector!.entries()) expect(value).toBeCloseTo(alone.vectors[0]![i]!, 5);
    }
  });

  test("says what it makes", () => {
    expect(server.model).toMatchObject({ architecture: "qwen3", embedding: { dimensions: 32, maxTokens: 512 } });
  });
});

test("a language model makes none until it is told how", async () => {
  const plain = await openServer(tinyChat, options);
  await expect(plain.embed([[1, 2]])).rejects.toThrow(InvalidRequest);
  expect((await ask(plain)("/v1/embeddings", { input: "hi" })).body).toMatchObject({ error: { code: "model_not_supported" } });
  await plain.close();
  const told = await openServer(tinyChat, { ...options, pooling: "mean" });
  const [vector] = await told.embed([[70, 71, 72]]);
  expect(vector!.length).toBe(told.model.embedding!.dimensions);
  expect(Math.hypot(...vector!)).toBeCloseTo(1, 5);
  await told.close();
});

test("what cannot be opened is a StartupError", async () => {
  for (const path of ["/nowhere", import.meta.dir]) await expect(openServer(path, options)).rejects.toThrow(StartupError);
  const refused = { adapters: [{ name: "a", path: "/nowhere" }], quantize: 4 as const };
  await expect(openServer(`${fixtures}/bert`, { ...options, adapters: refused.adapters })).rejects.toThrow(
    /takes no LoRA adapters/,
  );
  await expect(openServer(`${fixtures}/bert`, { ...options, quantize: 4 })).rejects.toThrow(/is not quantized/);
});

test("pooling at once and pooling one by one give the same", () => {
  openMlx(locateNativeLibrary(), true);
  const lengths = [4, 1, 7];
  const states = Array.from({ length: 12 * 3 }, (_, i) => Math.sin(i * 1.7) * 3);
  const batched = scope(() => {
    const rows = mx.contiguous(poolTexts(floats(states, [12, 3]), lengths, poolings));
    evaluate(rows);
    return readFloats(rows);
  });
  let at = 0;
  for (const [text, length] of lengths.entries()) {
    const pool = new RunningPool(poolings);
    for (let i = 0; i < length; i++, at++) pool.add(Float32Array.from(states.slice(at * 3, at * 3 + 3)));
    const width = poolings.length * 3;
    for (const [i, value] of pool.finish().entries()) expect(value).toBeCloseTo(batched[text * width + i]!, 5);
  }
});
