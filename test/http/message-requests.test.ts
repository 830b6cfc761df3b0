import { describe, expect, test } from "bun:test";
import type { Step } from "./imitation-server.ts";
import { script } from "./imitation-server.ts";
import { createScene } from "./messages-client.ts";

const user = (content: unknown) => ({ role: "user", content });
const assistant = (content: unknown) => ({ role: "assistant", content });
const text = (value: string) => ({ type: "text", text: value });
const toolUse = { type: "tool_use", id: "toolu_1", name: "add", input: { a: 1 }, cache_control: null };
const toolResult = (rest: object) => ({ type: "tool_result", tool_use_id: "toolu_1", ...rest });

/** What the template is given for a request. */
async function renderFor(body: object) {
  const { message, server } = createScene();
  const response = await message(body);
  if (response.status !== 200) throw new Error(await response.text());
  return server.rendered.at(-1)!.messages.map(({ role, content }): unknown => [role, content]);
}

describe("conversations are brought into the template's shape:", () => {
  const cases: [what: string, body: object, rendered: unknown[]][] = [
    [
      "blocks, and unknown fields and cache marks that are ignored",
      {
        messages: [user([{ ...text("a"), cache_control: { type: "ephemeral" }, citations: [] }, text("b")])],
        system: [text("s"), { ...text("t"), cache_control: { type: "ephemeral", ttl: "1h" } }],
        cache_control: { type: "ephemeral" },
        context_management: { edits: [] },
        metadata: { user_id: "u", more: 1 },
        service_tier: "auto",
        container: null,
        betas: ["x"],
      },
      [
        ["system", "s\nt"],
        ["user", "a\nb"],
      ],
    ],
    [
      "neighbours of one role",
      { messages: [user("a"), user([text("b")]), assistant("c"), assistant([text("d")]), user("e")] },
      [
        ["user", "a\nb"],
        ["assistant", "c\nd"],
        ["user", "e"],
      ],
    ],
    [
      "results behind their calls, with what else the turn says after them",
      {
        messages: [
          user("a"),
          assistant([text("b"), toolUse]),
          user([text("c"), toolResult({ content: [text("2"), text("3")] })]),
        ],
      },
      [
        ["user", "a"],
        ["assistant", "b"],
        ["tool", "2\n3"],
        ["user", "c"],
      ],
    ],
    [
      "results that are empty or errors",
      { messages: [assistant([toolUse]), user([toolResult({}), toolResult({ content: "no", is_error: true })])] },
      [
        ["assistant", ""],
        ["tool", ""],
        ["tool", "Error: no"],
      ],
    ],
    [
      "documents and search results that are text, and references to tools",
      {
        messages: [
          user([
            { type: "document", source: { type: "text", media_type: "text/plain", data: "d" }, title: "t" },
            { type: "search_result", title: "r", source: "u", content: [text("x")] },
          ]),
          assistant([toolUse]),
          user([toolResult({ content: [{ type: "tool_reference", tool_name: "sub" }] })]),
        ],
      },
      [
        ["user", "t\nd\nr\nu\nx"],
        ["assistant", ""],
        ["tool", "sub"],
      ],
    ],
    [
      "the system's words before the first answer, and after it",
      {
        system: "s",
        messages: [user("a"), { role: "system", content: "b" }, assistant("c"), { role: "system", content: [text("d")] }],
      },
      [
        ["system", "s\nb"],
        ["user", "a"],
        ["assistant", "c"],
        ["user", "d"],
      ],
    ],
    [
      "without the line that Claude Code changes in every request",
      { system: [text("x-anthropic-billing-header: cc_version=2.1; cch=4f2;"), text("You are.")] },
      [
        ["system", "You are."],
        ["user", "hi"],
      ],
    ],
    [
      "without that line where more follows it, and with one like it elsewhere",
      { system: "x-anthropic-billing-header: a\n\nYou are.\nx-anthropic-billing-header: b" },
      [
        ["system", "You are.\nx-anthropic-billing-header: b"],
        ["user", "hi"],
      ],
    ],
  ];
  for (const [what, body, rendered] of cases) test(what, async () => expect(await renderFor(body)).toEqual(rendered));

  test("thoughts that came back, also in a signature alone; redacted ones are left out", async () => {
    const { message, server } = createScene();
    const signature = `thinking:${Buffer.from("two ü").toString("base64")}`;
    const blocks = [
      { type: "thinking", thinking: "one", signature: "s" },
      { type: "thinking", thinking: "", signature },
      { type: "thinking", thinking: "", signature: "of another server" },
      { type: "redacted_thinking", data: "x" },
      text("b"),
    ];
    await message({ messages: [user("a"), assistant(blocks), user("c")] });
    expect(server.rendered[0]!.messages[1]).toMatchObject({ role: "assistant", content: "b", reasoning_content: "one\ntwo ü" });
  });
});

