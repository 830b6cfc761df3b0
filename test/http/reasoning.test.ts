import { describe, expect, test } from "bun:test";
import * as v from "valibot";
import { ChatCompletion, ChatCompletionChunk } from "../../src/http/chat/model.ts";
import { createClient, readEvents } from "./client.ts";
import { ImitationServer, type Step, script } from "./imitation-server.ts";

function createFor(template: string, steps: Step[], prompt = "") {
  const server = new ImitationServer();
  server.model = { ...server.model, chatTemplate: template };
  server.scripts = [steps];
  const { renderChat } = server;
  server.renderChat = (...args) => renderChat.apply(server, args) + prompt;
  return createClient({}, server);
}

const pieces = ["<think>\nOne ", "and one.", "\n</think>", "\n\nTwo", "."];
const answer = async (response: Response) => v.parse(ChatCompletion, await response.json());

describe("reasoning", () => {
  test("is set apart from the content and counted", async () => {
    const { chat, server } = createFor("<think>", script(pieces));
    const { choices, usage } = await answer(await chat({}));
    expect(choices[0]?.message).toEqual({
      role: "assistant",
      content: "Two.",
      refusal: null,
      reasoning_content: "One and one.",
      reasoning: "One and one.",
    });
    // One token a byte, whose pieces are not told apart: those up to the end mark.
    expect(usage.completion_tokens_details.reasoning_tokens).toBe("<think>\nOne and one.\n</think>".length);
    expect(server.submitted[0]?.request.keepSpecialTokens).toEqual(["<think>", "</think>"]);
  });

  test("is counted to the token where each token tells its text", async () => {
    const texts = ["<think>", "a", "b", "</think>", "c"];
    const tokens = texts.map((text, id) => ({ id, text }));
    const { chat } = createFor("<think>", [{ text: texts.join(""), tokens, finishReason: "length" }]);
    const { usage } = await answer(await chat({}));
    // The mark that begins it, and its two words.
    expect(usage.completion_tokens_details.reasoning_tokens).toBe(3);
  });

  test("is streamed before the content, and counted in the usage", async () => {
    const { chat } = createFor("<think>", script(pieces));
    const { chunks } = readEvents(await (await chat({ stream: true, stream_options: { include_usage: true } })).text());
    const parsed = chunks.map((chunk) => v.parse(ChatCompletionChunk, chunk));
    const deltas: unknown[] = parsed.map(({ choices }) => choices[0]?.delta);
    expect(deltas.slice(1)).toEqual([
      { reasoning_content: "One", reasoning: "One" },
      { reasoning_content: " and one.", reasoning: " and one." },
      { content: "Two" },
      { content: "." },
      {},
      undefined,
    ]);
    expect(parsed.at(-1)?.usage?.completion_tokens_details.reasoning_tokens).toBeGreaterThan(10);
  });

  test("that the prompt has begun, and that it has ended", async () => {
    const begun = createFor("<think>", script(["Hm.\n</think>\n\nTwo."]), "<think>\n");
    expect((await answer(await begun.chat({}))).choices[0]?.message).toMatchObject({ content: "Two.", reasoning_content: "Hm." });
    const ended = createFor("<think>", script(["Two."]), "<think>\n\n</think>\n\n");
    const { message } = (await answer(await ended.chat({}))).choices[0]!;
    expect(message).toEqual({ role: "assistant", content: "Two.", refusal: null });
  });

  test("is left out when the client does not want it, and counted all the same", async () => {
    for (const body of [{ include_reasoning: false }, { reasoning: { exclude: true } }]) {
      const { chat } = createFor("<think>", script(pieces));
      const { choices, usage } = await answer(await chat(body));
      expect(choices[0]?.message).toEqual({ role: "assistant", content: "Two.", refusal: null });
      expect(usage.completion_tokens_details.reasoning_tokens).toBeGreaterThan(10);
      const { chunks } = readEvents(await (await chat({ ...body, stream: true })).text());
      expect(chunks.map((chunk) => JSON.stringify(chunk)).join("")).not.toContain("One");
    }
  });

  test("goes back to the template under either name", async () => {
    const { chat, server } = createFor("<think>", script(["x"]));
    const turn = (fields: object) => ({
      messages: [
        { role: "assistant", content: "Two.", ...fields },
        { role: "user", content: "?" },
      ],
    });
    await chat(turn({ reasoning_content: "Hm." }));
    await chat(turn({ reasoning: "Hm." }));
    for (const { messages } of server.rendered) expect(messages[0]).toMatchObject({ reasoning_content: "Hm.", reasoning: "Hm." });
  });

  test("is switched by every name there is for it", async () => {
    const { chat, server } = createFor("<think>", script(["x"]));
    const kwargsOf = async (body: object) => {
      await chat(body);
      return server.rendered.at(-1)?.options?.kwargs;
    };
    expect(await kwargsOf({})).toEqual({});
    expect(await kwargsOf({ enable_thinking: false })).toEqual({ enable_thinking: false, thinking: false });
    expect(await kwargsOf({ reasoning: { enabled: true, effort: "high" } })).toEqual({
      enable_thinking: true,
      thinking: true,
      reasoning_effort: "high",
    });
    expect(await kwargsOf({ reasoning_effort: "none" })).toEqual({ enable_thinking: false, thinking: false });
    expect(await kwargsOf({ reasoning_effort: "low", chat_template_kwargs: { reasoning_effort: "high" } })).toEqual({
      reasoning_effort: "high",
    });
  });

  test("of GPT-OSS: channels, and a call among them", async () => {
    const text =
      "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.now <|constrain|>json<|message|>{}";
    const { chat, server } = createFor("<|channel|><|message|>", script([text]), "<|start|>assistant");
    const { choices } = await answer(await chat({ tools: [{ type: "function", function: { name: "now" } }] }));
    expect(choices[0]).toMatchObject({
      finish_reason: "tool_calls",
      message: { content: null, reasoning: "Hm.", tool_calls: [{ function: { name: "now", arguments: "{}" } }] },
    });
    expect(server.submitted[0]?.request.keepSpecialTokens).toContain("<|channel|>");
  });
});
