import { ArgumentsWriter } from "../arguments.ts";
import type { Reading } from "../events.ts";
import { type Context, endCall, type ToolSyntax } from "../format.ts";
import { Marks } from "../marks.ts";
import { describeMembers, type MemberStyle } from "../member-structure.ts";

const nameCharacters = /[^\s<>]*/y;
const longestName = 256;
const parameterEnd = new Marks(["</parameter>"]);

const memberStyle: MemberStyle = {
  before: (key) => `<parameter=${key}>\n`,
  after: "\n</parameter>\n",
  separator: "",
  string: { begin: "", end: "" },
};

/** `<tool_call><function=name><parameter=key>value</parameter></function></tool_call>` with other marks around it. */
function createSyntax(name: string, begin: string, end: string): ToolSyntax {
  return {
    name,
    // The outer mark is forgotten now and then.
    begins: [begin, "<function="],
    ends: ["</function>", end],
    specialTokens: [begin, end],
    endsReasoning: [`${begin}\n<function=`],
    structure: {
      separator: "\n",
      trigger: () => begin,
      call: (tool, isStrict) => ({
        type: "tag",
        begin: `${begin}\n<function=${tool.name}>\n`,
        content: isStrict ? describeMembers(tool, memberStyle) : { type: "any_text" },
        end: `</function>\n${end}`,
      }),
    },
    *read(context, mark) {
      const { reader } = context;
      if (mark === begin) {
        yield* reader.space();
        if (!(yield* reader.accept("<function="))) return false;
      }
      do {
        if (!(yield* readFunction(context))) return false;
        yield* reader.space();
      } while (yield* reader.accept("<function="));
      yield* reader.accept(end);
      return true;
    },
  };
}

function* readFunction(context: Context): Reading<boolean> {
  const { reader, writer } = context;
  const name = yield* reader.takeWhile(nameCharacters, longestName);
  if (name === "" || !(yield* reader.accept(">"))) return false;
  writer.startCall(name);
  const members = new ArgumentsWriter(context, name);
  for (;;) {
    yield* reader.space();
    if (yield* reader.accept("</function>")) break;
    if (!(yield* reader.accept("<parameter="))) return false;
    const key = yield* reader.takeWhile(nameCharacters, longestName);
    if (key === "" || !(yield* reader.accept(">"))) return false;
    if (!(yield* members.member(key, { end: parameterEnd, onLines: true }))) return false;
  }
  members.close();
  endCall(context);
  return true;
}

/** Qwen3-Coder, Qwen 3.5, Nemotron 3, Step 3.5. */
export const qwenXml = createSyntax("qwen3_coder", "<tool_call>", "</tool_call>");

export const seedOss = createSyntax("seed_oss", "<seed:tool_call>", "</seed:tool_call>");
