import { readCallObject } from "../call-object.ts";
import type { Reading } from "../events.ts";
import { type Context, endCall, type ToolSyntax } from "../format.ts";
import { describeMembers } from "../member-structure.ts";
import { readPython } from "../python.ts";

const nameCharacters = /[\w.-]*/y;
const keyCharacters = /\w*/y;
const longestName = 256;
const fence = "```";

interface CallsOptions {
  /** Takes only the names that the request offers. */
  knownOnly: boolean;
}

/** Reads `name(key=value, …)`, up to its end. Arguments without a name are no call. */
export function* readPythonCall(context: Context, { knownOnly }: CallsOptions): Reading<boolean> {
  const { reader, writer, tools } = context;
  const name = yield* reader.takeWhile(nameCharacters, longestName);
  if (!/^[A-Za-z_]/.test(name) || (knownOnly && !tools.some((tool) => tool.name === name))) return false;
  if (!(yield* reader.accept("("))) return false;
  for (;;) {
    yield* reader.space();
    if (yield* reader.accept(")")) break;
    const key = yield* reader.takeWhile(keyCharacters, longestName);
    yield* reader.space();
    if (key === "" || !(yield* reader.accept("="))) return false;
    const isFirst = !writer.isCallOpen;
    if (isFirst) writer.startCall(name);
    writer.arguments(`${isFirst ? "{" : ", "}${JSON.stringify(key)}: `);
    if (!(yield* readPython(reader, (text) => writer.arguments(text)))) return false;
    yield* reader.space();
    if (!(yield* reader.accept(",")) && (yield* reader.peek()) !== ")") return false;
  }
  if (writer.isCallOpen) writer.arguments("}");
  else {
    writer.startCall(name);
    writer.arguments("{}");
  }
  endCall(context);
  return true;
}

/** Reads `[call, call]`, or calls that stand one a line. */
function* readPythonCalls(context: Context, options: CallsOptions): Reading<boolean> {
  const { reader } = context;
  yield* reader.space();
  // MiniCPM 3 puts a fence around them.
  const isFenced = yield* reader.accept(`${fence}python`);
  yield* reader.space();
  const isList = yield* reader.accept("[");
  do {
    yield* reader.space();
    if (!(yield* readPythonCall(context, options))) return false;
    yield* reader.space();
  } while (isList ? yield* reader.accept(",") : /[A-Za-z_]/.test(yield* reader.peek()));
  if (isList && !(yield* reader.accept("]"))) return false;
  yield* reader.space();
  return !isFenced || (yield* reader.accept(fence));
}

interface Marked {
  name: string;
  begin: string;
  end: string;
  isSpecial: boolean;
  /** A list may also stand without marks. */
  bare?: string;
}

const style = { before: (key: string) => `${key}=`, after: "", separator: ", ", string: null };

function createSyntax({ name, begin, end, isSpecial, bare }: Marked): ToolSyntax {
  return {
    name,
    structure: {
      // Where a list needs no marks, models are asked for it without, and each call is a list of its own.
      ...(!bare && { section: { begin: `${begin}[`, end: `]${end}` } }),
      separator: bare ? "\n" : ", ",
      trigger: (tool) => (bare ? `[${tool}(` : `${begin}[`),
      call: (tool, isStrict) => ({
        type: "tag",
        begin: `${bare ? "[" : ""}${tool.name}(`,
        content: isStrict ? describeMembers(tool, style) : { type: "any_text" },
        end: bare ? ")]" : ")",
      }),
    },
    begins: [begin],
    // A fence may begin a block of content just as well.
    ends: end === fence ? [] : [end],
    specialTokens: isSpecial ? [begin, end] : [],
    bare,
    *read(context, mark) {
      const options = { knownOnly: mark === "" };
      yield* context.reader.space();
      const isJson = (yield* context.reader.peek()) === "{";
      if (!(yield* isJson ? readCallObject(context, options) : readPythonCalls(context, options))) return false;
      if (isJson) endCall(context);
      yield* context.reader.space();
      yield* context.reader.accept(end);
      return true;
    },
  };
}

/** Llama 4, ToolACE and whoever is asked to write a Python list; Llama 4 is asked for JSON as well. */
export const pythonic = createSyntax({
  name: "pythonic",
  begin: "<|python_start|>",
  end: "<|python_end|>",
  isSpecial: true,
  bare: "[{",
});

export const lfm2 = createSyntax({
  name: "lfm2",
  begin: "<|tool_call_start|>",
  end: "<|tool_call_end|>",
  isSpecial: true,
});

export const olmo3 = createSyntax({ name: "olmo3", begin: "<function_calls>", end: "</function_calls>", isSpecial: false });

/** Gemma 3 has no marks of its own: a fenced block as Google's examples ask for it, or a list. */
export const gemma3 = createSyntax({ name: "gemma3", begin: "```tool_code", end: fence, isSpecial: false, bare: "[" });
