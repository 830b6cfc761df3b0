/** Every parameter of chat and text completions does what it says on the binary. What is refused: `test/http/refusals.test.ts`. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readEvents } from "../http/client.ts";
import { say } from "./ask.ts";
import { type Served, startServer } from "./serve.ts";

interface Answer {
  choices: { message?: { content: string }; text?: string; finish_reason: string; logprobs: unknown }[];
  usage: { prompt_tokens: number; completion_tokens: number; completion_tokens_details: { reasoning_tokens: number } };
  timings: Record<"cache_n" | "prompt_n" | "prompt_per_second" | "predicted_n" | "predicted_per_second", number>;
}

let server: Served;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.stop());

async function post(path: string, body: object): Promise<Answer> {
  const response = await fetch(server.url + path, { method: "POST", body: JSON.stringify(body) });
  expect(response.status, await response.clone().text()).toBe(200);
  return (await response.json()) as Answer;
}

const textOf = ({ choices: [choice] }: Answer) => choice?.message?.content ?? choice?.text ?? "";

const routes = {
  chat: ["/v1/chat/completions", { messages: say("Tell me a story."), max_tokens: 24 }],
  completions: ["/v1/completions", { prompt: "Once upon a time", max_tokens: 24 }],
} as const;

for (const [name, [path, base]] of Object.entries(routes)) {
  describe(name, () => {
    const ask = (extra: object) => post(path, { ...base, temperature: 0, ...extra });
    const draw = (extra: object) => ask({ temperature: 1, seed: 3, ...extra });

    test("a seed repeats itself, another one does not", async () => {
      const text = textOf(await draw({}));
      expect(textOf(await draw({}))).toBe(text);
      expect(textOf(await draw({ seed: 4 }))).not.toBe(text);
    });

    const filters = {
      "top_p of almost nothing": { top_p: 1e-6 },
      top_k: { top_k: 1 },
      min_p: { min_p: 1 },
      top_n_sigma: { top_n_sigma: 1e-6 },
    };
    test.each(Object.entries(filters))("%s leaves the likeliest token", async (_, filter) => {
      expect(textOf(await draw(filter))).toBe(textOf(await ask({})));
    });

    const changes = {
      typical_p: { typical_p: 0.1 },
      XTC: { xtc_probability: 1, xtc_threshold: 0.01 },
      temperature: { temperature: 0.01 },
    };
    test.each(Object.entries(changes))("%s changes what is drawn", async (_, change) => {
      expect(textOf(await draw(change))).not.toBe(textOf(await draw({})));
    });

    test("penalties", async () => {
      const again = { max_tokens: 200, ignore_eos: true };
      const text = textOf(await ask(again));
      const penalties = [
        { repetition_penalty: 1.5 },
        { presence_penalty: 2 },
        { frequency_penalty: 2 },
        { dry_multiplier: 9, dry_allowed_length: 1 },
      ];
      for (const penalty of penalties)
        expect(textOf(await ask({ ...again, ...penalty })), JSON.stringify(penalty)).not.toBe(text);
    });

    test("logit_bias", async () => {
      expect(textOf(await ask({ logit_bias: { "10": 100 }, max_tokens: 4 }))).toBe("++++");
    });

    test("stop strings and ids", async () => {
      const text = textOf(await ask({}));
      const [first = "", second = ""] = text.trim().split(" ");
      const stopped = await ask({ stop: [...Array(15).fill("#"), second] });
      expect(textOf(stopped).trim()).toBe(first);
      expect(stopped.choices[0]?.finish_reason).toBe("stop");
      const { tokens } = (await post("/tokenize", { text: ` ${second}`, add_special_tokens: false })) as unknown as {
        tokens: number[];
      };
      expect(textOf(await ask({ stop_token_ids: tokens.slice(0, 1) })).trim()).toBe(first);
    });

    test("max_tokens of 0 computes nothing", async () => {
      const { choices, usage } = await ask({ max_tokens: 0 });
      expect(choices).toMatchObject([{ finish_reason: "length" }]);
      expect(usage.completion_tokens).toBe(0);
    });

    test("n: several choices of one prompt", async () => {
      const one = await draw({});
      const { choices, usage } = await draw({ n: 16 });
      expect(choices).toHaveLength(16);
      expect(new Set(choices.map((choice) => choice.text ?? choice.message?.content)).size).toBeGreaterThan(10);
      expect(usage.prompt_tokens).toBe(one.usage.prompt_tokens);
    });

    test("timings agree with usage", async () => {
      const { usage, timings } = await ask({});
      expect(timings.cache_n + timings.prompt_n).toBe(usage.prompt_tokens);
      expect(timings.predicted_n).toBe(usage.completion_tokens);
      expect(Math.min(timings.prompt_per_second, timings.predicted_per_second)).toBeGreaterThan(0);
    });

    test("log-probabilities are the same streamed", async () => {
      const wanted = name === "chat" ? { logprobs: true, top_logprobs: 20 } : { logprobs: 20 };
      const whole = (await ask(wanted)).choices[0]?.logprobs as Record<string, unknown[]>;
      const body = JSON.stringify({ ...base, temperature: 0, ...wanted, stream: true });
      const { chunks } = readEvents(await (await fetch(server.url + path, { method: "POST", body })).text());
      const key = name === "chat" ? "content" : "top_logprobs";
      const parts = (chunks as unknown as Answer[]).flatMap(({ choices: [choice] }) => {
        return (choice?.logprobs as Record<string, unknown[]> | null)?.[key] ?? [];
      });
      expect(parts).toHaveLength(24);
      // Equal but for the last digits: the answers may have been computed in other batches.
      const tokensOf = (list: unknown[] | undefined) => JSON.stringify(list).replace(/-?\d+\.\d+(e-\d+)?/g, "#");
      expect(tokensOf(parts)).toBe(tokensOf(whole?.[key]));
    });
  });
}

describe("ends", () => {
  const question = { messages: say("What is the capital of France?"), temperature: 0, max_tokens: 30 };
  const ask = (extra: object) => post("/v1/chat/completions", { ...question, ...extra });

  test("ignore_eos goes on, min_tokens holds the end off", async () => {
    const { usage } = await ask({});
    expect(usage.completion_tokens).toBeLessThan(15);
    expect((await ask({ ignore_eos: true })).usage.completion_tokens).toBe(30);
    expect((await ask({ min_tokens: 20, stop: "Paris" })).usage.completion_tokens).toBeGreaterThanOrEqual(20);
  });

  test("max_completion_tokens wins over max_tokens", async () => {
    expect((await ask({ max_completion_tokens: 2 })).usage.completion_tokens).toBe(2);
  });

  test("reasoning is counted, limited and switched off", async () => {
    const thinking = { messages: say("What is 2 + 2?"), enable_thinking: true };
    const tokens = async (extra: object) =>
      (await ask({ ...thinking, ...extra })).usage.completion_tokens_details.reasoning_tokens;
    const free = await tokens({});
    expect(free).toBeGreaterThan(4);
    expect(await tokens({ thinking_budget: 3 })).toBeLessThan(free);
    expect(await tokens({ enable_thinking: false })).toBe(0);
  });
});

describe("prompts", () => {
  const ask = (extra: object) => post("/v1/completions", { temperature: 0, max_tokens: 8, ...extra });

  test("text and its ids are the same, alone and in lists", async () => {
    const texts = ["Once upon a time", "The sun"];
    const ids = await Promise.all(
      texts.map(async (text) => ((await post("/tokenize", { prompt: text })) as unknown as { tokens: number[] }).tokens),
    );
    const alone = await Promise.all(texts.map(async (prompt) => textOf(await ask({ prompt }))));
    expect(textOf(await ask({ prompt: ids[0] }))).toBe(alone[0]!);
    for (const prompt of [texts, ids]) expect((await ask({ prompt })).choices.map(({ text }) => text)).toEqual(alone);
  });

  test("echo puts the prompt before the output", async () => {
    const prompt = "The sun";
    const text = textOf(await ask({ prompt }));
    expect(textOf(await ask({ prompt, echo: true }))).toBe(prompt + text);
    expect(textOf(await ask({ prompt, echo: true, max_tokens: 0 }))).toBe(prompt);
  });
});
