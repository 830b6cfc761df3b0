import { expect, test } from "bun:test";
import * as v from "valibot";
import type { ModelSummary } from "../../src/engine/request.ts";
import { Model, ModelList } from "../../src/http/models/model.ts";
import { createClient } from "./client.ts";

const summary: ModelSummary = {
  architecture: "gemma3",
  dtype: "bfloat16",
  parameters: 4_300_000_000,
  bitsPerWeight: 4.5,
  weightBytes: 2_400_000_000,
  quantization: [{ mode: "affine", bits: 4, groupSize: 64, share: 0.99 }],
  contextLength: 131_072,
  maxContext: 65_536,
  kvBytesPerToken: 4096,
  stateBytesPerSequence: 1_000_000,
  caches: [
    { kind: "window", count: 29 },
    { kind: "full", count: 5 },
  ],
};

test("a single model is described in detail, a list and an adapter are not", async () => {
  const { send, server } = createClient();
  Object.assign(server, { model: { ...server.model, summary, adapters: ["chef"] } });
  const { details } = v.parse(Model, await (await send(`/v1/models/${server.model.id}`)).json());
  expect(details).toEqual({
    dtype: "bfloat16",
    parameters: 4_300_000_000,
    bits_per_weight: 4.5,
    weight_bytes: 2_400_000_000,
    quantization: [{ mode: "affine", bits: 4, group_size: 64, share: 0.99 }],
    max_context: 65_536,
    kv_bytes_per_token: 4096,
    state_bytes_per_sequence: 1_000_000,
    caches: [
      { kind: "window", count: 29 },
      { kind: "full", count: 5 },
    ],
  });
  for (const model of v.parse(ModelList, await (await send("/v1/models")).json()).data)
    expect(model).not.toHaveProperty("details");
  expect(v.parse(Model, await (await send("/v1/models/chef")).json())).not.toHaveProperty("details");
});
