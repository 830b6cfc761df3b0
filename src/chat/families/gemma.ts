import type { Reading } from "../events.ts";
import { type Context, endCall, type ToolSyntax } from "../format.ts";
import { escapeJson, readString } from "../json.ts";
import { Marks } from "../marks.ts";
import { describeMembers } from "../member-structure.ts";
import { convertParameter } from "../parameter-value.ts";

interface Quotes {
  text: string;
  marks: Marks;
}

const nameCharacters = /[\w.-]*/y;
const keyCharacters = /[^\s:,{}[\]<>"]*/y;
const bareCharacters = /[^,{}[\]<>"\n]*/y;
const longestWord = 400;
const maxDepth = 64;

/** `call:name{key:value,…}` between two marks: JSON without quotes around keys, and marks of its own around strings. */
function createSyntax(name: string, begin: string, end: string, quote: string, endTokens: readonly string[] = []): ToolSyntax {
  const quotes: Quotes = { text: quote, marks: new Marks([quote]) };
  const style = {
    before: (key: string) => `${key}:`,
    after: "",
    separator: ",",
    string: { begin: quote, end: quote },
  };
  return {
    name,
    structure: {
      separator: "\n",
      trigger: () => begin,
      call: (tool, isStrict) => ({
        type: "tag",
        begin: `${begin}call:${tool.name}{`,
        content: isStrict ? describeMembers(tool, style) : { type: "any_text" },
        end: `}${end}`,
      }),
    },
    begins: [begin],
    ends: [end],
    specialTokens: [begin, end, quote],
    endTokens,
    endsReasoning: [begin],
    *read(context) {
      const { reader, writer } = context;
      do {
        yield* reader.space();
        if (!(yield* reader.accept("call:"))) return false;
        const tool = yield* reader.takeWhile(nameCharacters, longestWord);
        yield* reader.space();
        if (tool === "" || (yield* reader.peek()) !== "{") return false;
        writer.startCall(tool);
        if (!(yield* readValue(context, quotes, 0))) return false;
        endCall(context);
        yield* reader.space();
      } while ((yield* reader.peek()) === "c");
      yield* reader.accept(end);
      return true;
    },
  };
}

function* readValue(context: Context, quotes: Quotes, depth: number): Reading<boolean> {
  const { reader, writer } = context;
  yield* reader.space();
  if (yield* reader.accept(quotes.text)) return yield* readQuoted(context, quotes);
  const first = yield* reader.peek();
  if (first === '"') return yield* readString(reader, (text) => writer.arguments(text));
  if (first === "{" || first === "[") return depth < maxDepth && (yield* readMembers(context, quotes, depth));
  const word = yield* reader.takeWhile(bareCharacters, longestWord);
  if (word.trim() === "" || (yield* reader.peek()) === "") return false;
  writer.arguments(convertParameter(word.trim(), null));
  return true;
}

/** The members of an object or a list. */
function* readMembers(context: Context, quotes: Quotes, depth: number): Reading<boolean> {
  const { reader, writer } = context;
  const open = reader.next();
  const close = open === "{" ? "}" : "]";
  writer.arguments(open);
  for (let isFirst = true; ; isFirst = false) {
    yield* reader.space();
    if (yield* reader.accept(close)) break;
    if (!isFirst) {
      if (!(yield* reader.accept(","))) return false;
      writer.arguments(", ");
      yield* reader.space();
    }
    if (open === "{" && !(yield* readKey(context, quotes))) return false;
    if (!(yield* readValue(context, quotes, depth + 1))) return false;
  }
  writer.arguments(close);
  return true;
}

function* readKey(context: Context, quotes: Quotes): Reading<boolean> {
  const { reader, writer } = context;
  const quote = yield* reader.acceptOne([quotes.text, '"']);
  if (quote === quotes.text) {
    if (!(yield* readQuoted(context, quotes))) return false;
  } else {
    const key = yield* reader.takeWhile(keyCharacters, longestWord);
    if (key === "" || (quote !== null && !(yield* reader.accept(quote)))) return false;
    writer.arguments(JSON.stringify(key));
  }
  yield* reader.space();
  if (!(yield* reader.accept(":"))) return false;
  writer.arguments(": ");
  return true;
}

function* readQuoted({ reader, writer }: Context, { marks }: Quotes): Reading<boolean> {
  writer.arguments('"');
  const mark = yield* reader.until(marks, (text) => writer.arguments(escapeJson(text)));
  if (mark !== null) writer.arguments('"');
  return mark !== null;
}

export const gemma4 = createSyntax("gemma4", "<|tool_call>", "<tool_call|>", '<|"|>', ["<|tool_response>"]);

export const functionGemma = createSyntax("functiongemma", "<start_function_call>", "<end_function_call>", "<escape>", [
  "<start_function_response>",
]);
