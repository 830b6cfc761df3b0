import { describeError, isExpected, toErrorReply } from "./errors.ts";
import type { Job } from "./job.ts";
import { cancelJob } from "./job.ts";

const silent = Symbol("silent");

export const done = "data: [DONE]\n\n";

/** How one API writes what is no event of its own. */
export interface StreamStyle {
  /** What bridges a silence. */
  keepAlive: string;
  /** The event that ends a stream which has failed. */
  frameError(error: unknown): string;
}

const openAiStyle: StreamStyle = {
  keepAlive: ": keep-alive\n\n",
  frameError: (error) => `data: ${JSON.stringify(toErrorReply(error).body)}\n\n`,
};

/**
 * Answers with framed events. They are read one by one as the client takes them; a silent source is bridged; an error
 * becomes an event and ends the stream. When the client leaves, the job is cancelled at once.
 */
export function streamEvents(
  job: Job,
  events: AsyncGenerator<string>,
  signal: AbortSignal,
  { keepAlive, frameError }: StreamStyle = openAiStyle,
): Response {
  const { keepAliveMs, log } = job.context.options;
  const encoder = new TextEncoder();
  let next: Promise<IteratorResult<string>> | null = null;
  let left = false;
  const end = () => {
    signal.removeEventListener("abort", leave);
    cancelJob(job);
    // Lets the generators run their endings; they may still be in the middle of a step.
    events.return(undefined).catch(() => {});
  };
  const leave = () => {
    left = true;
    end();
  };
  // The signal fires at once, while `cancel` may come only with the next write.
  signal.addEventListener("abort", leave);
  if (signal.aborted) leave();

  const fail = (error: unknown): string => {
    end();
    log({ level: isExpected(error) ? "warn" : "error", message: "stream failed", id: job.id, error: describeError(error) });
    return frameError(error);
  };

  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          next ??= events.next();
          const result = await withTimeout(next, keepAliveMs);
          if (!left && result === silent) return controller.enqueue(encoder.encode(keepAlive));
          next = null;
          if (!left && result !== silent && result.done !== true) return controller.enqueue(encoder.encode(result.value));
          signal.removeEventListener("abort", leave);
        } catch (error) {
          if (!left) controller.enqueue(encoder.encode(fail(error)));
        }
        // A stream that was cancelled is closed already.
        if (!left) controller.close();
      },
      cancel: leave,
    },
    { highWaterMark: 0 },
  );
  return new Response(body, {
    headers: { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no" },
  });
}

async function withTimeout<T>(promise: Promise<T>, milliseconds: number): Promise<T | typeof silent> {
  let timer: Timer | undefined;
  const timeout = new Promise<typeof silent>((resolve) => {
    timer = setTimeout(resolve, milliseconds, silent);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
