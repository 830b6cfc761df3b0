/** The events of a streamed response, in the order in which they come. */
import * as v from "valibot";
import { count } from "../fields.ts";
import { OutputItem, OutputText, ReasoningText, SummaryText } from "./items.ts";
import { Response } from "./model.ts";

const event = <Type extends string, Entries extends v.ObjectEntries>(type: Type, entries: Entries) =>
  v.object({ type: v.literal(type), sequence_number: count, ...entries });

const inOutput = { output_index: count };
const inItem = { item_id: v.string(), ...inOutput };
const inContent = { ...inItem, content_index: count };
const inSummary = { ...inItem, summary_index: count };
const part = v.variant("type", [OutputText, ReasoningText]);

const deltaLogprob = v.object({
  token: v.string(),
  logprob: v.number(),
  bytes: v.array(count),
  top_logprobs: v.array(v.object({ token: v.string(), logprob: v.number(), bytes: v.array(count) })),
});
const logprobs = v.array(deltaLogprob);

const nullableText = v.nullable(v.string());
const failure = { code: nullableText, message: v.string(), param: nullableText };

export const ResponseEvent = v.pipe(
  v.variant("type", [
    event("response.created", { response: Response }),
    event("response.in_progress", { response: Response }),
    event("response.output_item.added", { ...inOutput, item: OutputItem }),
    event("response.content_part.added", { ...inContent, part }),
    event("response.reasoning_text.delta", { ...inContent, delta: v.string() }),
    event("response.reasoning_text.done", { ...inContent, text: v.string() }),
    event("response.output_text.delta", { ...inContent, delta: v.string(), logprobs }),
    event("response.output_text.done", { ...inContent, text: v.string(), logprobs }),
    event("response.content_part.done", { ...inContent, part }),
    event("response.reasoning_summary_part.added", { ...inSummary, part: SummaryText }),
    event("response.reasoning_summary_text.delta", { ...inSummary, delta: v.string() }),
    event("response.reasoning_summary_text.done", { ...inSummary, text: v.string() }),
    event("response.reasoning_summary_part.done", { ...inSummary, part: SummaryText }),
    event("response.function_call_arguments.delta", { ...inItem, delta: v.string() }),
    event("response.function_call_arguments.done", { ...inItem, name: v.string(), arguments: v.string() }),
    event("response.output_item.done", { ...inOutput, item: OutputItem }),
    event("response.completed", { response: Response }),
    event("response.incomplete", { response: Response }),
    // OpenAI says it flat, Open Responses as an object; clients read the one or the other.
    event("error", { ...failure, error: v.object({ type: v.string(), ...failure }) }),
    event("response.failed", { response: Response }),
  ]),
  v.description("The data of one server-sent event, whose name is the `type`; `[DONE]` comes after the last."),
);
export type ResponseEvent = v.InferOutput<typeof ResponseEvent>;

/** Distributes over the kinds of events. */
type Unnumbered<Event> = Event extends unknown ? Omit<Event, "sequence_number"> : never;

/** An event before its place in the stream is known. */
export type ResponseEventBody = Unnumbered<ResponseEvent>;