describe("an answer that the client has begun is continued", () => {
  const prompts: [what: string, scene: { template?: string; prompt?: string }, prompt: string][] = [
    ["as it stands", {}, "<user>hiThe best"],
    [
      "after reasoning that the template has begun",
      { template: "<think>", prompt: "<think>\n" },
      "<user>hi<think>\n\n</think>\n\nThe best",
    ],
    [
      "in the last message of GPT-OSS",
      { template: "<|channel|><|message|>", prompt: "<|start|>assistant" },
      "<user>hi<|start|>assistant<|channel|>final<|message|>The best",
    ],
  ];
  for (const [what, scene, prompt] of prompts) {
    test(what, async () => {
      const steps: Step[] = script([" answer"]);
      const { message, server } = createScene({ ...scene, steps });
      const response = await message({ messages: [user("hi"), assistant("The best")] });
      expect(server.encoded.at(-1)?.text).toBe(prompt);
      expect(((await response.json()) as { content: object[] }).content).toEqual([text(" answer")]);
    });
  }
});

describe("refused, with what is wrong:", () => {
  const tools = [{ name: "add", input_schema: {} }];
  const cases: [what: string, body: object, words: string][] = [
    ["no limit", { max_tokens: undefined }, "'max_tokens'"],
    ["no messages", { messages: [] }, "at least one message"],
    ["an unknown role", { messages: [{ role: "tool", content: "" }] }, "'messages.0.role'"],
    ["images", { messages: [user([{ type: "image", source: {} }])] }, "images are not supported"],
    ["images in results", { messages: [user([toolResult({ content: [{ type: "image" }] })])] }, "images are not supported"],
    ["documents that are files", { messages: [user([{ type: "document", source: { type: "base64" } }])] }, 'type "base64"'],
    ["calls by the user", { messages: [user([toolUse])] }, 'blocks of type "tool_use"'],
    ["a call without its result at the end", { messages: [user("a"), assistant([toolUse])] }, "'toolu_1'"],
    [
      "the server's tools",
      { tools: [{ type: "web_search_20250305", name: "web_search" }] },
      'tools of type "web_search_20250305"',
    ],
    ["tools without a schema", { tools: [{ name: "a" }] }, "'tools.0.input_schema'"],
    ["two tools of one name", { tools: [...tools, ...tools] }, '"add"'],
    ["a choice without tools", { tool_choice: { type: "any" } }, "'tool_choice'"],
    ["a choice of no tool", { tools, tool_choice: { type: "tool", name: "sub" } }, '"sub"'],
    ["a high temperature", { temperature: 1.1 }, "'temperature'"],
    ["an empty stop sequence", { stop_sequences: [""] }, "must not be empty"],
    ["thinking without a budget", { thinking: { type: "enabled" } }, "'thinking.budget_tokens'"],
    ["other servers' tools", { mcp_servers: [{ type: "url" }] }, "MCP servers"],
    ["an unknown form of output", { output_config: { format: { type: "regex" } } }, "'output_config.format.type'"],
  ];
  for (const [what, body, words] of cases) {
    test(what, async () => {
      const { message, server } = createScene();
      const response = await message(body);
      const { type, error, request_id } = (await response.json()) as Record<string, { type: string; message: string }>;
      expect([response.status, type, error?.type]).toEqual([400, "error", "invalid_request_error"] as never);
      expect(error?.message).toContain(words);
      expect(request_id).toBe(response.headers.get("request-id") as never);
      expect(server.submitted).toEqual([]);
    });
  }

  test("a budget that GPT-OSS cannot keep beside a forced call", async () => {
    const { message } = createScene({ template: "<|channel|><|message|>", prompt: "<|start|>assistant" });
    const body = { tools, tool_choice: { type: "any" }, thinking: { type: "enabled", budget_tokens: 9 } };
    const response = await message(body);
    expect([response.status, await response.text()]).toEqual([400, expect.stringContaining("thinking.budget_tokens")]);
  });
});

