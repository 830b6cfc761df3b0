/** What the binary answers is what OpenAI's published schemas say. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readEvents } from "../http/client.ts";
import { checkPublished } from "../http/published.ts";
import { checkPublished as checkItem, readEvents as readResponseEvents, readWhole } from "../http/responses-client.ts";
import { say } from "./ask.ts";
import { type Served, startServer } from "./serve.ts";

let server: Served;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.stop());

const get = async (path: string) => (await fetch(server.url + path)).json() as Promise<Record<string, unknown>>;
const post = (path: string, body: object) => fetch(server.url + path, { method: "POST", body: JSON.stringify(body) });
const ask = async (path: string, body: object) => (await post(path, body)).json();

const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    },
  },
];

const chats: Record<string, object> = {
  plain: {},
  choices: { n: 3, temperature: 1, seed: 1 },
  logprobs: { logprobs: true, top_logprobs: 4 },
  cut: { max_tokens: 3 },
  nothing: { max_tokens: 0 },
  tools: { messages: say("What is the weather in Paris?"), tools, temperature: 0 },
  "a forced call": { tools, tool_choice: "required", temperature: 0 },
  reasoning: { messages: say("What is 2 + 2?"), enable_thinking: true, temperature: 0 },
  json: { response_format: { type: "json_object" }, max_tokens: 40 },
  accepted: {
    store: true,
    metadata: { a: "b" },
    service_tier: "auto",
    user: "me",
    safety_identifier: "x",
    prompt_cache_key: "y",
  },
};

for (const [name, body] of Object.entries(chats)) {
  test(`chat: ${name}`, async () => {
    const request = { messages: say("Hello!"), max_tokens: 60, ...body };
    const whole = await post("/v1/chat/completions", request);
    expect(whole.status).toBe(200);
    checkPublished("CreateChatCompletionResponse", await whole.json());
    for (const include_usage of [false, true]) {
      const streamed = await post("/v1/chat/completions", { ...request, stream: true, stream_options: { include_usage } });
      const { chunks } = readEvents(await streamed.text());
      expect(chunks.length).toBeGreaterThan(1);
      for (const chunk of chunks) checkPublished("CreateChatCompletionStreamResponse", chunk);
    }
  });
}

test("completions", async () => {
  for (const body of [{}, { n: 2, seed: 3 }, { logprobs: 3 }, { logprobs: 0 }, { echo: true }, { prompt: [[84, 104], [101]] }]) {
    const answer = await post("/v1/completions", { prompt: ["The sun", "Hello"], ...body });
    expect(answer.status).toBe(200);
    checkPublished("CreateCompletionResponse", await answer.json());
  }
});

const [tool] = tools;
const responses: Record<string, object> = {
  plain: {},
  conversation: { instructions: "Be short.", input: [{ role: "user", content: [{ type: "input_text", text: "Hello!" }] }] },
  cut: { max_output_tokens: 3 },
  logprobs: { include: ["message.output_text.logprobs"], top_logprobs: 3 },
  reasoning: { input: "What is 2 + 2?", enable_thinking: true, temperature: 0 },
  "a forced call": { tools: [{ type: "function", strict: false, ...tool?.function }], tool_choice: "required", temperature: 0 },
  json: { text: { format: { type: "json_object" } }, max_output_tokens: 40 },
};

for (const [name, body] of Object.entries(responses)) {
  test(`responses: ${name}`, async () => {
    const request = { input: "Hello!", max_output_tokens: 60, ...body };
    const { id } = await readWhole(await post("/v1/responses", request));
    await readWhole(await fetch(`${server.url}/v1/responses/${id}`));
    checkItem("ResponseItemList", await get(`/v1/responses/${id}/input_items`));
    expect((await readResponseEvents(await post("/v1/responses", { ...request, stream: true }))).length).toBeGreaterThan(4);
  });
}

test("embeddings", async () => {
  checkPublished("CreateEmbeddingResponse", await ask("/v1/embeddings", { input: ["one", "two"] }));
});

test("models", async () => {
  checkPublished("ListModelsResponse", await get("/v1/models"));
  checkPublished("Model", await get("/v1/models/tiny-chat"));
});

test("files and batches", async () => {
  checkPublished("ListFilesResponse", await get("/v1/files"));
  checkPublished("ListBatchesResponse", await get("/v1/batches"));
  const line = { custom_id: "a", method: "POST", url: "/v1/chat/completions", body: { messages: say("Hello!"), max_tokens: 4 } };
  const form = new FormData();
  form.set("purpose", "batch");
  form.set("file", new File([JSON.stringify(line)], "in.jsonl"));
  const file = (await (await fetch(`${server.url}/v1/files`, { method: "POST", body: form })).json()) as { id: string };
  checkPublished("OpenAIFile", file);
  checkPublished("OpenAIFile", await get(`/v1/files/${file.id}`));
  const wanted = {
    input_file_id: file.id,
    endpoint: "/v1/chat/completions",
    completion_window: "24h",
    metadata: { for: "test" },
  };
  let batch = (await ask("/v1/batches", wanted)) as Record<string, unknown>;
  for (let wait = 0; wait < 400 && batch.status !== "completed"; wait++) {
    checkPublished("Batch", batch);
    await Bun.sleep(25);
    batch = await get(`/v1/batches/${batch.id}`);
  }
  expect(batch).toMatchObject({ status: "completed", request_counts: { total: 1, completed: 1, failed: 0 } });
  checkPublished("Batch", batch);
  const output = await (await fetch(`${server.url}/v1/files/${batch.output_file_id}/content`)).text();
  const { response } = JSON.parse(output) as { response: { status_code: number; body: unknown } };
  expect(response.status_code).toBe(200);
  checkPublished("CreateChatCompletionResponse", response.body);
  checkPublished("ListFilesResponse", await get("/v1/files"));
  checkPublished("ListBatchesResponse", await get("/v1/batches"));
  const deleted = await fetch(`${server.url}/v1/files/${file.id}`, { method: "DELETE" });
  checkPublished("DeleteFileResponse", await deleted.json());
});

test("errors", async () => {
  const answers = await Promise.all([
    fetch(`${server.url}/v1/nothing`),
    fetch(`${server.url}/v1/models/nobody`),
    fetch(`${server.url}/v1/files/file-nothing`),
    fetch(`${server.url}/v1/chat/completions`),
    fetch(`${server.url}/v1/chat/completions`, { method: "POST", body: "{" }),
    post("/v1/chat/completions", { messages: [] }),
    post("/v1/chat/completions", { messages: say("a"), model: "gpt-5" }),
    post("/v1/completions", { prompt: "word ".repeat(6000) }),
    post("/v1/embeddings", { input: "" }),
  ]);
  expect(answers.map(({ status }) => status)).toEqual([404, 404, 404, 405, 400, 400, 404, 400, 400]);
  for (const answer of answers) checkPublished("ErrorResponse", await answer.json());
});
