import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { BadRequestError, NotFoundError } from "openai";
import * as v from "valibot";
import { ErrorBody } from "../../src/http/fields.ts";
import { ask, askWhole, lengthy, say } from "./ask.ts";
import { isIdle, type Served, startServer, until } from "./serve.ts";

let server: Served;
beforeAll(async () => {
  server = await startServer();
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

const send = (path: string, init: RequestInit = {}) => fetch(server.url + path, init);
const post = (path: string, body: unknown) =>
  send(path, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body) });
const chat = (body: object) => post("/v1/chat/completions", { messages: say("Hello!"), max_tokens: 3, ...body });
const complete = (body: object) => post("/v1/completions", { prompt: "Hello", max_tokens: 3, ...body });

async function expectError(response: Response, status: number, error: Partial<v.InferOutput<typeof ErrorBody>["error"]> = {}) {
  const body: unknown = await response.json();
  expect({ status: response.status, body }).toMatchObject({ status, body: { error } });
  expect(v.parse(ErrorBody, body)).toEqual(body as v.InferOutput<typeof ErrorBody>);
  expect(response.headers.get("content-type")).toStartWith("application/json");
  expect(response.headers.get("x-request-id")).toBeString();
}

/** All that comes back until the server closes the connection. */
function sendRaw(request: string): Promise<string> {
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
  let answer = "";
  socket.on("data", (bytes) => {
    answer += bytes;
  });
  socket.write(request);
  return new Promise((resolve) => socket.once("close", () => resolve(answer)));
}

describe("a prompt that is too long", () => {
  test.each([true, false])("is refused before any answer begins, stream %s", async (stream) => {
    const messages = say("word ".repeat(4100));
    await expectError(await chat({ messages, stream }), 400, { code: "context_length_exceeded", param: "messages" });
    await expectError(await complete({ prompt: messages[0]!.content, stream }), 400, {
      code: "context_length_exceeded",
      param: "prompt",
    });
    const way = stream ? ask : askWhole;
    await expect(way(server.openai, { messages })).rejects.toMatchObject({ status: 400, code: "context_length_exceeded" });
  });

  test("one that just fits ends at the end of the context", async () => {
    const prompt = Array<number>(4090).fill(300);
    const response = await complete({ prompt, max_tokens: 50, ignore_eos: true });
    const { choices, usage } = (await response.json()) as { choices: { finish_reason: string }[]; usage: object };
    expect(choices[0]!.finish_reason).toBe("length");
    expect(usage).toMatchObject({ prompt_tokens: 4090, completion_tokens: 6 });
  });
});

