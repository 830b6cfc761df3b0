import type { Reading } from "../events.ts";
import { type Context, endCall, type ToolSyntax } from "../format.ts";
import { readJson } from "../json.ts";
import { Marks } from "../marks.ts";
import { jsonCall } from "../structure.ts";

const sectionBegin = "<｜tool▁calls▁begin｜>";
const sectionEnd = "<｜tool▁calls▁end｜>";
const callBegin = "<｜tool▁call▁begin｜>";
const callEnd = "<｜tool▁call▁end｜>";
const separator = "<｜tool▁sep｜>";
const separators = new Marks([separator, callEnd, sectionEnd, "\n"]);
const lineEnd = new Marks(["\n"]);
const tokens = [sectionBegin, sectionEnd, callBegin, callEnd, separator];

interface CallStyle {
  /** Before and after the arguments. */
  before(tool: string): string;
  after: string;
  read(context: Context, first: string): Reading<boolean>;
}

function createSyntax(name: string, { before, after, read }: CallStyle): ToolSyntax {
  return {
    name,
    structure: {
      section: { begin: sectionBegin, end: sectionEnd },
      separator: "\n",
      trigger: () => sectionBegin,
      call: (tool, isStrict) => jsonCall(callBegin + before(tool.name), after + callEnd, tool, isStrict),
    },
    begins: [sectionBegin, callBegin],
    ends: [callEnd, sectionEnd],
    specialTokens: tokens,
    *read(context, mark) {
      const { reader } = context;
      if (mark === sectionBegin) {
        yield* reader.space();
        if (!(yield* reader.accept(callBegin))) return false;
      }
      do {
        const head = yield* reader.upTo(separators);
        if (head.mark !== separator || !(yield* read(context, head.text.trim()))) return false;
        yield* reader.space();
        if (!(yield* reader.accept(callEnd)) && (yield* reader.peek()) !== "") return false;
        endCall(context);
        yield* reader.space();
      } while (yield* reader.accept(callBegin));
      yield* reader.accept(sectionEnd);
      return true;
    },
  };
}

/** V3 and R1: `function<｜tool▁sep｜>name`, then the arguments in a fenced block of JSON. */
export const deepseekV3 = createSyntax("deepseek_v3", {
  before: (tool) => `function${separator}${tool}\n\`\`\`json\n`,
  after: "\n```",
  *read({ reader, writer }) {
    const name = (yield* reader.upTo(lineEnd)).text.trim();
    yield* reader.space();
    const isFenced = yield* reader.accept("```");
    if (isFenced) yield* reader.accept("json");
    yield* reader.space();
    if (name === "" || (yield* reader.peek()) !== "{") return false;
    writer.startCall(name);
    if (!(yield* readJson(reader, (text) => writer.arguments(text)))) return false;
    yield* reader.space();
    if (isFenced) yield* reader.accept("```");
    return true;
  },
});

/** V3.1: `name<｜tool▁sep｜>{…}`. */
export const deepseekV31 = createSyntax("deepseek_v31", {
  before: (tool) => tool + separator,
  after: "",
  *read({ reader, writer }, name) {
    yield* reader.space();
    if (name === "" || (yield* reader.peek()) !== "{") return false;
    writer.startCall(name);
    return yield* readJson(reader, (text) => writer.arguments(text));
  },
});
