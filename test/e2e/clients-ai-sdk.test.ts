/** Vercel's AI SDK by way of its OpenAI-compatible and its Anthropic provider. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embedMany, generateText, isStepCount, type LanguageModel, Output, streamText, tool } from "ai";
import { z } from "zod";
import { capital, expectAbort, greeting, person, sum, weather } from "./scenario.ts";
import { type Served, startServer } from "./serve.ts";

const embedded = join(import.meta.dir, "../../src/assets/tiny-chat");

let directory = "";
let server: Served;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "mlx-cb-greedy-"));
  server = await startServer(["--model", linkGreedy(join(directory, "tiny-chat")), "--pooling", "mean"]);
});
afterAll(async () => {
  await server.stop();
  rmSync(directory, { recursive: true });
});

/** The embedded model, greedy by default: beside thinking, Anthropic's provider sends no temperature, and chance may leave thoughts out. */
function linkGreedy(target: string): string {
  mkdirSync(target);
  const changed = "generation_config.json";
  for (const file of readdirSync(embedded)) {
    if (file !== changed) symlinkSync(join(embedded, file), join(target, file));
  }
  const config = JSON.parse(readFileSync(join(embedded, changed), "utf8")) as object;
  writeFileSync(join(target, changed), JSON.stringify({ ...config, do_sample: false }));
  return target;
}

const Person = z.object({ name: z.string(), age: z.number().int(), city: z.string() });

const compatible = () =>
  createOpenAICompatible({ name: "mlx", baseURL: `${server.url}/v1`, includeUsage: true, supportsStructuredOutputs: true });
const anthropic = () => createAnthropic({ baseURL: `${server.url}/v1`, apiKey: "any" });

/** How each provider is told to let the model think. */
interface Provider {
  model: () => LanguageModel;
  thinking: Parameters<typeof generateText>[0]["providerOptions"];
}

const providers: Record<string, Provider> = {
  "@ai-sdk/openai-compatible": {
    model: () => compatible().chatModel("tiny-chat"),
    thinking: { mlx: { enable_thinking: true } },
  },
  "@ai-sdk/anthropic": {
    model: () => anthropic().messages("tiny-chat"),
    thinking: { anthropic: { thinking: { type: "enabled", budgetTokens: 1024 } } },
  },
};

for (const [name, { model, thinking }] of Object.entries(providers)) {
  describe(name, () => {
    const settings = () => ({ model: model(), temperature: 0, maxRetries: 0, maxOutputTokens: 200 });

    test("chat", async () => {
      const answer = await generateText({ ...settings(), prompt: capital.question });
      expect(answer.text).toBe(capital.answer);
      expect(answer.finishReason).toBe("stop");
      expect(answer.usage.outputTokens).toBe(10);
    });

    test("stream", async () => {
      const answer = streamText({ ...settings(), prompt: "Hello!" });
      let text = "";
      for await (const piece of answer.textStream) text += piece;
      expect(text).toBe(greeting);
      expect((await answer.usage).inputTokens).toBeGreaterThan(5);
    });

    test("tools, there and back, whole and streamed", async () => {
      const asked: unknown[] = [];
      const { description } = weather;
      const unit = z.enum(["celsius", "fahrenheit"]).optional();
      const execute = async (input: unknown) => {
        asked.push(input);
        return weather.result;
      };
      const inputSchema = z.object({ city: z.string().describe("The city."), unit });
      const request = {
        ...settings(),
        prompt: weather.question,
        tools: { [weather.name]: tool({ description, inputSchema, execute }) },
        stopWhen: isStepCount(3),
      };
      const whole = await generateText(request);
      expect(whole.steps).toHaveLength(2);
      expect(whole.text).toBe(weather.answer);
      expect(await streamText(request).text).toBe(weather.answer);
      expect(asked).toEqual([weather.arguments, weather.arguments]);
    });

    test("structured output, whole and streamed", async () => {
      const request = { ...settings(), prompt: person, output: Output.object({ schema: Person }) };
      const maria = { name: "Maria", age: 34, city: "Oslo" };
      expect((await generateText(request)).output).toEqual(maria);
      const { partialOutputStream } = streamText(request);
      let last: unknown;
      for await (const partial of partialOutputStream) last = partial;
      expect(last).toEqual(maria);
    });

    test("reasoning, whole and streamed", async () => {
      const request = { ...settings(), temperature: undefined, maxOutputTokens: 2000, prompt: sum, providerOptions: thinking };
      const whole = await generateText(request);
      expect(whole.reasoningText?.length).toBeGreaterThan(0);
      expect(whole.text).not.toContain("think>");
      const kinds = new Set<string>();
      for await (const part of streamText(request).stream) kinds.add(part.type);
      expect(kinds).toContain("reasoning-delta");
      expect(kinds).toContain("text-delta");
    });

    test("errors", async () => {
      const failed: unknown = await generateText({ ...settings(), prompt: "word ".repeat(6000) }).catch(
        (error: unknown) => error,
      );
      if (!APICallError.isInstance(failed)) throw failed;
      expect(failed.statusCode).toBe(400);
      expect(failed.message).toMatch(/context length|too long/);
    });

    test("abort", async () => {
      const providerOptions = { mlx: { ignore_eos: true } };
      const request = { ...settings(), maxOutputTokens: 3000, prompt: "Count from 1 to 60.", providerOptions };
      await expectAbort(server, async (abortSignal) => streamText({ ...request, abortSignal }).textStream);
    });
  });
}

test("embeddings", async () => {
  const model = compatible().embeddingModel("tiny-chat");
  const { embeddings } = await embedMany({ model, values: ["one", "two", "three"] });
  expect(embeddings.map((embedding) => embedding.length)).toEqual([192, 192, 192]);
});
