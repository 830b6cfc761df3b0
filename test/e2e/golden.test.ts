import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Answer, ask, askWhole } from "./ask.ts";
import { expectGolden, golden4bitEntries, goldenEntries, questionOf } from "./golden.ts";
import { isIdle, type Served, startServer, until } from "./serve.ts";

let server: Served;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.stop());

test("each golden conversation is answered alone as mlx-lm answers it", async () => {
  for (const entry of goldenEntries) expectGolden(entry, await askWhole(server.openai, questionOf(entry)));
});

test("all golden conversations at once, with random arrivals, streamed and not, are answered the same", async () => {
  const answers = await Promise.all(
    goldenEntries.map(async (entry): Promise<Answer> => {
      await Bun.sleep(Math.random() * 500);
      return (entry.id % 2 ? ask : askWhole)(server.openai, questionOf(entry));
    }),
  );
  goldenEntries.forEach((entry, index) => {
    expectGolden(entry, answers[index]!);
  });
  await until(server, isIdle);
});

test("with memory for a few of them only, put back and computed again, they are answered the same", async () => {
  const tight = await startServer(["--memory-limit", "12MB"]);
  try {
    const answers = await Promise.all(goldenEntries.map((entry) => ask(tight.openai, questionOf(entry))));
    goldenEntries.forEach((entry, index) => {
      expectGolden(entry, answers[index]!);
    });
    await until(tight, isIdle);
  } finally {
    expect(await tight.stop()).toBe(0);
  }
});

test("a quantized model from a directory answers as mlx-lm does", async () => {
  const quantized = await startServer(["--model", `${import.meta.dir}/../fixtures/models/tiny-chat-4bit`]);
  try {
    const answers = await Promise.all(golden4bitEntries.map((entry) => ask(quantized.openai, questionOf(entry))));
    golden4bitEntries.forEach((entry, index) => {
      expectGolden(entry, answers[index]!);
    });
    const { data } = await quantized.openai.models.list();
    expect(data[0]?.id).toEndWith("/tiny-chat-4bit");
  } finally {
    expect(await quantized.stop()).toBe(0);
  }
});
