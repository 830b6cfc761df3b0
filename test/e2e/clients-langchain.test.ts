/** LangChain's ChatOpenAI. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { z } from "zod";
import { capital, expectAbort, greeting, person, sum, weather, weatherTool } from "./scenario.ts";
import { type Served, startServer } from "./serve.ts";

let server: Served;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.stop());

function createModel(fields: ConstructorParameters<typeof ChatOpenAI>[0] = {}) {
  const configuration = { baseURL: `${server.url}/v1` };
  return new ChatOpenAI({ model: "tiny-chat", apiKey: "any", temperature: 0, maxRetries: 0, configuration, ...fields });
}

test("chat, one and many at once", async () => {
  const answer = await createModel().invoke(capital.question);
  expect(answer.content).toBe(capital.answer);
  expect(answer.usage_metadata).toMatchObject({ input_tokens: 21, output_tokens: 10 });
  const answers = await createModel().batch(Array<string>(8).fill(capital.question));
  expect(answers.map(({ content }) => content)).toEqual(Array<string>(8).fill(capital.answer));
});

test("stream", async () => {
  let text = "";
  for await (const chunk of await createModel().stream("Hello!")) text += chunk.content as string;
  expect(text).toBe(greeting);
});

test("tools, there and back", async () => {
  const model = createModel().bindTools([weatherTool]);
  const question = new HumanMessage(weather.question);
  const asked = await model.invoke([question]);
  const [call] = asked.tool_calls ?? [];
  expect([call?.name, call?.args]).toEqual([weather.name, weather.arguments]);
  const result = new ToolMessage({ content: JSON.stringify(weather.result), tool_call_id: call?.id ?? "" });
  expect((await model.invoke([question, asked, result])).content).toBe(weather.answer);
});

test("structured output, by schema and by function", async () => {
  const Person = z.object({ name: z.string(), age: z.number().int(), city: z.string() });
  const maria = { name: "Maria", age: 34, city: "Oslo" };
  expect(await createModel().withStructuredOutput(Person, { method: "jsonSchema" }).invoke(person)).toEqual(maria);
  const byFunction = createModel({ maxTokens: 300 }).withStructuredOutput(Person, { method: "functionCalling" });
  expect(Person.safeParse(await byFunction.invoke(person)).success).toBe(true);
});

test("reasoning: counted, and not in the text", async () => {
  const modelKwargs = { chat_template_kwargs: { enable_thinking: true } };
  const answer = await createModel({ modelKwargs }).invoke(sum);
  expect(answer.content).toMatch(/^17 \+ 25 = /);
  expect(answer.usage_metadata?.output_token_details?.reasoning).toBeGreaterThan(5);
});

test("the Responses API", async () => {
  const answer = await createModel({ useResponsesApi: true }).invoke(capital.question);
  expect(answer.text).toBe(capital.answer);
});

test("embeddings", async () => {
  const configuration = { baseURL: `${server.url}/v1` };
  const embeddings = new OpenAIEmbeddings({ model: "tiny-chat", apiKey: "any", configuration });
  expect((await embeddings.embedDocuments(["one", "two"])).map(({ length }) => length)).toEqual([192, 192]);
});

test("errors", async () => {
  const failed: unknown = await createModel({ temperature: 9 })
    .invoke("Hello!")
    .catch((error: unknown) => error);
  expect(failed).toMatchObject({ status: 400, param: "temperature" });
});

test("abort", async () => {
  const model = createModel({ modelKwargs: { ignore_eos: true } });
  await expectAbort(server, (signal) => model.stream("Tell me a story.", { signal }));
});
