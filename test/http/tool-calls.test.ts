import { describe, expect, test } from "bun:test";
import * as v from "valibot";
import { ChatCompletion, ChatCompletionChunk } from "../../src/http/chat/model.ts";
import { createClient, readEvents } from "./client.ts";
import { endToken, ImitationServer, type Step, script } from "./imitation-server.ts";

const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [
  { type: "function", function: { name: "get_weather", parameters } },
  { type: "function", function: { name: "now" } },
];
const call = (city: string) => `<tool_call>\n{"name": "get_weather", "arguments": {"city": "${city}"}}\n</tool_call>`;
const weather = (city: string) => ({ name: "get_weather", arguments: `{"city": "${city}"}` });

/** A client whose model has this template and writes these pieces. */
function createFor(template: string, steps: Step[], options = {}) {
  const server = new ImitationServer();
  server.model = { ...server.model, chatTemplate: template };
  server.scripts = [steps];
  return createClient(options, server);
}

const answer = async (response: Response) => v.parse(ChatCompletion, await response.json());

async function stream(response: Response) {
  const { chunks } = readEvents(await response.text());
  return chunks.map((chunk) => v.parse(ChatCompletionChunk, chunk));
}

const deltasOf = (chunks: v.InferOutput<typeof ChatCompletionChunk>[]): unknown[] =>
  chunks.flatMap(({ choices }) => choices.map(({ delta }) => delta)).slice(1);