test("all failures on these paths are of Anthropic's shape, and no others", async () => {
  const { send, post, message } = createScene({ options: { apiKeys: ["key"], maxBodyBytes: 2000 } });
  const key = { "x-api-key": "key" };
  const cases: [response: Response, status: number, type: string][] = [
    [await message({}), 401, "authentication_error"],
    [await send("/v1/messages/batches", { headers: key }), 404, "not_found_error"],
    [await send("/v1/messages", { headers: key }), 405, "invalid_request_error"],
    [await post("/v1/messages", "x".repeat(2001), key), 413, "request_too_large"],
    [await post("/v1/messages/count_tokens", "{", key), 400, "invalid_request_error"],
    [await send("/v1/models/none", { headers: { ...key, "anthropic-version": "2023-06-01" } }), 404, "not_found_error"],
  ];
  for (const [response, status, type] of cases) {
    const body = (await response.json()) as object;
    expect([response.status, body]).toMatchObject([status, { type: "error", error: { type } }]);
    expect(Object.keys(body)).toEqual(["type", "error", "request_id"]);
  }
  for (const path of ["/v1/models/none", "/v1/messagesx"]) {
    const other = await send(path, { headers: key });
    expect([other.status, Object.keys((await other.json()) as object)]).toEqual([404, ["error"]]);
    expect(other.headers.has("request-id")).toBe(false);
  }
  const bearer = { authorization: "Bearer key" };
  expect((await post("/v1/messages", { messages: [user("hi")], max_tokens: 1 }, bearer)).status).toBe(200);
});

test("whatever is put in any place of a request: an answer, or 400 with Anthropic's error", async () => {
  const request = {
    system: [text("s")],
    messages: [
      user([text("a")]),
      assistant([{ type: "thinking", thinking: "", signature: "thinking:?" }, toolUse]),
      user([toolResult({ content: [text("r")] })]),
    ],
    tools: [{ name: "add", description: "d", input_schema: { type: "object" } }],
    tool_choice: { type: "auto", disable_parallel_tool_use: true },
    thinking: { type: "enabled", budget_tokens: 5 },
    output_config: { effort: "low" },
    stop_sequences: ["x"],
    metadata: { user_id: "u" },
  };
  const odd = [null, "", "\ud800", -1, 0.5, 1e300, true, [], {}, [null], { type: "text" }, { type: "__proto__" }];
  const { message } = createScene({ template: "<think><tool_call>" });
  const places = [...listPlaces(request)];
  expect(places.length).toBeGreaterThan(40);
  for (const place of places) {
    for (const value of odd) {
      const body = structuredClone(request);
      const parent = place.slice(0, -1).reduce<Node>((node, key) => node[key] as Node, body as unknown as Node);
      parent[place.at(-1)!] = value;
      const response = await message(body);
      const answer = (await response.json()) as { type: string };
      const isAnswer = response.status === 200 && answer.type === "message";
      const isRefusal = response.status === 400 && answer.type === "error";
      expect(isAnswer || isRefusal, `${place.join(".")} = ${JSON.stringify(value)}: ${JSON.stringify(answer)}`).toBe(true);
    }
  }
});

type Node = { [key: string]: unknown };

function* listPlaces(node: object, path: string[] = []): Generator<string[]> {
  for (const [key, value] of Object.entries(node)) {
    yield [...path, key];
    if (typeof value === "object" && value !== null) yield* listPlaces(value, [...path, key]);
  }
}
