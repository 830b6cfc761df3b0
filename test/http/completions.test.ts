import { expect, test } from "bun:test";
import * as v from "valibot";
import { Completion, CompletionChunk } from "../../src/http/completions/model.ts";
import { createClient, readEvents } from "./client.ts";
import { script } from "./imitation-server.ts";

test("a completion parses by its own schema; the prompt gets special tokens and 16 tokens follow by default", async () => {
  const { complete, server } = createClient();
  const answer = v.parse(Completion, await (await complete({})).json());
  expect(answer.id).toStartWith("cmpl-");
  expect(answer.choices).toEqual([{ text: "Hello world", index: 0, logprobs: null, finish_reason: "stop" }]);
  expect(answer.usage).toMatchObject({ prompt_tokens: 2, completion_tokens: 12, total_tokens: 14 });
  expect(server.encoded).toEqual([{ text: "hi", addSpecialTokens: true }]);
  expect(server.submitted[0]?.request.maxTokens).toBe(16);
});

test("prompts may be texts, ids, and several of either; n multiplies them", async () => {
  const { complete, server } = createClient();
  const choices = async (body: object) => v.parse(Completion, await (await complete(body)).json());
  expect((await choices({ prompt: ["a", "bc"], n: 2 })).choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
  expect((await choices({ prompt: ["a", "bc"], n: 2 })).usage.prompt_tokens).toBe(3);
  await choices({ prompt: [5, 6] });
  expect(server.submitted.at(-1)?.request.promptTokens).toEqual([5, 6]);
  await choices({ prompt: [[7], [8, 9]] });
  expect(server.submitted.slice(-2).map(({ request }) => request.promptTokens)).toEqual([[7], [8, 9]]);
});

test("echo puts the prompt first; with max_tokens 0 it is all there is", async () => {
  const { complete } = createClient();
  const answer = v.parse(Completion, await (await complete({ echo: true, prompt: ["ab", "c"] })).json());
  expect(answer.choices.map(({ text }) => text)).toEqual(["abHello world", "cHello world"]);
  const ids = v.parse(Completion, await (await complete({ echo: true, prompt: [104, 105], max_tokens: 0 })).json());
  expect(ids.choices[0]).toMatchObject({ text: "hi", finish_reason: "length" });
  const { chunks } = readEvents(await (await complete({ echo: true, stream: true })).text());
  expect(chunks.map((chunk) => v.parse(CompletionChunk, chunk).choices[0]?.text).join("")).toBe("hiHello world");
});

test("a stream: chunks valid, one [DONE], usage last", async () => {
  const { complete } = createClient();
  const response = await complete({ stream: true, stream_options: { include_usage: true }, prompt: ["a", "b"] });
  const { events, chunks } = readEvents(await response.text());
  expect(events.filter((data) => data === "[DONE]")).toHaveLength(1);
  const parsed = chunks.map((chunk) => v.parse(CompletionChunk, chunk));
  expect(parsed.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 2, completion_tokens: 24 } });
  for (const index of [0, 1]) {
    const own = parsed.flatMap(({ choices }) => choices).filter((choice) => choice.index === index);
    expect(own.map(({ text }) => text).join("")).toBe("Hello world");
    expect(own.at(-1)?.finish_reason).toBe("stop");
  }
});

test("logprobs have offsets into the text and names that tell tokens apart", async () => {
  const { complete, server } = createClient();
  const top = [
    { id: 0xff, logprob: -1 },
    { id: 0xfe, logprob: Number.NEGATIVE_INFINITY },
  ];
  server.scripts = [
    [
      { text: "ab", tokens: [97, 98].map((id) => ({ id, logprob: -0.25, top })), finishReason: null },
      { text: "c", tokens: [{ id: 99, logprob: -0.5, top }], finishReason: "length" },
    ],
  ];
  const answer = v.parse(Completion, await (await complete({ logprobs: 2 })).json());
  expect(answer.choices[0]?.logprobs).toMatchObject({
    tokens: ["a", "b", "c"],
    token_logprobs: [-0.25, -0.25, -0.5],
    text_offset: [0, 1, 2],
  });
  expect(answer.choices[0]?.logprobs?.top_logprobs?.[2]).toEqual({ "bytes:\\xff": -1, "bytes:\\xfe": -9999 });
  const { chunks } = readEvents(await (await complete({ logprobs: 2, stream: true })).text());
  const offsets = chunks.flatMap((chunk) => v.parse(CompletionChunk, chunk).choices[0]?.logprobs?.text_offset ?? []);
  expect(offsets).toEqual([0, 1, 2]);
});

test("lone surrogates in text go out as JSON and come in as U+FFFD", async () => {
  const { complete, server } = createClient();
  server.scripts = [script(["ok\u2028"])];
  const response = await complete({ prompt: "\ud800a", echo: true, stream: true });
  const { chunks } = readEvents(await response.text());
  expect(chunks.map((chunk) => v.parse(CompletionChunk, chunk).choices[0]?.text).join("")).toBe("\ufffdaok\u2028");
});
