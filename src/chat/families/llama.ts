import { readCallObject } from "../call-object.ts";
import type { Reading } from "../events.ts";
import { type Context, endCall, type ToolSyntax } from "../format.ts";
import { readJson } from "../json.ts";
import { jsonCall } from "../structure.ts";
import { readPythonCall } from "./pythonic.ts";

const pythonTag = "<|python_tag|>";
const functionBegin = "<function=";
const functionEnd = "</function>";
const nameCharacters = /[^\s<>]*/y;
const longestName = 256;

/**
 * Llama 3.1 to 3.3: `{"name": …, "parameters": {…}}` alone or after the tag, `name.call(key=value)` after the tag for built-in
 * tools, and `<function=name>{…}</function>` where a prompt asks for it. Calls may follow each other with a semicolon.
 */
export const llama: ToolSyntax = {
  name: "llama3_json",
  begins: [pythonTag, functionBegin],
  ends: [functionEnd],
  specialTokens: [pythonTag],
  endTokens: ["<|eom_id|>"],
  bare: "{",
  structure: {
    separator: "; ",
    trigger: () => '{"name": ',
    call: (tool, isStrict) => jsonCall(`{"name": ${JSON.stringify(tool.name)}, "parameters": `, "}", tool, isStrict),
  },
  *read(context, mark) {
    const { reader } = context;
    if (mark === functionBegin) return yield* readFunction(context);
    yield* reader.space();
    if (mark === pythonTag && (yield* reader.peek()) !== "{") return yield* readPythonCall(context, { knownOnly: true });
    do {
      yield* reader.space();
      yield* reader.accept(pythonTag);
      if (!(yield* readCallObject(context, { knownOnly: mark === "" }))) return false;
      endCall(context);
      yield* reader.space();
    } while (yield* reader.accept(";"));
    return true;
  },
};

function* readFunction(context: Context): Reading<boolean> {
  const { reader, writer } = context;
  const name = yield* reader.takeWhile(nameCharacters, longestName);
  if (name === "" || !(yield* reader.accept(">"))) return false;
  yield* reader.space();
  if ((yield* reader.peek()) !== "{") return false;
  writer.startCall(name);
  if (!(yield* readJson(reader, (text) => writer.arguments(text)))) return false;
  endCall(context);
  yield* reader.space();
  yield* reader.accept(functionEnd);
  return true;
}
