/** What every client is asked to do, in words that the embedded model was trained on. */
import { expect } from "bun:test";
import { say } from "./ask.ts";
import { isIdle, type Served, until } from "./serve.ts";

export const greeting = "Hello! I am a tiny demo model built into this server, made for trying out the API. How can I help you?";

export const capital = { question: "What is the capital of France?", answer: "The capital of France is Paris." };

/** A question that needs a tool, what the tool says, and what the model makes of that. */
export const weather = {
  question: "What is the weather in Paris?",
  name: "get_weather",
  description: "Get the current weather for a city.",
  parameters: {
    type: "object",
    properties: {
      city: { type: "string", description: "The city." },
      unit: { type: "string", enum: ["celsius", "fahrenheit"] },
    },
    required: ["city"],
  },
  arguments: { city: "Paris" },
  result: { temperature: 21, condition: "sunny" },
  answer: "It is 21 degrees and sunny in Paris.",
};

export const weatherTool = {
  type: "function" as const,
  function: { name: weather.name, description: weather.description, parameters: weather.parameters },
};

/** A question that is thought about, and one whose answer is JSON. */
export const sum = "What is 17 + 25?";
export const person = "Give me a JSON object for a person named Maria aged 34 living in Oslo.";

/** A client's stream is broken off after some pieces; then nothing runs any more. */
export async function expectAbort(
  server: Served,
  stream: (signal: AbortSignal) => Promise<AsyncIterable<unknown>>,
): Promise<void> {
  const controller = new AbortController();
  let pieces = 0;
  const read = async () => {
    for await (const _ of await stream(controller.signal)) if (++pieces === 5) controller.abort();
  };
  await read().catch((error: unknown) => expect(String(error)).toMatch(/abort/i));
  expect(pieces).toBeGreaterThanOrEqual(5);
  expect(pieces).toBeLessThan(1000);
  await until(server, isIdle);
}

export const story = say("Tell me a story.");
