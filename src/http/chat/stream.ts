import { countUsage, type Job, readJob } from "../job.ts";
import { done } from "../sse.ts";
import { toChatLogprobs } from "./service.ts";

/** The answer as framed server-sent events. What all chunks share is serialised once. */
export async function* streamChat(job: Job): AsyncGenerator<string> {
  const { id, created, model, includeUsage } = job;
  const fixed = JSON.stringify({
    id,
    object: "chat.completion.chunk",
    created,
    model,
    system_fingerprint: job.context.fingerprint,
  });
  const head = `data: ${fixed.slice(0, -1)},"choices":[`;
  const tail = includeUsage ? '}],"usage":null}\n\n' : "}]}\n\n";
  const opens = job.generations.map((_, index) => `${head}{"index":${index},"delta":`);
  const role = `{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null${tail}`;

  yield opens.map((open) => open + role).join("");
  for await (const [index, { text, tokens, finishReason }] of readJob(job)) {
    const open = opens[index]!;
    let events = "";
    if (text !== "" || tokens.length > 0) {
      const logprobs = job.logprobs ? JSON.stringify(toChatLogprobs(job, tokens)) : "null";
      events += `${open}{"content":${JSON.stringify(text)}},"logprobs":${logprobs},"finish_reason":null${tail}`;
    }
    if (finishReason !== null) events += `${open}{},"logprobs":null,"finish_reason":"${finishReason}"${tail}`;
    yield events;
  }
  yield includeUsage ? `${head}],"usage":${JSON.stringify(countUsage(job))}}\n\n${done}` : done;
}
