import { readCallObject } from "../call-object.ts";
import type { Reading } from "../events.ts";
import { type Context, endCall, type ToolSyntax } from "../format.ts";
import { readJson } from "../json.ts";
import { jsonCall } from "../structure.ts";

const begin = "[TOOL_CALLS]";
const nameCharacters = /[^\s[\]{}<>"'`,]*/y;
const idCharacters = /\w*/y;
const longestName = 256;
const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const idLength = 9;

/** Mistral's templates refuse ids that are not nine letters and digits. */
export function createMistralId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(idLength)), (byte) => alphabet[byte % alphabet.length]).join("");
}

/** `[TOOL_CALLS] [{"name": …, "arguments": {…}}]` up to 2024, `[TOOL_CALLS]name[ARGS]{…}` since, with an id perhaps. */
export const mistral: ToolSyntax = {
  name: "mistral",
  begins: [begin],
  ends: [],
  specialTokens: [begin, "[ARGS]", "[CALL_ID]"],
  createId: createMistralId,
  structure: {
    section: { begin, end: "" },
    separator: begin,
    trigger: () => begin,
    call: (tool, isStrict) => jsonCall(`${tool.name}[ARGS]`, "", tool, isStrict),
  },
  *read(context) {
    const { reader } = context;
    yield* reader.space();
    const first = yield* reader.peek();
    return yield* first === "[" || first === "{" ? readList(context) : readNamed(context);
  },
};

/** The same for models whose templates know only the list. */
export const mistralList: ToolSyntax = {
  ...mistral,
  name: "mistral_list",
  structure: {
    section: { begin: `${begin} [`, end: "]" },
    separator: ", ",
    trigger: () => begin,
    call: (tool, isStrict) => jsonCall(`{"name": ${JSON.stringify(tool.name)}, "arguments": `, "}", tool, isStrict),
  },
};

function* readList(context: Context): Reading<boolean> {
  const { reader } = context;
  const isList = yield* reader.accept("[");
  do {
    yield* reader.space();
    if (!(yield* readCallObject(context))) return false;
    endCall(context);
    yield* reader.space();
  } while (yield* reader.accept(","));
  return !isList || (yield* reader.accept("]"));
}

function* readNamed(context: Context): Reading<boolean> {
  const { reader, writer } = context;
  const name = yield* reader.takeWhile(nameCharacters, longestName);
  if (name === "") return false;
  let id: string | undefined;
  if (yield* reader.accept("[CALL_ID]")) id = (yield* reader.takeWhile(idCharacters, longestName)) || undefined;
  yield* reader.accept("[ARGS]");
  yield* reader.space();
  if ((yield* reader.peek()) !== "{") return false;
  writer.startCall(name, id);
  if (!(yield* readJson(reader, (text) => writer.arguments(text)))) return false;
  endCall(context);
  return true;
}
