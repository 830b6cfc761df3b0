import { describe, expect, test } from "bun:test";
import type Anthropic from "@anthropic-ai/sdk";
import * as v from "valibot";
import { EngineFailure, Unavailable } from "../../src/errors.ts";
import { JsonPrefix } from "../../src/http/messages/json-prefix.ts";
import { AnswerMessage, type ContentBlock, MessageStreamEvent } from "../../src/http/messages/model.ts";
import { ImitationServer, type Step, script } from "./imitation-server.ts";
import { createScene, readNamedEvents } from "./messages-client.ts";

const tools = ["get_weather", "now"].map((name) => ({ name, input_schema: { type: "object" } }));
const thinking = { type: "enabled", budget_tokens: 5000 };
const call = (json: string) => `<tool_call>\n{"name": "get_weather", "arguments": ${json}}\n</tool_call>`;

/** Events of a model that writes these pieces, without ids and usage. */
async function play(steps: Step[], body: object = {}) {
  const { message } = createScene({ template: "<think><tool_call>", steps });
  const response = await message({ tools, thinking, stream: true, ...body });
  expect(response.headers.get("content-type")).toStartWith("text/event-stream");
  return readNamedEvents(await response.text()).map((event) => v.parse(MessageStreamEvent, event));
}

/** One line an event. */
function outline(events: readonly MessageStreamEvent[]): string[] {
  return events.map((event) => {
    switch (event.type) {
      case "content_block_start":
        return `${event.index} start ${event.content_block.type}`;
      case "content_block_delta": {
        const { type, ...rest } = event.delta;
        return `${event.index} ${type === "signature_delta" ? type : Object.values(rest).join()}`;
      }
      case "content_block_stop":
        return `${event.index} stop`;
      case "message_delta":
        return `end ${event.delta.stop_reason} ${event.delta.stop_sequence}`;
      default:
        return event.type;
    }
  });
}

const stopped = (text: string, stopString: string): Step[] => [{ text, tokens: [{ id: 1 }], finishReason: "stop", stopString }];

describe("events come in this order", () => {
  const cases: [what: string, steps: Step[], events: string[], body?: object][] = [
    ["text", script(["Hello", " world"]), ["0 start text", "0 Hello", "0  world", "0 stop", "end end_turn null"]],
    ["nothing", script([]), ["end end_turn null"]],
    [
      "as much as was asked for",
      script([..."x".repeat(64)], "length").slice(-2),
      ["0 start text", "0 x", "0 stop", "end max_tokens null"],
      { max_tokens: 1 },
    ],
    ["a full context", script(["x"], "length"), ["0 start text", "0 x", "0 stop", "end model_context_window_exceeded null"]],
    ["a stop sequence", stopped("so far", "STOP"), ["0 start text", "0 so far", "0 stop", "end stop_sequence STOP"]],
    [
      "thinking",
      script(["<think>a", "b</think>", "c"]),
      ["0 start thinking", "0 a", "0 b", "0 signature_delta", "0 stop", "1 start text", "1 c", "1 stop", "end end_turn null"],
    ],
    [
      "thinking without its text",
      script(["<think>a", "b</think>", "c"]),
      ["0 start thinking", "0 signature_delta", "0 stop", "1 start text", "1 c", "1 stop", "end end_turn null"],
      { thinking: { ...thinking, display: "omitted" } },
    ],
    [
      "thinking that was not asked for",
      script(["<think>a", "b</think>", "c"]),
      ["0 start text", "0 c", "0 stop", "end end_turn null"],
      { thinking: null },
    ],
    [
      "thinking that was cut off",
      script(["<think>a"], "length"),
      ["0 start thinking", "0 a", "0 signature_delta", "0 stop", "end model_context_window_exceeded null"],
    ],
    [
      "calls in text",
      script(["Hm. ", call('{"a": 1}'), call("{}")]),
      [
        "0 start text",
        "0 Hm.",
        "0 stop",
        "1 start tool_use",
        '1 {"a": 1}',
        "1 stop",
        "2 start tool_use",
        "2 {}",
        "2 stop",
        "end tool_use null",
      ],
    ],
    [
      "one call only",
      script([call("{}"), call("{}")]),
      ["0 start tool_use", "0 {}", "0 stop", "end tool_use null"],
      { tool_choice: { type: "auto", disable_parallel_tool_use: true } },
    ],
    [
      "a call that goes wrong: as far as it is JSON",
      script([call('{"a": [1, oops'), " more"]),
      ["0 start tool_use", '0 {"a": [1, ', "0 stop", "1 start text", "1 more", "1 stop", "end end_turn null"],
    ],
    [
      "a call that is cut off",
      script([call('{"a": "b').slice(0, -14)], "length"),
      ["0 start tool_use", '0 {"a": "b', "0 stop", "end model_context_window_exceeded null"],
    ],
  ];
  for (const [what, steps, events, body] of cases) {
    test(what, async () => {
      expect(outline(await play(steps, body))).toEqual(["message_start", ...events, "message_stop"]);
    });
  }
});