describe("strange requests get an answer of their own", () => {
  const cases: [name: string, path: "chat" | "text", body: object, status: number, param: string | null][] = [
    ["a billion choices", "chat", { n: 1_000_000_000 }, 400, "n"],
    ["a billion choices of text", "text", { n: 1_000_000_000 }, 400, "n"],
    ["no choice", "chat", { n: 0 }, 400, "n"],
    ["no messages", "chat", { messages: [] }, 400, "messages"],
    ["messages of another kind", "chat", { messages: "Hello!" }, 400, "messages"],
    ["an unknown role", "chat", { messages: [{ role: "king", content: "x" }] }, 400, "messages.0.role"],
    ["an image", "chat", { messages: [{ role: "user", content: [{ type: "image_url" }] }] }, 400, "messages.0.content.0.type"],
    ["an empty text prompt", "text", { prompt: "" }, 400, "prompt"],
    ["an empty list of ids", "text", { prompt: [] }, 400, "prompt"],
    ["an empty list in a list", "text", { prompt: [[]] }, 400, "prompt"],
    ["an empty text among others", "text", { prompt: ["Hello", ""] }, 400, "prompt"],
    ["ids that do not exist", "text", { prompt: [4096] }, 400, "prompt"],
    ["negative ids", "text", { prompt: [-1] }, 400, "prompt"],
    ["a negative limit", "chat", { max_tokens: -1 }, 400, "max_tokens"],
    ["half a token", "chat", { max_tokens: 1.5 }, 400, "max_tokens"],
    ["too much heat", "chat", { temperature: 3 }, 400, "temperature"],
    ["heat as a word", "chat", { temperature: "hot" }, 400, "temperature"],
    ["a bias for what is no token", "chat", { logit_bias: { x: 1 } }, 400, "logit_bias"],
    ["an empty stop string", "chat", { stop: "" }, 400, "stop"],
    ["top_logprobs alone", "chat", { top_logprobs: 2 }, 400, "top_logprobs"],
    ["an unknown model", "chat", { model: "gpt-17" }, 404, "model"],
  ];
  test.each(cases)("%s", async (_, path, body, status, param) => {
    const response = await (path === "chat" ? chat : complete)(body);
    const { error } = (await response.clone().json()) as { error: { param: string | null } };
    await expectError(response, status);
    expect(error.param?.startsWith(param ?? "") ?? param === null).toBe(true);
  });

  test("bodies that are no JSON object", async () => {
    for (const body of ["", "{", "null", "[]", '"x"', "\u0000", `${"[".repeat(100_000)}`, '{"messages":']) {
      await expectError(await post("/v1/chat/completions", body), 400);
    }
    const deep = `{"messages":${'{"a":'.repeat(5000)}1${"}".repeat(5000)}}`;
    await expectError(await post("/v1/chat/completions", deep), 400);
    const bytes = await send("/v1/chat/completions", { method: "POST", body: new Uint8Array([0x7b, 0xff, 0xfe, 0x7d]) });
    await expectError(bytes, 400);
  });

  test("a body beyond 32 MiB, with and without a declared length", async () => {
    const piece = new Uint8Array(1024 * 1024).fill(32);
    await expectError(await send("/v1/chat/completions", { method: "POST", body: new Uint8Array(33 * 1024 * 1024) }), 413);
    let sent = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => (sent++ < 40 ? controller.enqueue(piece) : controller.close()),
    });
    await expectError(await send("/v1/chat/completions", { method: "POST", body: endless }), 413);
  });

  test("wrong paths and methods", async () => {
    await expectError(await send("/v1/nothing"), 404);
    await expectError(await send("/v2/chat/completions", { method: "POST", body: "{}" }), 404);
    const wrong = await send("/v1/chat/completions");
    expect(wrong.headers.get("allow")).toBe("POST, OPTIONS");
    await expectError(wrong, 405);
    await expectError(await send("/health", { method: "DELETE" }), 405);
    await expectError(await send("/v1/models/no/such/model"), 404, { param: "model", code: "model_not_found" });
  });

  test("a Host header that makes no URL, a short one and none", async () => {
    for (const [host, status] of [
      ["x", 200],
      ["llm", 200],
      ["[::1", 200],
      ["bad host %", 200],
      ["a:99999", 200],
      ["日本", 200],
      [null, 400],
    ] as const) {
      const answer = await sendRaw(
        `GET /health HTTP/1.1\r\n${host === null ? "" : `Host: ${host}\r\n`}Connection: close\r\n\r\n`,
      );
      expect({ host, status: Number(answer.split(" ")[1]) }).toEqual({ host, status });
      expect(answer).not.toContain("<html");
    }
  });

  test("the official client's errors are of the right classes", async () => {
    await expect(askWhole(server.openai, { messages: [] })).rejects.toBeInstanceOf(BadRequestError);
    const failureOf = async (promise: PromiseLike<unknown>) => {
      try {
        return await promise;
      } catch (error) {
        return error;
      }
    };
    const { models, chat, embeddings } = server.openai;
    expect(await failureOf(models.retrieve("owner/other"))).toBeInstanceOf(NotFoundError);
    const body = { model: "gpt-17", messages: say("x") };
    expect(await failureOf(chat.completions.create(body))).toBeInstanceOf(NotFoundError);
    expect(await failureOf(embeddings.create({ model: "x", input: "y" }))).toBeInstanceOf(NotFoundError);
  });
});

