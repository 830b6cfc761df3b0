import type { ChatEvent, OutputParser, Reading, Tool } from "./events.ts";
import type { ChatFormat, Context, ReasoningSyntax, ToolSyntax } from "./format.ts";
import { Marks } from "./marks.ts";
import { Reader } from "./reader.ts";
import { createCallId, Writer } from "./writer.ts";

export interface ParserOptions {
  format: ChatFormat;
  /** None: calls are not looked for. */
  tools: readonly Tool[];
  /** The rendered prompt, or its end: a template may have begun the answer. */
  prompt: string;
  /** Default: as the family has them, or as OpenAI's. */
  createId?: () => string;
}

/** A parser for one output. */
export function createParser({ format, tools, prompt, createId }: ParserOptions): OutputParser {
  const toolSyntax = tools.length > 0 ? format.tools : null;
  const writer = new Writer({
    trimsContent: toolSyntax !== null || format.whole !== null,
    createId: createId ?? toolSyntax?.createId ?? createCallId,
  });
  const context: Context = { reader: new Reader(), writer, tools };
  if (format.whole) return new CoroutineParser(context, format.whole.read(context, prompt));
  const inside = format.reasoning !== null && isInside(prompt, format.reasoning);
  return new CoroutineParser(context, readAnswer(context, format.reasoning, toolSyntax, inside));
}

/** Whether a prompt ends within a block of reasoning. */
function isInside(prompt: string, { begin }: ReasoningSyntax): boolean {
  return prompt.trimEnd().endsWith(begin.trimEnd());
}

class CoroutineParser implements OutputParser {
  readonly #context: Context;
  readonly #reading: Reading<void>;
  /** The first half of a character that was cut in two. */
  #half = "";

  constructor(context: Context, reading: Reading<void>) {
    this.#context = context;
    this.#reading = reading;
    // To the first wait: a prompt that has begun the reasoning is known before the first text.
    reading.next();
  }

  get inReasoning(): boolean {
    return this.#context.writer.inReasoning;
  }

  push(text: string): ChatEvent[] {
    const all = this.#half + text;
    this.#half = /[\ud800-\udbff]$/.exec(all)?.[0] ?? "";
    this.#context.reader.push(this.#half === "" ? all : all.slice(0, -1));
    this.#reading.next();
    return this.#context.writer.take();
  }

  end(): ChatEvent[] {
    this.#context.reader.push(this.#half);
    this.#context.reader.end();
    this.#reading.next();
    this.#context.writer.end();
    return this.#context.writer.take();
  }
}

/** Reasoning, content and calls, set apart by marks. */
function* readAnswer(
  context: Context,
  reasoning: ReasoningSyntax | null,
  tools: ToolSyntax | null,
  inside: boolean,
): Reading<void> {
  const { reader, writer } = context;
  const dropped = reasoning?.dropped ?? [];
  const around = reasoning ? [reasoning.begin, reasoning.end] : [];
  const marks = new Marks([...around, ...dropped, ...(tools?.begins ?? []), ...(tools?.ends ?? [])]);
  // Ends without a beginning: of a block that the prompt has begun unseen, or of calls that are closed twice.
  const isStray = (mark: string) =>
    (mark === reasoning?.end && writer.isBlank) || (writer.isAfterBlock && tools?.ends.includes(mark) === true);
  if (inside && reasoning) yield* readReasoning(context, reasoning, tools);
  for (;;) {
    while (tools?.bare && writer.isBlank && (yield* readBareCall(context, tools, tools.bare)));
    const mark = yield* reader.until(marks, (text) => writer.content(text));
    if (mark === null) return;
    if (mark === reasoning?.begin && (reasoning.anywhere || writer.isBlank)) yield* readReasoning(context, reasoning, tools);
    else if (tools?.begins.includes(mark)) yield* readCalls(context, tools, mark);
    else if (!dropped.includes(mark) && !isStray(mark)) writer.content(mark);
  }
}

function* readReasoning({ reader, writer }: Context, syntax: ReasoningSyntax, tools: ToolSyntax | null): Reading<void> {
  writer.beginReasoning();
  yield* reader.space();
  // Some models repeat the mark that their template has written.
  yield* reader.accept(syntax.begin);
  const implied = tools?.endsReasoning ?? [];
  const mark = yield* reader.until(new Marks([syntax.end, ...implied]), (text) => writer.reasoning(text));
  if (mark === null) return;
  writer.endReasoning();
  if (mark !== syntax.end) reader.unread(mark);
}

/** Whether there was one. */
function* readBareCall(context: Context, tools: ToolSyntax, firsts: string): Reading<boolean> {
  const { reader, writer } = context;
  writer.content(yield* reader.space());
  const first = yield* reader.peek();
  if (first === "" || !firsts.includes(first)) return false;
  yield* readCalls(context, tools, "");
  return writer.isAfterBlock;
}

function* readCalls(context: Context, tools: ToolSyntax, begin: string): Reading<void> {
  const { reader, writer } = context;
  reader.record(begin);
  if (yield* tools.read(context, begin)) return;
  if (!writer.isCallOpen) return writer.content(reader.raw);
  const mark = yield* reader.until(new Marks([...tools.ends, ...tools.begins]), (text) => writer.arguments(text));
  if (mark !== null && tools.begins.includes(mark)) reader.unread(mark);
  writer.endCall(reader.raw);
}
