import { readCallObject } from "../call-object.ts";
import { endCall, type ToolSyntax } from "../format.ts";
import { jsonCall } from "../structure.ts";

/**
 * `<tool_call>{"name": …, "arguments": {…}}</tool_call>`: Hermes 2 and 3, Qwen 2.5 and 3, Granite 4, SmolLM 3 and many others.
 * Several objects may stand between two marks.
 */
export const hermes: ToolSyntax = {
  name: "hermes",
  begins: ["<tool_call>"],
  ends: ["</tool_call>"],
  specialTokens: ["<tool_call>", "</tool_call>"],
  endsReasoning: ['<tool_call>\n{"name"'],
  structure: {
    separator: "\n",
    trigger: () => "<tool_call>",
    call: (tool, isStrict) =>
      jsonCall(`<tool_call>\n{"name": ${JSON.stringify(tool.name)}, "arguments": `, "}\n</tool_call>", tool, isStrict),
  },
  *read(context) {
    const { reader } = context;
    do {
      yield* reader.space();
      if (!(yield* readCallObject(context))) return false;
      endCall(context);
      yield* reader.space();
    } while ((yield* reader.peek()) === "{");
    yield* reader.accept("</tool_call>");
    return true;
  },
};
