import { InvalidRequest } from "../../errors.ts";
import { readBytes } from "../body.ts";

/** Files of batches hold many requests; this is what the machine's memory is asked for at once. */
const maxUploadBytes = 200 * 1024 * 1024;

/** Reads a multipart form, of a bounded size. */
export async function readForm(request: Request): Promise<Record<string, unknown>> {
  const type = request.headers.get("content-type") ?? "";
  const bytes = await readBytes(request, maxUploadBytes);
  try {
    const form = await new Response(bytes, { headers: { "content-type": type } }).formData();
    return Object.fromEntries(form.entries());
  } catch {
    // The parser's own words are about boundaries and bytes.
    throw new InvalidRequest("The request body is not a multipart form: 'purpose' and 'file' are expected.");
  }
}
