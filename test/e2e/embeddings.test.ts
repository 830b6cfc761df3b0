import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type OpenAI from "openai";
import { APIError } from "openai";
import { askWhole, say } from "./ask.ts";
import { isIdle, runToEnd, type Served, startServer, until } from "./serve.ts";

const fixtures = join(import.meta.dir, "../fixtures/parity-encoder");

interface Expected {
  texts: string[];
  lengths: number[];
  vectors: number[][];
}
/** What sentence-transformers makes of some texts. */
const expectedOf = (name: string) => JSON.parse(readFileSync(join(fixtures, name, "expected.json"), "utf8")) as Expected;

const embed = async ({ openai }: Served, input: OpenAI.EmbeddingCreateParams["input"], more: object = {}) =>
  openai.embeddings.create({ model: "default", input, ...more });
const vectorsOf = ({ data }: OpenAI.CreateEmbeddingResponse) => data.map(({ embedding }) => embedding);

/** The error that a call is refused with. */
async function refusal(call: Promise<unknown>): Promise<APIError> {
  const error = await call.then(
    () => new Error("accepted"),
    (reason: unknown) => reason,
  );
  if (error instanceof APIError) return error;
  throw error;
}

function expectClose(vectors: readonly number[][], expected: readonly number[][]): void {
  expect(vectors.map(({ length }) => length)).toEqual(expected.map(({ length }) => length));
  const differences = vectors.flatMap((vector, i) => vector.map((value, d) => Math.abs(value - expected[i]![d]!)));
  expect(Math.max(...differences)).toBeLessThan(2e-5);
}

test.each(["bert-dense", "distilbert", "roberta", "qwen3"])("%s makes the vectors of sentence-transformers", async (name) => {
  const server = await startServer(["--model", join(fixtures, name), "--state-dir", "none"]);
  try {
    const { texts, vectors, lengths } = expectedOf(name);
    const answer = await embed(server, texts);
    // Without a format the client asks for base64 and decodes it to float32.
    expectClose(vectorsOf(answer), vectors);
    expect(answer.usage).toEqual({
      prompt_tokens: lengths.reduce((a, b) => a + b),
      total_tokens: lengths.reduce((a, b) => a + b),
    });
  } finally {
    expect(await server.stop()).toBe(0);
  }
});

