import { countUsage, readJob } from "../job.ts";
import { done } from "../sse.ts";
import { readTimings } from "../timings.ts";
import { type CompletionJob, toCompletionLogprobs } from "./service.ts";

/** The answer as framed server-sent events. What all chunks share is serialised once. */
export async function* streamCompletion(job: CompletionJob): AsyncGenerator<string> {
  const { id, created, model, includeUsage } = job;
  const fixed = JSON.stringify({ id, object: "text_completion", created, model, system_fingerprint: job.context.fingerprint });
  const head = `data: ${fixed.slice(0, -1)},"choices":[`;
  const tail = includeUsage ? '}],"usage":null}\n\n' : "}]}\n\n";
  const offsets = job.generations.map(() => 0);
  const frame = (index: number, text: string, logprobs: string, finish: string) =>
    `${head}{"text":${JSON.stringify(text)},"index":${index},"logprobs":${logprobs},"finish_reason":${finish}${tail}`;

  for (const [index, echo] of job.echoes.entries()) if (echo !== "") yield frame(index, echo, "null", "null");
  for await (const [index, { text, tokens, finishReason }] of readJob(job)) {
    const logprobs = job.logprobs ? JSON.stringify(toCompletionLogprobs(job, tokens, offsets[index]!)) : "null";
    offsets[index]! += text.length;
    yield frame(index, text, logprobs, finishReason === null ? "null" : `"${finishReason}"`);
  }
  const counts = () => `"usage":${JSON.stringify(countUsage(job))},"timings":${JSON.stringify(readTimings(job))}`;
  yield includeUsage ? `${head}],${counts()}}\n\n${done}` : done;
}
