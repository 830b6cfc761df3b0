import { describe, expect, test } from "bun:test";
import * as v from "valibot";
import { ItemList } from "../../src/http/responses/model.ts";
import { script } from "./imitation-server.ts";
import { checkPublished, createResponder, readRefusal, readWhole } from "./responses-client.ts";

type Responder = ReturnType<typeof createResponder>;
const user = (content: string) => ({ role: "user", content });

const answer = async ({ ask }: Responder, body: object, headers?: Record<string, string>) => readWhole(await ask(body, headers));
const lastMessages = ({ server }: Responder) =>
  server.rendered.at(-1)?.messages.map(({ role, content }) => `${role}: ${String(content)}`);

async function listInput({ send }: Responder, id: string, query = "") {
  const response = await send(`/v1/responses/${id}/input_items${query}`);
  const body: unknown = await response.json();
  checkPublished("ResponseItemList", body);
  return v.parse(ItemList, body);
}

describe("previous_response_id", () => {
  test("puts what was said before the input, its instructions not", async () => {
    const responder = createResponder();
    const first = await answer(responder, { input: "one", instructions: "Be brief." });
    const second = await answer(responder, { input: [user("two")], previous_response_id: first.id });
    expect(second).toMatchObject({ previous_response_id: first.id, instructions: null });
    expect(lastMessages(responder)).toEqual(["user: one", "assistant: Hello world", "user: two"]);
    await answer(responder, { input: "three", previous_response_id: second.id, instructions: "Be long." });
    expect(lastMessages(responder)).toEqual([
      "system: Be long.",
      ...["user: one", "assistant: Hello world", "user: two", "assistant: Hello world", "user: three"],
    ]);
  });

  test("needs no input, branches, and outlives the deletion of what it goes on from", async () => {
    const responder = createResponder();
    const first = await answer(responder, { input: "one" });
    const second = await answer(responder, { input: "two", previous_response_id: first.id });
    await answer(responder, { previous_response_id: first.id });
    expect(lastMessages(responder)).toEqual(["user: one", "assistant: Hello world"]);
    await responder.send(`/v1/responses/${first.id}`, { method: "DELETE" });
    expect(await readRefusal(await responder.ask({ input: "a", previous_response_id: first.id }))).toEqual([
      400,
      "previous_response_id",
    ]);
    await answer(responder, { input: "three", previous_response_id: second.id });
    expect(lastMessages(responder)).toHaveLength(5);
  });

  test("finds no response that was not to be stored, nor somebody else's", async () => {
    const responder = createResponder({ options: { apiKeys: ["a", "b"] } });
    const [mine, theirs] = ["a", "b"].map((key) => ({ authorization: `Bearer ${key}` }));
    const unstored = await answer(responder, { input: "one", store: false }, mine);
    expect(unstored.store).toBe(false);
    const stored = await answer(responder, { input: "one" }, mine);
    const [item] = stored.output;
    for (const [id, headers] of [
      [unstored.id, mine],
      [stored.id, theirs],
    ] as const) {
      expect(await readRefusal(await responder.ask({ input: "a", previous_response_id: id }, headers))).toEqual([
        400,
        "previous_response_id",
      ]);
      for (const [path, method] of [
        ["", "GET"],
        ["", "DELETE"],
        ["/input_items", "GET"],
        ["/cancel", "POST"],
      ] as const) {
        expect((await responder.send(`/v1/responses/${id}${path}`, { method, headers })).status).toBe(404);
      }
    }
    const reference = { input: [{ type: "item_reference", id: item!.id }, user("two")] };
    expect(await readRefusal(await responder.ask(reference, theirs))).toEqual([400, "input.0.id"]);
    await answer(responder, reference, mine);
    expect(lastMessages(responder)).toEqual(["assistant: Hello world", "user: two"]);
  });
});

