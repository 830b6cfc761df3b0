import { endCall, type ToolSyntax } from "../format.ts";
import { readJson } from "../json.ts";
import { Marks } from "../marks.ts";
import { jsonCall } from "../structure.ts";

const sectionBegin = "<|tool_calls_section_begin|>";
const sectionEnd = "<|tool_calls_section_end|>";
const callBegin = "<|tool_call_begin|>";
const callEnd = "<|tool_call_end|>";
const argumentsBegin = "<|tool_call_argument_begin|>";
const idEnd = new Marks([argumentsBegin, callEnd, sectionEnd, "\n\n"]);

/** Kimi K2: `functions.name:0`, which is name and id at once, and the arguments as JSON. */
export const kimiK2: ToolSyntax = {
  name: "kimi_k2",
  begins: [sectionBegin, callBegin],
  ends: [callEnd, sectionEnd],
  specialTokens: [sectionBegin, sectionEnd, callBegin, callEnd, argumentsBegin],
  endsReasoning: [sectionBegin],
  structure: {
    section: { begin: sectionBegin, end: sectionEnd },
    separator: "\n",
    trigger: () => sectionBegin,
    call: (tool, isStrict) => ({
      type: "tag",
      begin: `${callBegin}functions.${tool.name}:`,
      content: {
        type: "sequence",
        elements: [{ type: "regex", pattern: "[0-9]{1,2}" }, jsonCall(argumentsBegin, callEnd, tool, isStrict)],
      },
      end: "",
    }),
  },
  *read(context, mark) {
    const { reader, writer } = context;
    if (mark === sectionBegin) {
      yield* reader.space();
      if (!(yield* reader.accept(callBegin))) return false;
    }
    do {
      const head = yield* reader.upTo(idEnd);
      const id = head.text.trim();
      const [, name] = /^(?:functions\.)?([^\s:]+)(?::\d+)?$/.exec(id) ?? [];
      yield* reader.space();
      if (head.mark !== argumentsBegin || name === undefined || (yield* reader.peek()) !== "{") return false;
      writer.startCall(name, id);
      if (!(yield* readJson(reader, (text) => writer.arguments(text)))) return false;
      yield* reader.space();
      if (!(yield* reader.accept(callEnd)) && (yield* reader.peek()) !== "") return false;
      endCall(context);
      yield* reader.space();
    } while (yield* reader.accept(callBegin));
    yield* reader.accept(sectionEnd);
    return true;
  },
};
