import { InvalidRequest, PayloadTooLarge } from "../errors.ts";

/** Deeper than any real request, and far from what recursive code behind us (templates, JSON output) can take. */
const maxDepth = 100;

/**
 * Reads a JSON object of at most `maxBytes`, whatever the content type says.
 * Throws `PayloadTooLarge` before reading where the length is declared, and while reading otherwise.
 */
export async function readJsonObject(request: Request, maxBytes: number): Promise<Record<string, unknown>> {
  const encoding = request.headers.get("content-encoding");
  if (encoding !== null && encoding !== "identity") throw new InvalidRequest(`Content-Encoding '${encoding}' is not supported.`);
  const value = parse(await readBytes(request, maxBytes));
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InvalidRequest("The request body must be a JSON object.");
  }
  limitDepth(value);
  return value as Record<string, unknown>;
}

/** The whole body, of at most `maxBytes`. */
export async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array> {
  const tooLarge = () => new PayloadTooLarge(`The request body is larger than the limit of ${maxBytes} bytes.`);
  const declared = request.headers.get("content-length");
  if (declared !== null && Number(declared) > maxBytes) throw tooLarge();
  if (request.body === null) return new Uint8Array();
  if (declared !== null) return new Uint8Array(await request.arrayBuffer());
  const chunks: Uint8Array[] = [];
  let length = 0;
  // Without a declared length only counting protects the memory.
  for await (const chunk of request.body) {
    length += chunk.byteLength;
    if (length > maxBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

function parse(bytes: Uint8Array): unknown {
  if (bytes.byteLength === 0) throw new InvalidRequest("The request body is empty: a JSON object is expected.");
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^JSON Parse error: /, "") : String(error);
    throw new InvalidRequest(`The request body is not valid JSON: ${reason.slice(0, 200)}`, null, "invalid_json");
  }
}

/** Without recursion, so that the depth cannot overflow the check itself. */
function limitDepth(root: object): void {
  let level: object[] = [root];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > maxDepth) throw new InvalidRequest(`The request body is nested more than ${maxDepth} levels deep.`);
    const next: object[] = [];
    for (const node of level) {
      for (const value of Object.values(node)) if (typeof value === "object" && value !== null) next.push(value);
    }
    level = next;
  }
}
