import type { Tool } from "../chat/events.ts";
import type { ChatFormat } from "../chat/format.ts";
import { gateReasoning } from "../chat/reasoning-gate.ts";
import { findReasoningState, type ReasoningState } from "../chat/reasoning-state.ts";
import { describeCalls } from "../chat/structure.ts";
import type { CompiledGrammar, GrammarSpec, TagFormat } from "../engine/request.ts";
import { InvalidRequest } from "../errors.ts";
import type { HttpContext } from "./context.ts";

/** What an answer has to be. */
export interface AnswerDemand {
  format: ChatFormat;
  /** The rendered prompt. */
  prompt: string;
  /** What may be called. */
  tools: readonly Tool[];
  /** Nothing but calls will do. */
  mustCall: boolean;
  /** At most one call. */
  single: boolean;
  /** Names of the tools whose arguments have to satisfy their schemas. */
  strict: ReadonlySet<string>;
  /** No other tools may be called, though the model has been shown more. */
  closed?: boolean;
  /** What an answer without calls has to look like; null: like anything. */
  answer: GrammarSpec | null;
  /** Where the request says so; `response_format` unless told. */
  answerParam?: string;
  /** The most tokens of reasoning; null: any number. */
  reasoningBudget: number | null;
}

/**
 * The grammar of a request; null: it needs none. Reasoning stays free. Throws `InvalidRequest` with the parameter `tools` or
 * `answerParam` for a schema that cannot be honoured.
 */
export async function compileDemand(
  context: HttpContext,
  demand: AnswerDemand,
  signal: AbortSignal,
): Promise<CompiledGrammar | null> {
  const spec = describeAnswer(demand);
  const param = demand.answer === null ? "tools" : (demand.answerParam ?? "response_format");
  const answer = spec && (await compile(context, spec, param, signal));
  const state = findReasoningState(demand.format, demand.prompt);
  // Forced calls of a format with messages of its own have the reasoning in their grammar.
  const hasOwnReasoning = demand.format.whole !== null && demand.mustCall;
  if (hasOwnReasoning && demand.reasoningBudget !== null) {
    throw new InvalidRequest("This model takes no 'thinking_budget' with a forced call.", "thinking_budget", "unsupported_value");
  }
  if (state === null || state.start === "over" || hasOwnReasoning) return answer;
  if (answer === null && demand.reasoningBudget === null) return null;
  return gate(context, state, answer, demand.reasoningBudget);
}

async function gate(
  { server }: HttpContext,
  state: ReasoningState,
  answer: CompiledGrammar | null,
  budget: number | null,
): Promise<CompiledGrammar> {
  const encode = (text: string) => server.encode(text, { addSpecialTokens: false });
  const [[beginToken = null], forcedEnd] = await Promise.all([encode(state.begin), encode(state.forcedEnd)]);
  return gateReasoning({
    state,
    answer,
    budget,
    beginToken,
    forcedEnd,
    vocabSize: server.model.vocabSize,
    tokenBytes: (id) => server.tokenBytes(id),
  });
}

async function compile({ server }: HttpContext, spec: GrammarSpec, param: string, signal: AbortSignal): Promise<CompiledGrammar> {
  try {
    return await server.compileGrammar(spec, signal);
  } catch (error) {
    if (!(error instanceof InvalidRequest) || error.param !== null) throw error;
    throw new InvalidRequest(error.message, param, error.code ?? "invalid_value");
  }
}

function describeAnswer(demand: AnswerDemand): GrammarSpec | null {
  const { format, tools, mustCall, single, strict, closed = false, answer } = demand;
  const structure = (format.whole ?? format.tools)?.structure;
  if (mustCall && !structure)
    throw new InvalidRequest("This server is told to find no tool calls.", "tool_choice", "invalid_value");
  if (tools.length === 0 || !structure) return answer;
  const isStrict = ({ name }: Tool) => strict.has(name);
  if (mustCall) {
    const calls = describeCalls(structure, tools, { isForced: true, single: single || format.whole !== null, isStrict });
    return { kind: "structural_tag", format: format.whole ? afterAnalysis(calls) : calls };
  }
  if (answer !== null) {
    const calls = describeCalls(structure, tools, { isForced: true, single, isStrict });
    // In a format with messages of its own the grammar begins within the last one, where there are no calls.
    return format.whole ? answer : { kind: "structural_tag", format: { type: "or", elements: [calls, toFormat(answer)] } };
  }
  if (!closed && !tools.some(isStrict)) return null;
  return { kind: "structural_tag", format: describeCalls(structure, tools, { isForced: false, single, isStrict }) };
}

/** Harmony: a message of reasoning may come first. */
function afterAnalysis(calls: TagFormat): TagFormat {
  const analysis: TagFormat = {
    type: "tag",
    begin: "<|channel|>analysis<|message|>",
    content: { type: "any_text" },
    end: "<|end|><|start|>assistant",
  };
  return { type: "or", elements: [{ type: "sequence", elements: [analysis, calls] }, calls] };
}

function toFormat(spec: GrammarSpec): TagFormat {
  switch (spec.kind) {
    case "json_object":
      return { type: "json_schema", json_schema: { type: "object" } };
    case "json_schema":
      return { type: "json_schema", json_schema: spec.schema };
    case "regex":
      return { type: "regex", pattern: spec.pattern };
    case "choice":
      return { type: "or", elements: spec.choices.map((value) => ({ type: "const_string", value })) };
    case "ebnf":
      return { type: "grammar", grammar: spec.text };
    case "structural_tag":
      return spec.format;
  }
}
