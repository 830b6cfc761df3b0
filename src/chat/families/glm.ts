import { ArgumentsWriter } from "../arguments.ts";
import { readCallObject } from "../call-object.ts";
import type { Reading } from "../events.ts";
import { type Context, endCall, type ToolSyntax } from "../format.ts";
import { Marks } from "../marks.ts";
import { describeMembers } from "../member-structure.ts";

const nameCharacters = /[^\s<>{}[\]"'`,]*/y;
const longestName = 256;

/** `<tool_call>name<arg_key>key</arg_key><arg_value>value</arg_value></tool_call>`, with a word before each of the tags. */
function createSyntax(name: string, prefix: string): ToolSyntax {
  const begin = `<${prefix}tool_call>`;
  const end = `</${prefix}tool_call>`;
  const key = new Marks([`</${prefix}arg_key>`]);
  const value = new Marks([`</${prefix}arg_value>`]);
  function* readMembers(context: Context, tool: string): Reading<boolean> {
    const { reader, writer } = context;
    const members = new ArgumentsWriter(context, tool);
    for (;;) {
      yield* reader.space();
      if (yield* reader.accept(end)) break;
      if (!(yield* reader.accept(`<${prefix}arg_key>`))) return false;
      const { text, mark } = yield* reader.upTo(key);
      yield* reader.space();
      if (mark === null || !(yield* reader.accept(`<${prefix}arg_value>`))) return false;
      if (!writer.isCallOpen) writer.startCall(tool);
      if (!(yield* members.member(text.trim(), { end: value }))) return false;
    }
    if (!writer.isCallOpen) writer.startCall(tool);
    members.close();
    endCall(context);
    return true;
  }
  /** Now and then the models fall back to what most others write. */
  function* readObject(context: Context): Reading<boolean> {
    if (!(yield* readCallObject(context))) return false;
    endCall(context);
    yield* context.reader.space();
    yield* context.reader.accept(end);
    return true;
  }
  const style = {
    before: (key: string) => `<${prefix}arg_key>${key}</${prefix}arg_key>\n<${prefix}arg_value>`,
    after: `</${prefix}arg_value>\n`,
    separator: "",
    string: { begin: "", end: "" },
  };
  return {
    name,
    structure: {
      separator: "\n",
      trigger: () => begin,
      call: (tool, isStrict) => ({
        type: "tag",
        begin: `${begin}${tool.name}\n`,
        content: isStrict ? describeMembers(tool, style) : { type: "any_text" },
        end,
      }),
    },
    begins: [begin],
    ends: [end],
    specialTokens: [begin, end, ...["arg_key", "arg_value"].flatMap((tag) => [`<${prefix}${tag}>`, `</${prefix}${tag}>`])],
    *read(context) {
      const { reader } = context;
      yield* reader.space();
      if ((yield* reader.peek()) === "{") return yield* readObject(context);
      const tool = yield* reader.takeWhile(nameCharacters, longestName);
      return tool !== "" && (yield* readMembers(context, tool));
    },
  };
}

/** GLM 4.5 to 4.7, and others that write the same. */
export const glm = createSyntax("glm", "");

export const longcat = createSyntax("longcat", "longcat_");