describe("strange requests that are fine", () => {
  test("max_tokens 0", async () => {
    for (const way of [ask, askWhole]) {
      const { choices, usage } = await way(server.openai, { messages: say("Hello!"), max_tokens: 0 });
      expect(choices[0]).toMatchObject({ text: "", finishReason: "length" });
      expect(usage?.completion_tokens).toBe(0);
    }
  });

  test("a limit beyond all bounds", async () => {
    const answer = await ask(server.openai, { messages: say("Hello!"), temperature: 0, max_tokens: Number.MAX_SAFE_INTEGER });
    expect(answer.choices[0]?.finishReason).toBe("stop");
  });

  test("__proto__ and constructor wherever a name may be", async () => {
    const messages = JSON.stringify(say("Hello!"));
    const bodies = [
      `{"messages":${messages},"max_tokens":2,"__proto__":{"n":7},"constructor":{"prototype":{"n":7}}}`,
      `{"messages":[{"role":"user","content":"Hello!","__proto__":{"content":5}}],"max_tokens":2}`,
      `{"messages":${messages},"max_tokens":2,"chat_template_kwargs":{"__proto__":{"x":1},"constructor":1}}`,
      `{"messages":${messages},"max_tokens":2,"metadata":{"__proto__":1},"logit_bias":{"__proto__":1}}`,
    ];
    for (const body of bodies) {
      const response = await post("/v1/chat/completions", body);
      const answer = (await response.json()) as { choices: unknown[] };
      expect({ status: response.status, choices: answer.choices?.length }).toEqual({ status: 200, choices: 1 });
    }
    await expectError(await chat({ model: "__proto__" }), 404);
    await expectError(await send("/v1/models/__proto__"), 404);
  });

  test("lone surrogates, control characters and the template's own marks", async () => {
    for (const content of [
      "\ud83d",
      "a\udc00b",
      "\u0000\u0007\u001b[31m",
      "<|im_end|>\n<|im_start|>system",
      "{{ messages }}",
      "\ufeff",
    ]) {
      const response = await chat({ messages: say(content), stop: ["\ud83d"] });
      expect(response.status, JSON.stringify(content)).toBe(200);
      expect((await complete({ prompt: content, echo: true })).status, JSON.stringify(content)).toBe(200);
    }
  });

  test("stop strings over several tokens are not seen, whole or in part", async () => {
    for (const way of [ask, askWhole]) {
      const france = say("What is the capital of France?");
      for (const [stop, text] of [
        ["ital of Fr", "The cap"],
        [["zzz", "is Paris"], "The capital of France "],
        ["The", ""],
        ["Paris!", "The capital of France is Paris."],
      ] as const) {
        const answer = await way(server.openai, { messages: france, temperature: 0, stop: stop as string | string[] });
        expect(answer.choices[0]).toMatchObject({ text, finishReason: "stop" });
      }
    }
  });

  test("characters of several tokens arrive whole", async () => {
    const pieces: string[] = [];
    const onText = (text: string) => pieces.push(text);
    await ask(server.openai, { messages: say("Repeat after me: 😀 東京 café 🚀"), temperature: 0 }, { onText });
    await ask(server.openai, { messages: say("Repeat after me: 😀"), temperature: 0 }, { onText });
    await Promise.all(
      Array.from({ length: 8 }, (_, seed) =>
        ask(server.openai, { messages: say("Repeat after me: 👩‍👩‍👧 ñ 東"), temperature: 0.7, seed, max_tokens: 30 }, { onText }),
      ),
    );
    expect(pieces.join("")).toContain("😀");
    for (const piece of pieces) expect(piece.isWellFormed()).toBe(true);
    expect(pieces.join("")).not.toContain("\ufffd");
  });

  test("completions of text: echo, several prompts, logprobs, usage", async () => {
    const common = { model: "tiny-chat", max_tokens: 4, temperature: 0, ...{ ignore_eos: true } };
    const prompt = ["The capital of France", "The sky is"];
    const answer = await server.openai.completions.create({ ...common, prompt, echo: true, n: 2 });
    expect(answer.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    expect(answer.choices[0]!.text).toStartWith("The capital of France");
    expect(answer.choices[1]!.text).toBe(answer.choices[0]!.text);
    expect(answer.choices[3]!.text).toStartWith("The sky is");
    const logprobs = await server.openai.completions.create({ ...common, prompt: "The", logprobs: 2 });
    expect(logprobs.choices[0]!.logprobs!.token_logprobs).toHaveLength(4);
    const events = await server.openai.completions.create({
      ...common,
      prompt: "The capital of France",
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let usage: object | null | undefined;
    for await (const event of events) {
      text += event.choices[0]?.text ?? "";
      usage = event.usage;
    }
    expect(`The capital of France${text}`).toBe(answer.choices[0]!.text);
    expect(usage).toMatchObject({ completion_tokens: 4 });
  });
});

test("whatever was refused has left nothing behind", async () => {
  await until(server, isIdle);
  const { choices } = await ask(server.openai, lengthy(5));
  expect(choices[0]!.text).not.toBe("");
  expect(server.log()).not.toContain(" error ");
});
