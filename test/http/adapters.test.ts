import { expect, test } from "bun:test";
import * as v from "valibot";
import { ErrorBody } from "../../src/http/fields.ts";
import { Model, ModelList } from "../../src/http/models/model.ts";
import { createClient, readEvents } from "./client.ts";
import { ImitationServer } from "./imitation-server.ts";

function createAdapted(id = "org/base:4bit", acceptAnyModel = false) {
  const server = new ImitationServer();
  server.model = { ...server.model, id, aliases: ["default", "base:4bit"], adapters: ["chef", "4bit"] };
  return createClient({ acceptAnyModel }, server);
}

const choices: [name: string | null | undefined, adapter: string | null, shown: string][] = [
  [undefined, null, "org/base:4bit"],
  [null, null, "org/base:4bit"],
  ["default", null, "org/base:4bit"],
  // The model's own names go before what they could mean otherwise.
  ["base:4bit", null, "org/base:4bit"],
  ["chef", "chef", "chef"],
  ["default:chef", "chef", "chef"],
  ["org/base:4bit:chef", "chef", "chef"],
  ["base:4bit:4bit", "4bit", "4bit"],
  ["4bit", "4bit", "4bit"],
];

test.each(choices)("model %p is adapter %p", async (model, adapter, shown) => {
  const { chat, complete, server } = createAdapted();
  for (const ask of [chat, complete]) {
    const response = await ask({ model, n: 2 });
    expect(await response.json()).toMatchObject({ model: shown });
    expect(server.submitted.splice(0).map(({ request }) => request.adapter)).toEqual([adapter, adapter]);
    const stream = readEvents(await (await ask({ model, stream: true })).text());
    expect(stream.chunks.every((chunk) => chunk.model === shown)).toBe(true);
    expect(server.submitted.splice(0).map(({ request }) => request.adapter)).toEqual([adapter]);
  }
});

test("the list has the model first, then its adapters, and each can be asked for", async () => {
  const { send } = createAdapted();
  const { data } = v.parse(ModelList, await (await send("/v1/models")).json());
  expect(data.map(({ id, parent }) => [id, parent])).toEqual([
    ["org/base:4bit", undefined],
    ["chef", "org/base:4bit"],
    ["4bit", "org/base:4bit"],
  ]);
  for (const name of ["chef", "default:chef", "org/base:4bit:chef", "org%2Fbase%3A4bit%3Achef"]) {
    const response = await send(`/v1/models/${name}`);
    expect(response.status).toBe(200);
    expect(v.parse(Model, await response.json())).toEqual(data[1]!);
  }
});

test("an unknown name is 404 and told what there is", async () => {
  const { chat, complete, send, server } = createAdapted();
  for (const name of ["baker", "default:baker", "other:chef", ":chef", "chef:", "chef:chef", "CHEF"]) {
    for (const response of [await chat({ model: name }), await complete({ model: name }), await send(`/v1/models/${name}`)]) {
      expect(response.status).toBe(404);
      const { error } = v.parse(ErrorBody, await response.json());
      expect(error).toMatchObject({ code: "model_not_found", param: "model" });
      for (const served of ["'org/base:4bit'", "'default'", "'chef'", "'4bit'"]) expect(error.message).toContain(served);
    }
  }
  expect(server.submitted).toEqual([]);
});

test("where any name is taken, those of adapters still choose them", async () => {
  const { chat, server } = createAdapted("tiny-chat", true);
  for (const [name, model] of [
    ["gpt-4", "tiny-chat"],
    ["gpt-4:chef", "tiny-chat"],
    ["chef", "chef"],
  ]) {
    expect(await (await chat({ model: name })).json()).toMatchObject({ model });
  }
  expect(server.submitted.map(({ request }) => request.adapter)).toEqual([null, null, "chef"]);
});