test("usage: what is known at the start, and all of it at the end", async () => {
  const server = new ImitationServer();
  const { submit } = server;
  server.submit = (...args) => {
    const generation = submit.apply(server, args);
    const cached = () => (generation.completionTokenCount > 0 ? 6 : 0);
    return Object.defineProperty(Object.create(generation), "cachedTokenCount", { get: cached });
  };
  const { post } = createScene({}, server);
  const messages = [{ role: "user", content: "hi" }];
  const response = await post("/v1/messages", { max_tokens: 8, messages, stream: true });
  const events = readNamedEvents(await response.text());
  expect(events[0]).toMatchObject({ message: { usage: { input_tokens: 8, cache_read_input_tokens: 0, output_tokens: 0 } } });
  expect(events.at(-2)).toMatchObject({ usage: { input_tokens: 2, cache_read_input_tokens: 6, output_tokens: 12 } });
});

test("pings bridge a silence, and a failure is an event", async () => {
  const fail = new Unavailable("The server is shutting down.");
  const steps: Step[] = [{ waitMs: 60 }, ...script(["a"]).slice(0, 1), { fail }];
  const { message } = createScene({ steps, options: { keepAliveMs: 20 } });
  const response = await message({ stream: true });
  const events = readNamedEvents(await response.text());
  const names = events.map(({ type }) => type);
  expect(names.filter((name) => name === "ping").length).toBeGreaterThan(0);
  expect(names.filter((name) => name !== "ping")).toEqual([
    "message_start",
    "content_block_start",
    "content_block_delta",
    "error",
  ]);
  const request_id = response.headers.get("request-id");
  expect(events.at(-1)).toEqual({ type: "error", error: { type: "overloaded_error", message: fail.message }, request_id });
});

test("what can be refused is refused before the first byte", async () => {
  const { message, server } = createScene();
  server.refusal = { after: 0, error: new EngineFailure("It has failed.") };
  const response = await message({ stream: true });
  expect([response.status, await response.json()]).toMatchObject([500, { type: "error", error: { type: "api_error" } }]);
});

/** Small and the same in every run. */
function createRandom(seed: number) {
  let state = seed;
  return (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function cut(text: string, random: (below: number) => number): string[] {
  const pieces: string[] = [];
  for (let at = 0; at < text.length; ) {
    const end = at + 1 + random(9);
    pieces.push(text.slice(at, end));
    at = end;
  }
  return pieces;
}

const texts = [
  `<think>Let me see: <b> 1 < 2.</think>\n\nI look.\n${call('{"city": "Zürich 🙂", "n": [1, -2.5e3, true, null]}')}\n${call("{}")}`,
  `<think>\n\n</think>\n\nPlain <tool text & "quotes"`,
  `Before.${call('{"deep": {"a": [[], {"b": "\\\\ \\" \\u00e9"}]}}')} And after.`,
  call('{"a": 1}'),
  "<think>never ends, not even <tool_call>",
];

test("however the text is cut: the stream makes the same message as the whole answer, and as the client's helper", async () => {
  const random = createRandom(7);
  for (const text of texts) {
    const whole = await answer(script([text]));
    for (let round = 0; round < 12; round++) {
      const steps = script(cut(text, random));
      expect(await answer(steps)).toEqual(whole);
      const { anthropic, base } = createScene({ template: "<think><tool_call>", steps });
      const final = await anthropic.messages.stream({ ...base, tools, thinking } as Anthropic.MessageStreamParams).finalMessage();
      expect(withoutIds(final.content as ContentBlock[])).toEqual(whole.content);
      expect(final.stop_reason).toBe(whole.stop_reason);
    }
  }
});

async function answer(steps: Step[]) {
  const { message } = createScene({ template: "<think><tool_call>", steps });
  const { content, stop_reason } = v.parse(AnswerMessage, await (await message({ tools, thinking })).json());
  return { content: withoutIds(content), stop_reason };
}

function withoutIds(content: readonly ContentBlock[]) {
  return content.map((block) => ({
    ...block,
    ...("id" in block && { id: "" }),
    ...("parsed_output" in block && { parsed_output: undefined }),
  }));
}

describe("of arguments only the beginning of a JSON value comes through", () => {
  const texts: [text: string, passed: string][] = [
    ['{"a": [1, 2], "b": "c\\n"}', '{"a": [1, 2], "b": "c\\n"}'],
    ['{"a": oops}', '{"a": '],
    ['{"a": 1 "b"', '{"a": 1 '],
    ['{"a" 1}', '{"a" '],
    ['{"a": 1} {"b": 2}', '{"a": 1}'],
    ["{1: 2}", "{"],
    ["nothing", ""],
  ];
  for (const [text, passed] of texts) {
    test(text, () => {
      const random = createRandom(text.length);
      for (let round = 0; round < 20; round++) {
        const prefix = new JsonPrefix();
        expect(
          cut(text, random)
            .map((piece) => prefix.push(piece))
            .join(""),
        ).toBe(passed);
      }
    });
  }
});
