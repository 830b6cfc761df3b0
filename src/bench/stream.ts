/** One streamed chat completion over a connection of its own, with the time of every piece of text. */
import { ResponseParser } from "./response-parser.ts";

export interface Target {
  /** Base URL without a path: `http://127.0.0.1:8080`. */
  url: URL;
  /** What requests say in "model". */
  model: string;
  apiKey: string | null;
}

export interface CompletionRequest {
  prompt: string;
  maxTokens: number;
  /** Gives up after this; 10 minutes by default. */
  timeoutMs?: number;
  /** Leaves at once; what has come so far is the result. */
  signal?: AbortSignal;
  /** Called for each piece of text. */
  onText?: () => void;
}

/** Times in milliseconds of `performance.now()`. */
export interface Completion {
  wanted: number;
  start: number;
  /** When each piece of text came. */
  stamps: number[];
  end: number;
  /** From `usage`; null when the server gave none. */
  promptTokens: number | null;
  outputTokens: number | null;
  /** Every failure is a result here. */
  error: string | null;
}

interface Event {
  usage?: { prompt_tokens?: number; completion_tokens?: number } | null;
  error?: unknown;
  choices?: { delta?: { content?: string | null; reasoning?: string | null; reasoning_content?: string | null } }[];
}

const path = "/v1/chat/completions";

export function complete(target: Target, request: CompletionRequest): Promise<Completion> {
  const { maxTokens, timeoutMs = 600_000, signal, onText } = request;
  const result: Completion = {
    wanted: maxTokens,
    start: performance.now(),
    stamps: [],
    end: 0,
    promptTokens: null,
    outputTokens: null,
    error: null,
  };
  const parser = new ResponseParser();
  const { hostname, port, protocol } = target.url;
  const secure = protocol === "https:";
  let unsent = Buffer.from(describeRequest(target, request));
  let lines = "";
  let failureBody = "";
  let done = false;

  return new Promise((resolve) => {
    let connection: Bun.Socket | null = null;
    const finish = (error: string | null) => {
      if (result.end > 0) return;
      result.end = performance.now();
      result.error = error;
      clearTimeout(timer);
      signal?.removeEventListener("abort", leave);
      // After a whole answer nothing is left to say; anything else is cut off, so that the server notices at once.
      if (done) connection?.end();
      else connection?.terminate();
      resolve(result);
    };
    const leave = () => finish(null);
    const timer = setTimeout(() => finish(`no answer within ${timeoutMs / 1000} s`), timeoutMs);
    const send = (socket: Bun.Socket) => {
      unsent = unsent.subarray(Math.max(0, socket.write(unsent)));
    };
    const read = (bytes: Buffer) => {
      if (result.end > 0) return;
      const now = performance.now();
      const body = parser.push(bytes.toString("latin1"));
      if (parser.status !== 200) {
        failureBody += body;
        if (parser.complete) finish(describeFailure(parser.status, failureBody));
        return;
      }
      lines += body;
      let from = 0;
      for (let to = lines.indexOf("\n"); to >= 0 && result.end === 0; to = lines.indexOf("\n", from)) {
        if (lines.startsWith("data:", from)) done = readEvent(lines.slice(from + 5, to), result, now, onText) || done;
        from = to + 1;
      }
      lines = lines.slice(from);
      if (result.error !== null) finish(result.error);
      else if (done) finish(null);
      else if (parser.complete) finish("the stream ended without [DONE]");
    };
    const closed = () => finish(parser.status > 200 ? describeFailure(parser.status, failureBody) : "the connection was closed");
    if (signal?.aborted) return leave();
    signal?.addEventListener("abort", leave);
    Bun.connect({
      hostname: hostname.replace(/^\[|\]$/g, ""),
      port: Number(port) || (secure ? 443 : 80),
      tls: secure,
      socket: {
        open(socket) {
          connection = socket;
          if (result.end > 0) socket.terminate();
          else send(socket);
        },
        drain: (socket) => send(socket),
        data: (_, bytes) => read(bytes),
        close: closed,
        error: (_, error) => finish(error.message),
      },
    }).catch((error: Error) => finish(error.message));
  });
}

/** True for the end of the stream. */
function readEvent(line: string, result: Completion, now: number, onText?: () => void): boolean {
  const data = line.trim();
  if (data === "[DONE]") return true;
  if (data === "") return false;
  let event: Event;
  try {
    event = JSON.parse(data) as Event;
  } catch {
    result.error = `not JSON: ${data.slice(0, 200)}`;
    return false;
  }
  if (event.error) result.error = JSON.stringify(event.error).slice(0, 300);
  if (event.usage) {
    result.promptTokens = event.usage.prompt_tokens ?? null;
    result.outputTokens = event.usage.completion_tokens ?? null;
  }
  const delta = event.choices?.[0]?.delta;
  if (delta?.content || delta?.reasoning || delta?.reasoning_content) {
    result.stamps.push(now);
    onText?.();
  }
  return false;
}

function describeRequest({ url, model, apiKey }: Target, { prompt, maxTokens }: CompletionRequest): string {
  const body = JSON.stringify({
    model,
    messages: [{ role: "user", content: prompt }],
    max_tokens: maxTokens,
    temperature: 0,
    ignore_eos: true,
    stream: true,
    stream_options: { include_usage: true },
  });
  const key = apiKey === null ? "" : `authorization: Bearer ${apiKey}\r\n`;
  return `POST ${url.pathname.replace(/\/+$/, "")}${path} HTTP/1.1\r\nhost: ${url.host}\r\ncontent-type: application/json\r\n${key}connection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

function describeFailure(status: number, body: string): string {
  return `HTTP ${status}: ${body.slice(0, 300)}`;
}
