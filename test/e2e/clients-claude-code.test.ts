/** Requests of the shape that Claude Code sends: a name of Anthropic's, betas, a line that changes each time, more tokens than there is room for. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import Anthropic from "@anthropic-ai/sdk";
import { capital, weather } from "./scenario.ts";
import { type Served, startServer } from "./serve.ts";

let server: Served;
let client: Anthropic;
beforeAll(async () => {
  server = await startServer(["--accept-any-model"]);
  client = new Anthropic({ baseURL: server.url, apiKey: null, authToken: "any", maxRetries: 0 });
});
afterAll(() => server.stop());

const ephemeral = { type: "ephemeral" as const };
// No parameter of the client's any more; with it, nothing here depends on chance.
const greedy: object = { temperature: 0 };
const betas = ["claude-code-20250219", "interleaved-thinking-2025-05-14", "context-management-2025-06-27"];

const ask = (header: string, question: string): Anthropic.Beta.MessageCreateParamsNonStreaming => ({
  model: "claude-opus-5-20261001",
  max_tokens: 32_000,
  ...greedy,
  betas,
  system: [
    { type: "text", text: `x-anthropic-billing-header: cc_version=2.1; cc_entrypoint=cli; cch=${header};` },
    { type: "text", text: "You help in a terminal.", cache_control: ephemeral },
    { type: "text", text: "The river was wide. ".repeat(60), cache_control: { ...ephemeral, ttl: "1h" } },
  ],
  messages: [
    {
      role: "user",
      content: [
        { type: "text", text: "<system-reminder>\nIt is today.\n</system-reminder>" },
        { type: "text", text: question, cache_control: ephemeral },
      ],
    },
  ],
  tools: [
    {
      name: "Bash",
      description: "Runs a command.",
      input_schema: {
        $schema: "https://json-schema.org/draft/2020-12/schema",
        type: "object",
        properties: { command: { type: "string" }, timeout: { type: "number" } },
        required: ["command"],
        additionalProperties: false,
      },
    },
    { name: weather.name, description: weather.description, input_schema: weather.parameters as Anthropic.Tool.InputSchema },
  ],
  metadata: { user_id: "user_0_account__session_1" },
  thinking: { type: "adaptive" },
  output_config: { effort: "high" },
  context_management: { edits: [{ type: "clear_thinking_20251015", keep: "all" }] },
});

test("what is asked first: is anybody there, and which models are there", async () => {
  expect((await fetch(server.url, { method: "HEAD" })).status).toBe(200);
  const ids: string[] = [];
  for await (const { id } of client.models.list({ limit: 1000 })) ids.push(id);
  expect(ids).toEqual(["tiny-chat"]);
});

test("turns differ in the header alone: the same prompt, computed once", async () => {
  const { max_tokens: _, metadata: __, ...prompt } = ask("a", capital.question);
  const { input_tokens } = await client.beta.messages.countTokens(prompt);
  const read: number[] = [];
  for (const header of ["a", "b"]) {
    const answer = await client.beta.messages.stream(ask(header, capital.question)).finalMessage();
    const { usage } = answer;
    expect(answer.content.at(-1)?.type).toBe("text");
    expect(usage.input_tokens + (usage.cache_read_input_tokens ?? 0)).toBe(input_tokens);
    read.push(usage.cache_read_input_tokens ?? 0);
  }
  expect(read[0]).toBe(0);
  expect(read[1]).toBeGreaterThan(input_tokens / 2);
});

test("a call and its result, beside what is said before it", async () => {
  const first = ask("c", weather.question);
  const tool_choice = { type: "tool" as const, name: "Bash" };
  // As at Anthropic, there is no thinking beside a forced call.
  const forced = await client.beta.messages.create({ ...first, max_tokens: 400, thinking: { type: "disabled" }, tool_choice });
  const call = forced.content.find((block) => block.type === "tool_use");
  if (!call) throw new Error("there is no call");
  expect(call.name).toBe("Bash");
  const result = { type: "tool_result" as const, tool_use_id: call.id, content: "21 degrees", cache_control: ephemeral };
  const messages = [...first.messages, { role: "assistant" as const, content: forced.content }];
  const last = { role: "user" as const, content: [result, { type: "text" as const, text: "Go on." }] };
  const answer = await client.beta.messages.stream({ ...first, messages: [...messages, last] }).finalMessage();
  expect(["end_turn", "tool_use"]).toContain(answer.stop_reason ?? "");
});
