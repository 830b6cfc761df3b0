/** Batches through the official client. */
import type OpenAI from "openai";
import { toFile } from "openai";

type Endpoint = OpenAI.BatchCreateParams["endpoint"];

export interface OutputLine {
  custom_id: string;
  response: { status_code: number; body: Record<string, unknown> };
  error: null;
}

/** Uploads one line for each body and begins to work them off; the ids are `line-0`, `line-1`, … */
export async function beginBatch(openai: OpenAI, bodies: readonly object[], endpoint: Endpoint = "/v1/chat/completions") {
  const lines = bodies.map((body, i) => JSON.stringify({ custom_id: `line-${i}`, method: "POST", url: endpoint, body }));
  const file = await openai.files.create({ file: await toFile(Buffer.from(lines.join("\n")), "in.jsonl"), purpose: "batch" });
  return openai.batches.create({ input_file_id: file.id, endpoint, completion_window: "24h" });
}

/** Waits until the batch is as wanted. */
export async function untilBatch(openai: OpenAI, id: string, holds: (batch: OpenAI.Batch) => boolean, seconds = 30) {
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    const batch = await openai.batches.retrieve(id);
    if (holds(batch)) return batch;
    if (performance.now() > deadline) throw new Error(`not within ${seconds} s: ${JSON.stringify(batch)}`);
    await Bun.sleep(10);
  }
}

export const untilEnded = (openai: OpenAI, id: string, seconds?: number) =>
  untilBatch(openai, id, ({ status }) => ["completed", "failed", "cancelled", "expired"].includes(status), seconds);

export async function readOutput(openai: OpenAI, file: string | null | undefined): Promise<OutputLine[]> {
  if (!file) return [];
  const text = await (await openai.files.content(file)).text();
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as OutputLine);
}
