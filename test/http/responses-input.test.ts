import { describe, expect, test } from "bun:test";
import { InvalidRequest } from "../../src/errors.ts";
import { ImitationServer } from "./imitation-server.ts";
import { createResponder, readRefusal, readWhole } from "./responses-client.ts";

const user = (content: string) => ({ role: "user", content });
const said = (content: string) => ({ role: "assistant", content });
const thought = (text: string) => ({ type: "reasoning", summary: [], content: [{ type: "reasoning_text", text }] });
const call = (id: string) => ({ type: "function_call", call_id: id, name: "now", arguments: '{"a": 1}' });
const output = (id: string, text: string) => ({ type: "function_call_output", call_id: id, output: text });
const calls = (...ids: string[]) => ids.map((id) => ({ id, type: "function", function: { name: "now", arguments: { a: 1 } } }));
const thinks = (text: string) => ({ reasoning_content: text, reasoning: text });

async function render(input: unknown, rest: object = {}) {
  const { ask, server } = createResponder();
  await readWhole(await ask({ input, ...rest }));
  return server.rendered[0]?.messages as unknown;
}

describe("items become the messages of a chat", () => {
  test("a text is the user's", async () => {
    expect(await render("hi")).toEqual([user("hi")]);
  });

  test("what the model is told first is one message", async () => {
    const system = [
      { role: "system", content: "B" },
      { type: "message", role: "developer", content: [{ type: "input_text", text: "C" }] },
    ];
    expect(await render([...system, user("hi"), { role: "developer", content: "D" }], { instructions: "A" })).toEqual([
      { role: "system", content: "A\n\nB\n\nC" },
      user("hi"),
      { role: "system", content: "D" },
    ]);
  });

  test("reasoning, text and calls of one answer are one message, before their outputs", async () => {
    const input = [
      user("hi"),
      thought("Hm."),
      said("Let me look."),
      call("a"),
      call("b"),
      said("Wait."),
      output("b", "2"),
      output("a", "1"),
    ];
    expect(await render(input)).toEqual([
      user("hi"),
      { role: "assistant", content: "Let me look.Wait.", tool_calls: calls("a", "b"), ...thinks("Hm.") },
      { role: "tool", tool_call_id: "b", content: "2", name: "now" },
      { role: "tool", tool_call_id: "a", content: "1", name: "now" },
    ]);
  });

  test("reasoning begins another answer, and so does text after text", async () => {
    const input = [user("hi"), thought("A"), call("a"), thought("B"), said("b"), said("c")];
    expect(await render(input)).toEqual([
      user("hi"),
      { role: "assistant", content: "", tool_calls: calls("a"), ...thinks("A") },
      { ...said("b"), ...thinks("B") },
      said("c"),
    ]);
  });

  test("parts are joined, refusals are text, summaries and encoded reasoning are reasoning", async () => {
    const { ask, server } = createResponder({ template: "<think>", begun: "<think>" });
    server.scripts = [[{ text: "Deep.</think>Yes", tokens: [{ id: 1 }], finishReason: "stop" }]];
    const body = { input: "hi", include: ["reasoning.encrypted_content"] };
    const [encoded] = (await readWhole(await ask(body))).output;
    expect(encoded).toMatchObject({ content: [{ text: "Deep." }] });
    const opaque = encoded?.type === "reasoning" ? encoded.encrypted_content : "";
    const input = [
      {
        role: "user",
        content: [
          { type: "input_text", text: "a" },
          { type: "input_text", text: "b" },
        ],
      },
      { type: "reasoning", summary: [], encrypted_content: opaque },
      {
        role: "assistant",
        content: [
          { type: "output_text", text: "c" },
          { type: "refusal", refusal: "d" },
        ],
      },
      user("e"),
      { type: "reasoning", summary: [{ type: "summary_text", text: "Short." }], content: null, encrypted_content: "foreign" },
      said("f"),
    ];
    await readWhole(await ask({ input }));
    expect(server.rendered[1]?.messages as unknown).toEqual([
      user("ab"),
      { ...said("cd"), ...thinks("Deep.") },
      user("e"),
      { ...said("f"), ...thinks("Short.") },
    ]);
  });
});

describe("truncation", () => {
  /** One token a byte, 100 of them; a quarter is left for the answer. */
  function createSmall() {
    const server = new ImitationServer();
    const responder = createResponder();
    responder.server.model = { ...server.model, contextLength: 100 };
    return responder;
  }
  const last = ({ server }: ReturnType<typeof createSmall>) => server.rendered.at(-1)?.messages.map(({ content }) => content);
  const long = (letter: string) => letter.repeat(14);

  test("leaves out the oldest turns, never what the model is told, and keeps all of it stored", async () => {
    const responder = createSmall();
    const input = [
      { role: "system", content: "S" },
      user(long("a")),
      said(long("b")),
      user(long("c")),
      said(long("d")),
      user(long("e")),
    ];
    const response = await readWhole(await responder.ask({ input, truncation: "auto" }));
    expect(response.truncation).toBe("auto");
    // The system's 9 tokens, two of the user's turns of 20, and one of the assistant's of 25.
    expect(last(responder)).toEqual(["S", long("c"), long("d"), long("e")]);
    expect(response.usage!.input_tokens).toBe(74);
    const items = await (await responder.send(`/v1/responses/${response.id}/input_items`)).json();
    expect((items as { data: unknown[] }).data).toHaveLength(6);
  });

  test("does nothing where all fits, and is not done unasked", async () => {
    const responder = createSmall();
    await readWhole(await responder.ask({ input: [user("a"), said("b"), user("c")], truncation: "auto" }));
    expect(last(responder)).toEqual(["a", "b", "c"]);
    const input = [user(long("a").repeat(7)), user("b")];
    for (const truncation of ["disabled", null]) {
      const refused = await responder.ask({ input, truncation });
      expect(await refused.json()).toMatchObject({ error: { code: "context_length_exceeded", param: "input" } });
    }
  });

  test("leaves out outputs with their calls", async () => {
    const responder = createSmall();
    const input = [user("q"), call("a"), output("a", long("a").repeat(3)), call("b"), output("b", long("b")), user("r")];
    await readWhole(await responder.ask({ input, truncation: "auto" }));
    const roles = responder.server.rendered.at(-1)!.messages.map(({ role }) => role);
    expect(roles).toEqual(["assistant", "tool", "user"]);
  });

  test("tries the next turn where the template refuses a beginning", async () => {
    const responder = createSmall();
    const { renderChat } = responder.server;
    responder.server.renderChat = (messages, options) => {
      if (messages[0]?.role !== "user") throw new InvalidRequest("The conversation must begin with the user.");
      return renderChat.call(responder.server, messages, options);
    };
    const input = [user(long("a").repeat(5)), said("b"), user("c")];
    await readWhole(await responder.ask({ input, truncation: "auto" }));
    expect(last(responder)).toEqual(["c"]);
  });

  test("refuses what is too long by itself", async () => {
    const responder = createSmall();
    const refused = await responder.ask({ input: [user("a"), user(long("b").repeat(8))], truncation: "auto" });
    expect(await readRefusal(refused)).toEqual([400, "input"]);
    expect(responder.server.submitted).toHaveLength(0);
  });
});