describe("an encoder", () => {
  const { texts, vectors, lengths } = expectedOf("bert");
  let server: Served;
  beforeAll(async () => {
    server = await startServer(["--model", join(fixtures, "bert"), "--state-dir", "none"]);
  });
  afterAll(() => server.stop());

  test("takes texts, token ids, and lists of either; as numbers and as base64", async () => {
    for (const encoding_format of [undefined, "float", "base64"] as const) {
      const answer = await embed(server, texts, { encoding_format });
      expect(answer).toMatchObject({ object: "list", data: texts.map((_, index) => ({ object: "embedding", index })) });
      if (encoding_format === "base64") {
        // Asked for by name, it is not decoded.
        const bytes = Buffer.from(answer.data[0]!.embedding as unknown as string, "base64");
        expectClose(
          [[...new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))]],
          [vectors[0]!],
        );
      } else expectClose(vectorsOf(answer), vectors);
    }
    const ids = await Promise.all(
      texts.map(async (prompt) => {
        const response = await fetch(`${server.url}/tokenize`, { method: "POST", body: JSON.stringify({ prompt }) });
        return ((await response.json()) as { tokens: number[] }).tokens;
      }),
    );
    expect(ids.map(({ length }) => length)).toEqual(lengths);
    expectClose(vectorsOf(await embed(server, ids)), vectors);
    expectClose(vectorsOf(await embed(server, ids[3]!)), [vectors[3]!]);
    expectClose(vectorsOf(await embed(server, texts[3]!)), [vectors[3]!]);
  });

  test("fewer dimensions are of length 1 again", async () => {
    const [short] = vectorsOf(await embed(server, texts[0]!, { dimensions: 8 }));
    const first = vectors[0]!.slice(0, 8);
    const length = Math.hypot(...first);
    expectClose([short!], [first.map((value) => value / length)]);
  });

  test("sixty-four clients at once get what each would get alone", async () => {
    const answers = await Promise.all(
      Array.from({ length: 64 }, (_, i) => embed(server, i % 3 ? texts[i % texts.length]! : [...texts].reverse())),
    );
    for (const [i, answer] of answers.entries()) {
      expectClose(vectorsOf(answer), i % 3 ? [vectors[i % texts.length]!] : [...vectors].reverse());
    }
    expect(
      (
        await embed(
          server,
          Array.from({ length: 2048 }, (_, i) => texts[i % 6]!),
        )
      ).data,
    ).toHaveLength(2048);
    expect((await until(server, isIdle)).stats.total_requests).toBeGreaterThan(64);
  });

  test("what cannot be honoured is refused with the reason, and everything else goes on", async () => {
    const long = "dogs ".repeat(200);
    const cases: [OpenAI.EmbeddingCreateParams["input"], object, string, RegExp][] = [
      ["", {}, "input", /empty/],
      [[], {}, "input", /empty/],
      [["a", ""], {}, "input.1", /empty/],
      [[3, 99_999], {}, "input", /99999 is not in the vocabulary/],
      [long, {}, "input", /maximum context length is 80/],
      [["a", long], {}, "input.1", /maximum context length is 80/],
      ["a", { dimensions: 33 }, "dimensions", /have 32/],
      ["a", { dimensions: 0 }, "dimensions", /./],
      ["a", { encoding_format: "int8" }, "encoding_format", /./],
      [Array.from({ length: 2049 }, () => "a"), {}, "input", /at most 2048/],
    ];
    for (const [input, more, param, message] of cases) {
      const error = await refusal(embed(server, input, more));
      expect([error.status, error.param]).toEqual([400, param]);
      expect(error.message).toMatch(message);
    }
    expect(await refusal(embed(server, "a", { model: "gpt-17" }))).toMatchObject({ status: 404, code: "model_not_found" });
    expect((await embed(server, long, { truncate: true })).usage.prompt_tokens).toBe(80);
    expectClose(vectorsOf(await embed(server, texts[1]!)), [vectors[1]!]);
  });

  test("says that it answers no chats: in errors, and in the list of models", async () => {
    const error = await refusal(askWhole(server.openai, { messages: say("Hello!") }));
    expect(error).toMatchObject({ status: 400, param: "model", code: "model_not_supported" });
    expect(error.message).toMatch(/makes embeddings only: use \/v1\/embeddings/);
    const completion = { model: "default", prompt: "Hello", stream: false as const };
    expect((await refusal(server.openai.completions.create(completion).then())).message).toMatch(/makes embeddings only/);
    const [model] = (await server.openai.models.list()).data as (OpenAI.Model & Record<string, unknown>)[];
    expect(model).toMatchObject({ capabilities: { chat: false, completions: false, embeddings: true }, context_length: 80 });
    const described = (await server.openai.models.retrieve("bert")) as OpenAI.Model & Record<string, unknown>;
    expect(described.details).toMatchObject({ max_context: 80, caches: [], quantization: [] });
  });
});

test("a language model makes embeddings beside its answers where it is told how, and not otherwise", async () => {
  const tinyChat = join(import.meta.dir, "../../src/assets/tiny-chat");
  const server = await startServer(["--model", tinyChat, "--pooling", "last", "--state-dir", "none"]);
  const without = await startServer(["--model", tinyChat, "--state-dir", "none"]);
  try {
    const inputs = Array.from({ length: 20 }, (_, i) => `${"a word and ".repeat(i)}the end`);
    const alone = vectorsOf(await embed(server, inputs[7]!));
    const [answer, crowd] = await Promise.all([
      askWhole(server.openai, { messages: say("What is the capital of France?"), temperature: 0 }),
      embed(server, inputs),
    ]);
    expect(answer.choices[0]!.text).toBe("The capital of France is Paris.");
    expectClose([vectorsOf(crowd)[7]!], alone);
    expect(Math.hypot(...alone[0]!)).toBeCloseTo(1, 4);

    const error = await refusal(embed(without, "a"));
    expect(error).toMatchObject({ status: 400, param: "model", code: "model_not_supported" });
    const capabilities = async ({ openai }: Served) =>
      ((await openai.models.list()).data[0] as OpenAI.Model & Record<string, object>).capabilities;
    expect(await capabilities(server)).toMatchObject({ chat: true, embeddings: true });
    expect(await capabilities(without)).toMatchObject({ chat: true, embeddings: false });
  } finally {
    await Promise.all([server.stop(), without.stop()]);
  }
});

test("options that an encoder has nothing for are refused", async () => {
  const bert = join(fixtures, "bert");
  for (const [option, message] of [
    [["--quantize", "4"], /an embedding model is not quantized/],
    [["--adapter", `a=${bert}`], /takes no LoRA adapters/],
    [["--pooling", "sum"], /--pooling must be one of/],
  ] as const) {
    const { code, stderr } = await runToEnd(["--port", "0", "--state-dir", "none", "--model", bert, ...option]);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  }
});
