/** What the chat formats of models have in common: events out of a text that comes in pieces. Pure text, no model, no HTTP. */

/** A function that the request offers to the model. */
export interface Tool {
  readonly name: string;
  /** JSON Schema of the arguments; absent: an object of anything. */
  readonly parameters?: unknown;
}

/**
 * A piece of an answer. A call is `tool_call_start`, any number of `tool_call_arguments` that together are JSON text, and
 * `tool_call_end`; calls do not overlap, and `index` counts them from 0. Neighbouring pieces of one kind may be merged.
 */
export type ChatEvent =
  | { type: "content"; text: string }
  | { type: "reasoning"; text: string }
  | { type: "tool_call_start"; index: number; id: string; name: string }
  | { type: "tool_call_arguments"; index: number; text: string }
  /** `malformed`: null, or the model's own text of a call whose arguments are no JSON object, or not all of one. */
  | { type: "tool_call_end"; index: number; malformed: string | null };

/** Reads one output. The events do not depend on how the text is cut into pieces, but for where they themselves are cut. */
export interface OutputParser {
  /** Takes the next piece of text. Never throws, whatever the text. */
  push(text: string): ChatEvent[];
  /** The output has ended: what was held back comes out. Call it once. */
  end(): ChatEvent[];
  /** Whether the text goes on with reasoning, as far as it is known. */
  readonly inReasoning: boolean;
}

/** Where one thing ends and another begins in a parser; see `Reader`. */
export type Reading<T> = Generator<undefined, T, undefined>;
