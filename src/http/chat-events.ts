/** A running job as events: what chat completions, responses and messages make their answers of. */
import type { ChatEvent, OutputParser } from "../chat/events.ts";
import type { GeneratedToken } from "../engine/request.ts";
import { ContentTokens } from "./content-tokens.ts";
import type { Usage } from "./fields.ts";
import { cancelJob, countUsage, type Job, readJob } from "./job.ts";
import type { OutputPiece } from "./pieces.ts";

export type ChatFinishReason = "stop" | "length" | "tool_calls";

/** One choice of a job that is read as chat. */
export interface ChatChoice {
  readonly parser: OutputParser;
  /** Only the first call is told of. */
  readonly singleCall: boolean;
  /** Tokens of its reasoning so far. */
  reasoningTokens: number;
  /** Calls that came whole, or are still open. */
  callCount: number;
  readonly contentTokens: ContentTokens;
}

export interface ChatJob extends Job {
  /** In the order of `generations`. */
  readonly choicesRead: readonly ChatChoice[];
}

/** With logprobs, content has the tokens that it is made of. */
export type AnswerEvent = Exclude<ChatEvent, { type: "content" }> | { type: "content"; text: string; tokens: GeneratedToken[] };

export interface ChatPiece {
  /** Neighbours of one kind are merged. */
  events: AnswerEvent[];
  /** With logprobs: the tokens, those of marks and calls included. */
  tokens: GeneratedToken[];
  /** Set in the last piece of a choice, and only there. */
  finishReason: ChatFinishReason | null;
  /** In the last piece: the stop string that has ended the output, if one has. */
  stopString: string | null;
}

/** A whole answer. Calls that were no JSON objects are part of the content. */
export interface ChatOutput {
  content: string;
  reasoning: string;
  toolCalls: ToolCall[];
  tokens: GeneratedToken[];
  finishReason: ChatFinishReason;
}

export interface ToolCall {
  id: string;
  name: string;
  /** JSON text of an object. */
  arguments: string;
}

export function createChoice(parser: OutputParser, singleCall: boolean): ChatChoice {
  return { parser, singleCall, reasoningTokens: 0, callCount: 0, contentTokens: new ContentTokens() };
}

/** The output of all choices as it comes, with the choice's index. Read it once; throws as `readJob` does. */
export async function* readChat(job: ChatJob): AsyncGenerator<[index: number, piece: ChatPiece]> {
  for await (const [index, piece] of readJob(job, true)) {
    const choice = job.choicesRead[index];
    if (!choice) throw new RangeError(`choice ${index} has no parser`);
    const events = readPiece(choice, piece, job.logprobs);
    for (const event of events) {
      if (event.type === "tool_call_start") choice.callCount++;
      else if (event.type === "tool_call_end" && event.malformed !== null) choice.callCount--;
    }
    const isCall = piece.finishReason === "stop" && choice.callCount > 0;
    const finishReason = isCall ? "tool_calls" : piece.finishReason;
    const { stopString } = piece;
    yield [index, { events, tokens: job.logprobs ? piece.tokens : [], finishReason, stopString }];
  }
}

/** The whole output of each choice. On any failure the others are cancelled. */
export async function collectChat(job: ChatJob): Promise<ChatOutput[]> {
  const outputs = job.choicesRead.map(
    (): ChatOutput => ({ content: "", reasoning: "", toolCalls: [], tokens: [], finishReason: "stop" }),
  );
  try {
    for await (const [index, { events, tokens, finishReason }] of readChat(job)) {
      const output = outputs[index];
      if (!output) throw new RangeError(`there is no choice ${index}`);
      for (const event of events) addEvent(output, event);
      for (const token of tokens) output.tokens.push(token);
      output.finishReason = finishReason ?? output.finishReason;
    }
  } catch (error) {
    cancelJob(job);
    throw error;
  }
  return outputs;
}

/** Token counts of all choices so far, reasoning included. */
export function countChatUsage(job: ChatJob): Usage {
  return countUsage(
    job,
    job.choicesRead.reduce((sum, { reasoningTokens }) => sum + reasoningTokens, 0),
  );
}

function addEvent(output: ChatOutput, event: ChatEvent): void {
  const call = output.toolCalls.at(-1);
  if (event.type === "content" || event.type === "reasoning") output[event.type] += event.text;
  else if (event.type === "tool_call_start") output.toolCalls.push({ id: event.id, name: event.name, arguments: "" });
  else if (event.type === "tool_call_arguments" && call) call.arguments += event.text;
  else if (event.type === "tool_call_end" && event.malformed !== null) {
    output.toolCalls.pop();
    output.content += event.malformed;
  }
}

/** Pushes token by token, as far as it is known what each has added, so that reasoning is counted exactly. */
function readPiece(choice: ChatChoice, { text, tokens, finishReason }: OutputPiece, withTokens: boolean): AnswerEvent[] {
  const { parser } = choice;
  const events: AnswerEvent[] = [];
  const add = (more: ChatEvent[]) => {
    for (const event of more) addMerged(events, withContentTokens(choice, event));
  };
  let rest = text;
  let unknown = 0;
  for (const token of tokens) {
    if (withTokens) choice.contentTokens.push(token);
    if (token.text === undefined) {
      unknown++;
      continue;
    }
    if (token.text !== "") add(parser.push(token.text));
    rest = rest.slice(token.text.length);
    if (parser.inReasoning) choice.reasoningTokens++;
  }
  const before = parser.inReasoning;
  if (rest !== "") add(parser.push(rest));
  if (before || parser.inReasoning) choice.reasoningTokens += unknown;
  if (finishReason !== null) add(parser.end());
  return choice.singleCall ? events.filter((event) => !("index" in event) || event.index === 0) : events;
}

function withContentTokens({ contentTokens }: ChatChoice, event: ChatEvent): AnswerEvent {
  if (event.type === "content") return { ...event, tokens: contentTokens.take(event.text.length) };
  contentTokens.clear();
  return event;
}

function addMerged(events: AnswerEvent[], event: AnswerEvent): void {
  const last = events.at(-1);
  if (last?.type !== event.type || !("text" in last && "text" in event)) events.push(event);
  else last.text += event.text;
  if (last?.type === "content" && event.type === "content") last.tokens.push(...event.tokens);
}