test("references stand for items of stored responses, whether given or answered", async () => {
  const responder = createResponder();
  const first = await answer(responder, { input: [{ ...user("one"), id: "msg_own" }] });
  const references = ["msg_own", first.output[0]!.id].map((id) => ({ type: "item_reference", id }));
  const second = await answer(responder, { input: [...references, user("two")] });
  expect(lastMessages(responder)).toEqual(["user: one", "assistant: Hello world", "user: two"]);
  // They are part of what uses them now.
  await responder.send(`/v1/responses/${first.id}`, { method: "DELETE" });
  expect((await listInput(responder, second.id, "?order=asc")).data.map(({ id }) => id).slice(0, 2)).toEqual([
    "msg_own",
    first.output[0]!.id,
  ]);
  await answer(responder, { input: [references[0], user("three")] });
  expect(lastMessages(responder)).toEqual(["user: one", "user: three"]);
});

test("input items: all that the model read, in pages, the newest first unless told", async () => {
  const responder = createResponder();
  const first = await answer(responder, { input: "one" });
  const input = [
    { role: "developer", content: [{ type: "input_text", text: "Be brief." }] },
    { type: "reasoning", id: "rs_1", summary: [], content: [{ type: "reasoning_text", text: "Hm." }] },
    { type: "message", role: "assistant", phase: "commentary", content: [{ type: "output_text", text: "Wait." }] },
    { type: "function_call", call_id: "call_1", name: "now", arguments: "{}" },
    { type: "function_call_output", call_id: "call_1", output: [{ type: "input_text", text: "noon" }] },
  ];
  const { id } = await answer(responder, { input, previous_response_id: first.id });
  const all = await listInput(responder, id, "?order=asc");
  expect(all.data.map(({ type }) => type)).toEqual([
    ...["message", "message", "message", "reasoning", "message", "function_call", "function_call_output"],
  ] as never);
  expect(all).toMatchObject({ has_more: false, first_id: all.data[0]!.id, last_id: all.data.at(-1)!.id });
  expect(all.data[4]).toMatchObject({ role: "assistant", phase: "commentary", status: "completed" });
  const page = await listInput(responder, id, `?limit=2&after=${all.data[5]!.id}`);
  expect(page.data).toEqual([all.data[4]!, all.data[3]!]);
  expect(page.has_more).toBe(true);
  const list = (query: string) => responder.send(`/v1/responses/${id}/input_items${query}`);
  for (const [query, param] of [
    ["?limit=0", "limit"],
    ["?limit=x", "limit"],
    ["?order=up", "order"],
    ["?after=msg_x", "after"],
  ]) {
    expect(await readRefusal(await list(query!))).toEqual([400, param!]);
  }
  const past = await list(`?after=${all.data[0]!.id}`);
  expect(await past.json()).toEqual({ object: "list", data: [], first_id: null, last_id: null, has_more: false });
});

describe("a stored response", () => {
  test("is what was answered, streamed or not, complete or not", async () => {
    const responder = createResponder({ steps: script(["Hel"], "length") });
    const whole = await answer(responder, { input: "hi" });
    const stored = await readWhole(await responder.send(`/v1/responses/${whole.id}`));
    expect(stored).toEqual(whole);
    const text = await (await responder.ask({ input: "hi", stream: true })).text();
    const { response } = JSON.parse(/"?data: (.*"type":"response.incomplete".*)/.exec(text)![1]!) as { response: { id: string } };
    expect(await readWhole(await responder.send(`/v1/responses/${response.id}`))).toEqual(response as never);
    expect(await readRefusal(await responder.send(`/v1/responses/${whole.id}?stream=true`))).toEqual([400, "stream"]);
  });

  test("tells the methods of its routes", async () => {
    const { send } = createResponder();
    const wrong = await send("/v1/responses/resp_1/input_items", { method: "POST" });
    expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "GET, OPTIONS"]);
    expect((await send("/v1/responses/resp_1/other")).status).toBe(404);
  });
});
