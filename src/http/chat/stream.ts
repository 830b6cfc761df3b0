import type { ChatEvent } from "../../chat/events.ts";
import { countChatUsage, readChat } from "../chat-events.ts";
import { done } from "../sse.ts";
import { readTimings } from "../timings.ts";
import { type ChatCompletionJob, toChatLogprobs } from "./service.ts";

/** The answer as framed server-sent events. What all chunks share is serialised once. */
export async function* streamChat(job: ChatCompletionJob): AsyncGenerator<string> {
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
  for await (const [index, { events, tokens, finishReason }] of readChat(job)) {
    const open = opens[index]!;
    const deltas = events.map((event) => toDelta(event, job.showsReasoning)).filter((delta) => delta !== null);
    // The tokens of marks are listed as well; they come with what comes next, or alone.
    if (deltas.length === 0 && tokens.length > 0) deltas.push('{"content":""}');
    let frames = "";
    for (const [place, delta] of deltas.entries()) {
      const logprobs = job.logprobs && place === 0 ? JSON.stringify(toChatLogprobs(job, tokens)) : "null";
      frames += `${open}${delta},"logprobs":${logprobs},"finish_reason":null${tail}`;
    }
    if (finishReason !== null) frames += `${open}{},"logprobs":null,"finish_reason":"${finishReason}"${tail}`;
    if (frames !== "") yield frames;
  }
  const counts = () => `"usage":${JSON.stringify(countChatUsage(job))},"timings":${JSON.stringify(readTimings(job))}`;
  yield includeUsage ? `${head}],${counts()}}\n\n${done}` : done;
}

/** JSON of what an event adds; null: nothing. */
function toDelta(event: ChatEvent, showsReasoning: boolean): string | null {
  switch (event.type) {
    case "content":
      return `{"content":${JSON.stringify(event.text)}}`;
    case "reasoning": {
      const text = JSON.stringify(event.text);
      return showsReasoning ? `{"reasoning_content":${text},"reasoning":${text}}` : null;
    }
    case "tool_call_start": {
      const { index, id, name } = event;
      return JSON.stringify({ tool_calls: [{ index, id, type: "function", function: { name, arguments: "" } }] });
    }
    case "tool_call_arguments":
      return `{"tool_calls":[{"index":${event.index},"function":{"arguments":${JSON.stringify(event.text)}}}]}`;
    case "tool_call_end":
      return null;
  }
}
