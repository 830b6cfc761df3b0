import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { InvalidRequest, StartupError } from "../../src/errors.ts";
import type { ContinuousBatchingServer } from "../../src/index.ts";
import { writeAdapter } from "../models/adapter-files.ts";
import { makeScratch } from "../models/model-directories.ts";
import { collect, GOLDEN, request, startServer, TINY_CHAT } from "./tiny-chat.ts";

const scratch = makeScratch();
let server: ContinuousBatchingServer;
/** mlx-lm's format and PEFT's, other modules, other ranks. */
let adapters: { name: string; path: string }[];

beforeAll(async () => {
  const chef = writeAdapter(join(scratch.path, "chef"), {
    format: "mlx",
    rank: 4,
    scale: 2,
    seed: 3,
    modules: { "model.layers.4.self_attn.q_proj": [192, 256], "model.layers.5.mlp.down_proj": [512, 192] },
  });
  const poet = writeAdapter(join(scratch.path, "poet"), {
    format: "peft",
    rank: 7,
    scale: 2,
    seed: 31,
    modules: { "model.layers.0.self_attn.v_proj": [192, 128], "model.layers.5.mlp.down_proj": [512, 192] },
  });
  adapters = [
    { name: "chef", path: chef },
    { name: "poet", path: poet },
  ];
  server = await startServer({ adapters, modelId: "tiny-chat", smallestSizeClass: 16 });
});

afterAll(async () => {
  await server.close();
  scratch.remove();
});

const prompts = GOLDEN.slice(0, 4).map(({ prompt_token_ids }) => prompt_token_ids);

function generate(prompt: readonly number[], adapter: string | null) {
  return server.submit({ ...request(prompt, { maxTokens: 24, ignoreEos: true, logprobs: 0 }), adapter });
}

/** Every prompt with each adapter and with none. */
const jobs = prompts.flatMap((prompt) => [null, "chef", "poet"].map((adapter) => ({ prompt, adapter })));

describe("adapters in the batch", () => {
  test("requests with different adapters and with none, all at once, are what each is alone", async () => {
    const alone = [];
    for (const { prompt, adapter } of jobs) alone.push(await collect(generate(prompt, adapter)));
    const together = await Promise.all(jobs.map(({ prompt, adapter }) => collect(generate(prompt, adapter))));
    for (const [i, answer] of together.entries()) {
      expect(answer.ids).toEqual(alone[i]!.ids);
      for (const [at, { logprob }] of answer.tokens.entries()) expect(logprob).toBeCloseTo(alone[i]!.tokens[at]!.logprob!, 3);
    }
    // Adapters that change nothing would pass as well.
    for (let i = 0; i < jobs.length; i += 3) {
      const [none, chef, poet] = [alone[i]!.ids, alone[i + 1]!.ids, alone[i + 2]!.ids];
      expect(chef).not.toEqual(none);
      expect(poet).not.toEqual(none);
      expect(poet).not.toEqual(chef);
    }
  });

  test("one that joins while another runs changes nothing for either", async () => {
    const [first, second] = [jobs[1]!, jobs[3]!];
    const alone = [await collect(generate(first.prompt, first.adapter)), await collect(generate(second.prompt, second.adapter))];
    const running = generate(first.prompt, first.adapter);
    const chunks = running[Symbol.asyncIterator]();
    const begin = await chunks.next();
    const joined = collect(generate(second.prompt, second.adapter));
    const ids = begin.value.tokens.map(({ id }: { id: number }) => id);
    for (let next = await chunks.next(); !next.done; next = await chunks.next())
      ids.push(...next.value.tokens.map(({ id }) => id));
    expect(ids).toEqual(alone[0]!.ids);
    expect((await joined).ids).toEqual(alone[1]!.ids);
  });

  test("without one the model is what it is without any loaded", async () => {
    for (const { prompt_token_ids, completion_token_ids } of GOLDEN.slice(0, 3)) {
      const { ids } = await collect(server.submit(request(prompt_token_ids, { maxTokens: completion_token_ids.length })));
      expect(ids).toEqual(completion_token_ids);
    }
  });

  test("the library's own request takes the name as well", async () => {
    const options = { prompt: prompts[0]!, maxTokens: 24, ignoreEos: true, temperature: 0 };
    const { ids } = await collect(await server.generate({ ...options, adapter: "poet" }));
    expect(ids).toEqual((await collect(generate(prompts[0]!, "poet"))).ids);
    expect((await collect(await server.generate(options))).ids).not.toEqual(ids);
  });
});

describe("names", () => {
  test("what is served says which there are", () => {
    expect(server.model.adapters).toEqual(["chef", "poet"]);
  });

  test("an unknown one is refused at once", () => {
    for (const name of ["baker", "", "toString", "tiny-chat:chef"]) {
      expect(() => generate(prompts[0]!, name)).toThrow(InvalidRequest);
    }
  });

  test("two of the same name, or the model's, are refused at the start", async () => {
    const [chef] = adapters;
    for (const list of [[chef!, chef!], [{ ...chef!, name: "default" }], [{ ...chef!, name: "tiny-chat" }]]) {
      await expect(startServer({ adapters: list }, TINY_CHAT)).rejects.toThrow(StartupError);
    }
  });

  test("an adapter that does not fit the model stops the start", async () => {
    const path = writeAdapter(join(scratch.path, "misfit"), {
      format: "mlx",
      rank: 2,
      scale: 1,
      seed: 1,
      modules: { "model.layers.0.self_attn.q_proj": [192, 255] },
    });
    await expect(startServer({ adapters: [{ name: "misfit", path }] })).rejects.toThrow("[2, 255], but must be [2, 256]");
  });
});
