import { expect, test } from "bun:test";
import { treaty } from "@elysiajs/eden";
import { createApp } from "../../src/http/app.ts";
import { ImitationServer } from "./imitation-server.ts";

test("the app's type reaches an Eden client", async () => {
  const api = treaty(createApp(new ImitationServer()));
  const answer = await api.v1.chat.completions.post({ messages: [{ role: "user", content: "hi" }] });
  const content: string | null | undefined = answer.data?.choices[0]?.message.content;
  expect(content).toBe("Hello world");
  const health = await api.health.get();
  const tps: string | undefined = health.data?.stats.generation_tps;
  expect(tps).toBe("145.2");
  const models = await api.v1.models.get();
  const id: string | undefined = models.data?.data[0]?.id;
  expect(id).toBe("tiny-chat");
  // @ts-expect-error: the id is a string, so the type is known
  const wrong: number | undefined = models.data?.data[0]?.id;
  expect(wrong).not.toBeNumber();
  // @ts-expect-error: messages must be a list
  const refused = await api.v1.chat.completions.post({ messages: "hi" });
  expect(refused.status).toBe(400);
});
