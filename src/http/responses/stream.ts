import { describeError, isExpected, toErrorReply } from "../errors.ts";
import { cancelJob } from "../job.ts";
import { done } from "../sse.ts";
import type { ResponseEventBody } from "./events.ts";
import { describeResponse, type ResponseJob, readResponse } from "./service.ts";

/** The answer as framed server-sent events. A failure is told of by events as well, so it does not leave the generator. */
export async function* streamResponse(job: ResponseJob): AsyncGenerator<string> {
  let sequence = 0;
  const frame = ({ type, ...rest }: ResponseEventBody) =>
    `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: sequence++, ...rest })}\n\n`;
  const begun = describeResponse(job, "in_progress", []);
  yield frame({ type: "response.created", response: begun }) + frame({ type: "response.in_progress", response: begun });
  try {
    for await (const events of readResponse(job)) if (events.length > 0) yield events.map(frame).join("");
  } catch (error) {
    cancelJob(job);
    const { type, code, message, param } = toErrorReply(error).body.error;
    const kind = type === "rate_limit_error" ? "rate_limit_exceeded" : "server_error";
    const response = describeResponse(job, "failed", job.answer.items, { code: kind, message });
    yield frame({ type: "error", code, message, param, error: { type, code, message, param } }) +
      frame({ type: "response.failed", response });
    // A reader that has left ends the generator above: then nothing has failed, and nothing is kept.
    const { log } = job.context.options;
    log({ level: isExpected(error) ? "warn" : "error", message: "stream failed", id: job.id, error: describeError(error) });
    job.keep(response);
  }
  yield done;
}