describe("tool calls", () => {
  const pieces = [
    "Let me ",
    'look.\n<tool_call>\n{"name": "get_wea',
    'ther", "arguments": {"ci',
    'ty": "Paris"}}\n</tool_',
    "call>",
  ];

  test("are part of the message, and the reason to finish", async () => {
    const { chat, server } = createFor("<tool_call>", script([...pieces, "\n", call("Rome")]));
    const { choices } = await answer(await chat({ tools }));
    expect(choices[0]).toMatchObject({ finish_reason: "tool_calls", message: { role: "assistant", content: "Let me look." } });
    const calls = choices[0]!.message.tool_calls!;
    expect(calls.map((found) => found.function)).toEqual([weather("Paris"), weather("Rome")]);
    expect(calls.every(({ id, type }) => /^call_\w{24}$/.test(id) && type === "function")).toBe(true);
    expect(server.submitted[0]?.request.keepSpecialTokens).toEqual(["<tool_call>", "</tool_call>"]);
    expect(server.rendered[0]?.options?.tools).toEqual(tools);
  });

  test("are streamed: id, type and name first, the arguments in fragments, no mark in the content", async () => {
    const { chat } = createFor("<tool_call>", script(pieces));
    const chunks = await stream(await chat({ tools, stream: true }));
    const [, , start] = deltasOf(chunks) as { tool_calls?: { id: string }[] }[];
    const { id } = start!.tool_calls![0]!;
    expect(id).toStartWith("call_");
    expect(deltasOf(chunks)).toEqual([
      { content: "Let me" },
      { content: " look." },
      { tool_calls: [{ index: 0, id, type: "function", function: { name: "get_weather", arguments: "" } }] },
      { tool_calls: [{ index: 0, function: { arguments: '{"ci' } }] },
      { tool_calls: [{ index: 0, function: { arguments: 'ty": "Paris"}' } }] },
      {},
    ]);
    expect(chunks.map(({ choices }) => choices[0]?.finish_reason).filter(Boolean)).toEqual(["tool_calls"]);
  });

  test("alone leave the content null", async () => {
    const { chat } = createFor("<tool_call>", script([call("Paris")]));
    expect((await answer(await chat({ tools }))).choices[0]?.message.content).toBeNull();
  });

  test("are not looked for without tools, nor with tool_choice none", async () => {
    const { chat, server } = createFor("<tool_call>", script([call("Paris")]));
    for (const body of [{}, { tools, tool_choice: "none" }]) {
      const { choices } = await answer(await chat(body));
      expect(choices[0]).toMatchObject({ finish_reason: "stop", message: { content: call("Paris") } });
    }
    expect(server.submitted[0]?.request.keepSpecialTokens).toEqual([]);
    expect(server.rendered.map(({ options }) => options?.tools)).toEqual([null, null]);
  });

  test("come one at a time when they must", async () => {
    const { chat } = createFor("<tool_call>", script([call("Paris"), call("Rome")]));
    const body = { tools, parallel_tool_calls: false };
    const { choices } = await answer(await chat(body));
    expect(choices[0]?.message.tool_calls?.map((found) => found.function)).toEqual([weather("Paris")]);
    const indices = (await stream(await chat({ ...body, stream: true })))
      .flatMap(({ choices: [choice] }) => choice?.delta.tool_calls ?? [])
      .map(({ index }) => index);
    expect(new Set(indices)).toEqual(new Set([0]));
  });

  test("that went wrong are content; those cut off say length", async () => {
    const broken = '<tool_call>{"name": "now", "arguments": {"a": oops}}</tool_call>';
    const wrong = createFor("<tool_call>", script(["Hm. ", broken]));
    const message = (await answer(await wrong.chat({ tools }))).choices[0];
    expect(message).toMatchObject({ finish_reason: "stop", message: { content: `Hm.${broken}` } });
    expect(message?.message.tool_calls).toBeUndefined();
    const cut = createFor("<tool_call>", script([call("Paris"), '<tool_call>{"name": "now", "argum'], "length"));
    expect((await answer(await cut.chat({ tools }))).choices[0]).toMatchObject({
      finish_reason: "length",
      message: { tool_calls: [{ function: weather("Paris") }] },
    });
  });

  test("of each choice stay with it", async () => {
    const { chat, server } = createFor("<tool_call>", []);
    server.scripts = [script([call("Paris")]), script(["No."])];
    const { choices } = await answer(await chat({ tools, n: 2 }));
    expect(choices.map(({ finish_reason }) => finish_reason)).toEqual(["tool_calls", "stop"]);
    expect(choices[1]?.message).toEqual({ role: "assistant", content: "No.", refusal: null });
  });

  test("with logprobs: all tokens are listed, those of the marks too", async () => {
    const text = `Hi. ${call("Paris")}`;
    const tokens = [...Buffer.from(text)].map((id) => ({ id, logprob: -1, top: [], text: String.fromCharCode(id) }));
    const steps: Step[] = tokens.map((token) => ({ text: token.text, tokens: [token], finishReason: null }));
    steps.push({ text: "", tokens: [{ id: endToken, logprob: -1 }], finishReason: "stop" });
    const { chat } = createFor("<tool_call>", steps);
    const spell = (list: { token: string }[]) => list.map(({ token }) => token).join("");
    const { choices } = await answer(await chat({ tools, logprobs: true }));
    expect(spell(choices[0]?.logprobs?.content ?? [])).toBe(text);
    const chunks = await stream(await chat({ tools, logprobs: true, stream: true }));
    expect(spell(chunks.flatMap((chunk) => chunk.choices[0]?.logprobs?.content ?? []))).toBe(text);
  });

  test("are found as the options say, whatever the template", async () => {
    const options = { toolParser: "pythonic", reasoningParser: "none" };
    const { chat } = createFor("<tool_call><think>", script(['[get_weather(city="Paris")]']), options);
    const { choices } = await answer(await chat({ tools }));
    expect(choices[0]?.message.tool_calls?.map((found) => found.function)).toEqual([weather("Paris")]);
    expect(() => createClient({ toolParser: "nothing" })).toThrow("--tool-parser");
  });

  test("end with the family's own tokens, unless end tokens are ignored", async () => {
    const { chat, server } = createFor("<|eom_id|>", script(["x"]));
    server.encode = async (text) => (text === "<|eom_id|>" ? [310] : [...Buffer.from(text)]);
    await chat({ tools, stop_token_ids: [9] });
    await chat({ tools, ignore_eos: true });
    expect(server.submitted.map(({ request }) => request.stopTokenIds)).toEqual([[9, 310], []]);
  });
});

test("tools that cannot be told apart are refused", async () => {
  const { chat } = createClient();
  const response = await chat({ tools: [tools[1], tools[1]] });
  expect([response.status, await response.json()]).toMatchObject([400, { error: { param: "tools.1.function.name" } }]);
});
