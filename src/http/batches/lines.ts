/** From the bytes of a batch's input file to its requests, every one of them checked before the first is run. */
import * as v from "valibot";
import type { BatchError, BatchLine } from "../../storage/batch-store.ts";

/** OpenAI's limit. */
export const maxLines = 50_000;
const maxErrors = 20;
const maxLineBytes = 8 * 1024 * 1024;

const RequestLine = v.object({
  custom_id: v.pipe(v.string(), v.nonEmpty(), v.maxLength(512)),
  method: v.literal("POST"),
  url: v.string(),
  body: v.looseObject({}),
});

export interface LineReader {
  /** Takes bytes; returns the requests that are complete with them. */
  push(bytes: Uint8Array): BatchLine[];
  /** The rest. */
  end(): BatchLine[];
  readonly errors: readonly BatchError[];
  readonly count: number;
}

/** Reads lines for one endpoint. After a mistake it goes on to tell of more, up to a number. */
export function createLineReader(endpoint: string): LineReader {
  const errors: BatchError[] = [];
  const ids = new Set<string>();
  let rest = Buffer.alloc(0);
  let number = 0;

  const fail = (code: string, message: string, param: string | null = null) => {
    if (errors.length < maxErrors) errors.push({ code, message, param, line: number });
  };

  const readLine = (bytes: Uint8Array): BatchLine | null => {
    number++;
    if (bytes.every((byte) => byte === 0x20 || byte === 0x0d || byte === 0x09)) return null;
    if (ids.size >= maxLines) {
      if (ids.size === maxLines) fail("too_many_requests", `A batch may have at most ${maxLines} requests.`);
      return null;
    }
    let value: unknown;
    try {
      value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    } catch {
      fail("invalid_json_line", "This line is not parseable as valid JSON.");
      return null;
    }
    const parsed = v.safeParse(RequestLine, value);
    if (!parsed.success) {
      const path = v.getDotPath(parsed.issues[0]);
      fail("invalid_request", `This line is no request: ${path ?? "it"} is missing or of the wrong type.`, path);
      return null;
    }
    const { custom_id, url, body } = parsed.output;
    if (url !== endpoint) fail("mismatched_endpoint", `The batch is for ${endpoint}, this line for ${url.slice(0, 100)}.`, "url");
    else if (ids.has(custom_id)) fail("duplicate_custom_id", "The custom_id of an earlier line is used again.", "custom_id");
    else if (body.stream === true) fail("invalid_request", "Requests of a batch cannot be streamed.", "body.stream");
    else {
      ids.add(custom_id);
      return { line: number, custom_id, body: JSON.stringify(body) };
    }
    return null;
  };

  return {
    errors,
    get count() {
      return ids.size;
    },
    push(bytes) {
      const all = Buffer.concat([rest, bytes]);
      const lines: BatchLine[] = [];
      let start = 0;
      for (let end = all.indexOf(0x0a); end >= 0; end = all.indexOf(0x0a, start)) {
        const line = readLine(all.subarray(start, end));
        if (line) lines.push(line);
        start = end + 1;
      }
      rest = Buffer.from(all.subarray(start));
      if (rest.byteLength > maxLineBytes) {
        number++;
        fail("line_too_long", `This line is longer than ${maxLineBytes} bytes.`);
        rest = Buffer.alloc(0);
      }
      return lines;
    },
    end() {
      const line = rest.byteLength > 0 ? readLine(rest) : null;
      rest = Buffer.alloc(0);
      if (ids.size === 0 && errors.length === 0) {
        errors.push({ code: "empty_file", message: "The input file has no requests.", param: "input_file_id", line: null });
      }
      return line ? [line] : [];
    },
  };
}
