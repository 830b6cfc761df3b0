import { ArgumentsWriter, type MemberOptions } from "../arguments.ts";
import type { Reading } from "../events.ts";
import { type Context, endCall, type ToolSyntax } from "../format.ts";
import { Marks } from "../marks.ts";
import { describeMembers, type MemberStyle } from "../member-structure.ts";

interface Tags {
  name: string;
  /** Marks around all calls of an answer; null: there are none. */
  section: readonly [begin: string, end: string] | null;
  /** What stands in tags after `<` and `</`. */
  prefix: string;
  call: string;
  parameter: string;
  /** Parameters say whether they are strings. */
  declares?: boolean;
  specialTokens?: readonly string[];
}

const attributeCharacters = /[^"'<>]*/y;
const bareCharacters = /[^\s"'<>]*/y;
const longestName = 256;
const cdataEnd = new Marks(["]]>"]);

/** `<invoke name="tool"><parameter name="key">value</parameter></invoke>`, one or several within a section. */
function createSyntax({ name, section, prefix, call, parameter, declares = false, specialTokens }: Tags): ToolSyntax {
  const callBegin = `<${prefix}${call} `;
  const callEnd = `</${prefix}${call}>`;
  const parameterEnd = `</${prefix}${parameter}>`;
  const valueEnd = new Marks([parameterEnd]);

  function* readMember(context: Context, members: ArgumentsWriter): Reading<boolean> {
    const { reader } = context;
    const attributes = yield* readAttributes(context);
    const key = attributes?.get("name");
    if (attributes === null || key === undefined) return false;
    const declared = attributes.get("string");
    const options: Partial<MemberOptions> = declared === undefined ? { onLines: true } : { isString: declared === "true" };
    if (!(yield* reader.accept("<![CDATA["))) return yield* members.member(key, { end: valueEnd, ...options });
    if (!(yield* members.member(key, { end: cdataEnd }))) return false;
    yield* reader.space();
    return yield* reader.accept(parameterEnd);
  }

  function* readCall(context: Context): Reading<boolean> {
    const { reader, writer } = context;
    const tool = (yield* readAttributes(context))?.get("name");
    if (!tool) return false;
    writer.startCall(tool);
    const members = new ArgumentsWriter(context, tool);
    for (;;) {
      yield* reader.space();
      if (yield* reader.accept(callEnd)) break;
      if (!(yield* reader.accept(`<${prefix}${parameter} `)) || !(yield* readMember(context, members))) return false;
    }
    members.close();
    endCall(context);
    return true;
  }

  const style: MemberStyle = {
    before: (key, isText) => `<${prefix}${parameter} name="${key}"${declares ? ` string="${isText}"` : ""}>`,
    after: `${parameterEnd}\n`,
    separator: "",
    string: { begin: "", end: "" },
  };
  return {
    name,
    structure: {
      ...(section && { section: { begin: `${section[0]}\n`, end: section[1] } }),
      separator: "\n",
      trigger: () => section?.[0] ?? callBegin,
      call: (tool, isStrict) => ({
        type: "tag",
        begin: `${callBegin}name="${tool.name}">\n`,
        content: isStrict ? describeMembers(tool, style) : { type: "any_text" },
        end: callEnd + (section ? "\n" : ""),
      }),
    },
    begins: section ? [section[0], callBegin] : [callBegin],
    ends: section ? [callEnd, section[1]] : [callEnd],
    specialTokens: specialTokens ?? section ?? [],
    *read(context, mark) {
      const { reader } = context;
      if (mark !== callBegin) {
        yield* reader.space();
        if (!(yield* reader.accept(callBegin))) return false;
      }
      do {
        if (!(yield* readCall(context))) return false;
        yield* reader.space();
      } while (yield* reader.accept(callBegin));
      if (section) yield* reader.accept(section[1]);
      return true;
    },
  };
}

/** `key="value"` pairs up to `>`. */
function* readAttributes({ reader }: Context): Reading<Map<string, string> | null> {
  const attributes = new Map<string, string>();
  for (;;) {
    yield* reader.space();
    if (yield* reader.accept(">")) return attributes;
    const key = yield* reader.takeWhile(/[\w-]*/y, longestName);
    if (key === "" || !(yield* reader.accept("="))) return null;
    const quote = yield* reader.acceptOne(['"', "'"]);
    attributes.set(key, yield* reader.takeWhile(quote === null ? bareCharacters : attributeCharacters, longestName));
    if (quote !== null && !(yield* reader.accept(quote))) return null;
  }
}

export const minimaxM2 = createSyntax({
  name: "minimax_m2",
  section: ["<minimax:tool_call>", "</minimax:tool_call>"],
  prefix: "",
  call: "invoke",
  parameter: "parameter",
});

/** DeepSeek V3.2. */
export const deepseekV32 = createSyntax({
  name: "deepseek_v32",
  section: ["<｜DSML｜function_calls>", "</｜DSML｜function_calls>"],
  prefix: "｜DSML｜",
  call: "invoke",
  parameter: "parameter",
  declares: true,
  specialTokens: ["｜DSML｜"],
});

export const deepseekV4 = createSyntax({
  name: "deepseek_v4",
  section: ["<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>"],
  prefix: "｜DSML｜",
  call: "invoke",
  parameter: "parameter",
  declares: true,
  specialTokens: ["｜DSML｜"],
});

export const museSpark = createSyntax({
  name: "muse_spark",
  section: ["<atem:function_calls>", "</atem:function_calls>"],
  prefix: "atem:",
  call: "invoke",
  parameter: "parameter",
});

export const minicpm5 = createSyntax({ name: "minicpm5", section: null, prefix: "", call: "function", parameter: "param" });
