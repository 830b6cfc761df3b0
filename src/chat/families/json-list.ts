import { readCallObject } from "../call-object.ts";
import { endCall, type ToolSyntax } from "../format.ts";
import { jsonCall } from "../structure.ts";

interface ListStyle {
  begin: string;
  end: string;
  specialTokens?: readonly string[];
  /** How calls are written: in a list, or each on a line. */
  isList: boolean;
  /** Nothing is written after the list. */
  endsWithList?: boolean;
  nameKey?: string;
  argumentsKey?: string;
}

/** Objects with name and arguments between two marks: in a list, one a line, or a single one. */
function createSyntax(name: string, style: ListStyle): ToolSyntax {
  const { begin, end, specialTokens = [begin, end], isList: inList, nameKey = "name", argumentsKey = "arguments" } = style;
  return {
    name,
    structure: {
      section: inList
        ? { begin: `${begin}[`, end: style.endsWithList ? "]" : `]${end}` }
        : { begin: `${begin}\n`, end: `\n${end}` },
      separator: inList ? ", " : "\n",
      trigger: () => begin,
      call: (tool, isStrict) => jsonCall(`{"${nameKey}": ${JSON.stringify(tool.name)}, "${argumentsKey}": `, "}", tool, isStrict),
    },
    begins: [begin],
    ends: [end],
    specialTokens,
    *read(context) {
      const { reader } = context;
      yield* reader.space();
      const isList = yield* reader.accept("[");
      do {
        yield* reader.space();
        if (!(yield* readCallObject(context))) return false;
        endCall(context);
        yield* reader.space();
        yield* reader.accept(",");
        yield* reader.space();
      } while ((yield* reader.peek()) === "{");
      if (isList && !(yield* reader.accept("]"))) return false;
      yield* reader.space();
      yield* reader.accept(end);
      return true;
    },
  };
}

export const minimaxM1 = createSyntax("minimax", { begin: "<tool_calls>", end: "</tool_calls>", isList: false });

export const phi4 = createSyntax("phi4", { begin: "<|tool_call|>", end: "<|/tool_call|>", isList: true });

/** Granite 3 closes nothing. */
export const granite = createSyntax("granite", {
  begin: "<|tool_call|>",
  end: "</tool_call>",
  specialTokens: ["<|tool_call|>"],
  isList: true,
  endsWithList: true,
});

export const nemotron = createSyntax("nemotron", { begin: "<TOOLCALL>", end: "</TOOLCALL>", isList: true });

export const cohere = createSyntax("cohere", {
  begin: "<|START_ACTION|>",
  end: "<|END_ACTION|>",
  isList: true,
  nameKey: "tool_name",
  argumentsKey: "parameters",
});

export const internlm = createSyntax("internlm", {
  begin: "<|action_start|><|plugin|>",
  end: "<|action_end|>",
  specialTokens: ["<|action_start|>", "<|plugin|>", "<|action_end|>"],
  isList: false,
  argumentsKey: "parameters",
});
