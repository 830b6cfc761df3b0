import type { Reading } from "../events.ts";
import { type Context, endCall, type WholeSyntax } from "../format.ts";
import { readJson } from "../json.ts";
import { Marks } from "../marks.ts";
import { jsonCall } from "../structure.ts";

const start = "<|start|>";
const message = "<|message|>";
const channel = "<|channel|>";
const constrain = "<|constrain|>";
const ends = ["<|end|>", "<|call|>", "<|return|>"];
const headerEnd = new Marks([message, start, ...ends]);
/** A message that is not closed ends where the next one begins. */
const messageEnd = new Marks([...ends, start, channel]);
const headerBegins = [channel, constrain, message, start, " to=", "to="];

/**
 * GPT-OSS: messages `<|channel|>name to=recipient <|constrain|>json<|message|>text<|end|>`, the first of which begins in the prompt.
 * See OpenAI's description of the harmony response format.
 */
export const harmony: WholeSyntax = {
  name: "harmony",
  specialTokens: [start, message, channel, constrain, ...ends],
  endTokens: ["<|return|>", "<|call|>"],
  structure: {
    // One call ends an answer, so there is never a second one.
    separator: start,
    trigger: () => `${channel}commentary to=`,
    call: (tool, isStrict) =>
      jsonCall(`${channel}commentary to=functions.${tool.name} ${constrain}json${message}`, "", tool, isStrict),
    also: {
      trigger: `${start}assistant to=`,
      call: (tool, isStrict) =>
        jsonCall(
          `${start}assistant to=functions.${tool.name}${channel}commentary ${constrain}json${message}`,
          "",
          tool,
          isStrict,
        ),
    },
  },
  *read(context, prompt) {
    const { reader, writer } = context;
    const begun = prompt.slice(prompt.lastIndexOf(start));
    const isOpen = begun.startsWith(start) && begun.includes(message) && !ends.some((end) => begun.includes(end));
    let mark: string | null = null;
    if (isOpen) {
      mark = yield* readMessage(context, begun.slice(0, begun.indexOf(message)));
      if (mark === null) return;
    }
    for (;;) {
      const first = mark === start || mark === channel ? mark : yield* reader.acceptOne(headerBegins);
      // Text that belongs to no message is content: a model may not know the format at all.
      if (first === null) mark = yield* reader.until(messageEnd, (text) => writer.content(text));
      else mark = yield* readFrom(context, first);
      if (mark === null) return;
    }
  },
};

/** Reads a message from its header's beginning; gives the mark that ended it, null at the end of the text. */
function* readFrom(context: Context, first: string): Reading<string | null> {
  if (first === message) return yield* readMessage(context, "");
  const { text, mark } = yield* context.reader.upTo(headerEnd);
  if (mark === message) return yield* readMessage(context, first + text);
  if (mark === null && first.trimStart() === "to=") context.writer.content(first + text);
  return mark;
}

function* readMessage(context: Context, header: string): Reading<string | null> {
  const { reader, writer, tools } = context;
  const [, name = "final"] = /<\|channel\|>\s*(\w+)/.exec(header) ?? [];
  const [, recipient = null] = /(?:^|\s)to=([^\s<]+)/.exec(header.replaceAll("<|", " <|")) ?? [];
  const isCall = recipient !== null && !["user", "assistant", "all"].includes(recipient);
  if (isCall && tools.length > 0) return yield* readCall(context, recipient.replace(/^functions\./, ""));
  if (name !== "analysis" && !isCall) {
    writer.separate();
    return yield* reader.until(messageEnd, (text) => writer.content(text));
  }
  writer.beginReasoning();
  const mark = yield* reader.until(messageEnd, (text) => writer.reasoning(text));
  if (mark !== null) writer.endReasoning();
  return mark;
}

function* readCall(context: Context, name: string): Reading<string | null> {
  const { reader, writer } = context;
  yield* reader.space();
  reader.record();
  writer.startCall(name);
  let isComplete = (yield* reader.peek()) === "{" && (yield* readJson(reader, (text) => writer.arguments(text)));
  const mark = yield* reader.until(messageEnd, (text) => {
    if (isComplete && text.trim() === "") return;
    isComplete = false;
    writer.arguments(text);
  });
  if (isComplete) endCall(context);
  else writer.endCall(mark === null ? reader.raw : reader.raw.slice(0, -mark.length));
  return mark;
}
