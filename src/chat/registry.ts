import { StartupError } from "../errors.ts";
import { deepseekV3, deepseekV31 } from "./families/deepseek.ts";
import { functionGemma, gemma4 } from "./families/gemma.ts";
import { glm, longcat } from "./families/glm.ts";
import { harmony } from "./families/harmony.ts";
import { hermes } from "./families/hermes.ts";
import { deepseekV4, deepseekV32, minicpm5, minimaxM2, museSpark } from "./families/invoke-xml.ts";
import { cohere, granite, internlm, minimaxM1, nemotron, phi4 } from "./families/json-list.ts";
import { kimiK2 } from "./families/kimi.ts";
import { llama } from "./families/llama.ts";
import { mistral, mistralList } from "./families/mistral.ts";
import { gemma3, lfm2, olmo3, pythonic } from "./families/pythonic.ts";
import { qwenXml, seedOss } from "./families/qwen-xml.ts";
import type { ChatFormat, ReasoningSyntax, ToolSyntax, WholeSyntax } from "./format.ts";
import * as reasoning from "./reasoning.ts";

interface Entry<Syntax> {
  syntax: Syntax;
  /** Whether a chat template is one of this family. */
  isKnownBy(template: string): boolean;
}

function entry<Syntax>(syntax: Syntax, ...marks: (string | RegExp)[]): Entry<Syntax> {
  const has = (template: string, mark: string | RegExp) =>
    typeof mark === "string" ? template.includes(mark) : mark.test(template);
  return { syntax, isKnownBy: (template) => marks.every((mark) => has(template, mark)) };
}

/** Ways to write tool calls; of those that know a template the first one counts. */
const toolEntries: readonly Entry<ToolSyntax>[] = [
  entry(gemma4, "<|tool_call>", "<tool_call|>"),
  entry(functionGemma, "<start_function_call>"),
  entry(minimaxM2, "<minimax:tool_call>"),
  entry(museSpark, "<atem:function_calls>"),
  entry(deepseekV4, "DSML", "tool_calls>"),
  entry(deepseekV32, "DSML"),
  entry(deepseekV3, "<｜tool▁call▁begin｜>", /```json/),
  entry(deepseekV31, "<｜tool▁call▁begin｜>"),
  entry(kimiK2, "<|tool_calls_section_begin|>"),
  entry(longcat, "<longcat_tool_call>"),
  entry(seedOss, "<seed:tool_call>"),
  entry(glm, "<arg_key>"),
  entry(qwenXml, "<function=", "<parameter="),
  entry(minicpm5, '<function name="', '<param name="'),
  entry(mistral, "[TOOL_CALLS]", "[ARGS]"),
  entry(mistralList, "[TOOL_CALLS]"),
  entry(lfm2, /<\|tool_(list|call)_start\|>/),
  entry(olmo3, "<function_calls>"),
  entry(cohere, "<|START_ACTION|>"),
  entry(nemotron, "<TOOLCALL>"),
  entry(internlm, "<|plugin|>"),
  entry(granite, "<|tool_call|>", "<|start_of_role|>"),
  entry(phi4, /<\|tool(_call)?\|>/),
  entry(minimaxM1, "<tool_calls>"),
  entry(pythonic, /\[func_name1?\(|<\|python_start\|>/),
  entry(llama, /<\|python_tag\|>|"parameters": dictionary|<\|eom_id\|>/),
  entry(hermes, "<tool_call>"),
  entry(gemma3, "<start_of_turn>"),
];

const reasoningEntries: readonly Entry<ReasoningSyntax>[] = [
  entry(reasoning.gemmaThought, "<|channel>"),
  entry(reasoning.cohereThinking, "<|START_THINKING|>"),
  entry(reasoning.mistralThink, "[THINK]"),
  entry(reasoning.seedThink, "<seed:think>"),
  entry(reasoning.longcatThink, "<longcat_think>"),
  entry(reasoning.kimiVlThink, "◁think▷"),
  entry(reasoning.minicpmThought, "<|thought_start|>"),
  entry(reasoning.thinkAnswer, "<think>", "<answer>"),
  entry(reasoning.thinkResponse, "<think>", "<response>"),
  entry(reasoning.think, /<\/?think>/),
  entry(reasoning.exaoneThought, "<thought>"),
  entry(reasoning.graniteThought, "Here is my thought process:"),
];

const wholeEntries: readonly Entry<WholeSyntax>[] = [entry(harmony, "<|channel|>", "<|message|>")];

/** What a model without a known way of its own is asked to write, and what most models understand. */
const fallback = hermes;

export const parserNames: Readonly<Record<"tools" | "reasoning", readonly string[]>> = {
  tools: namesOf([...toolEntries, ...wholeEntries]),
  reasoning: namesOf([...reasoningEntries, ...wholeEntries]),
};

export interface ParserChoice {
  /** One of `parserNames`, or `none`; null: as the chat template says. */
  toolParser: string | null;
  reasoningParser: string | null;
}

export interface FormatChoice extends ParserChoice {
  /** The text of all chat templates of the model. */
  template: string | null;
}

/** Throws `StartupError` for a name that there is not. */
export function requireParsers({ toolParser, reasoningParser }: ParserChoice): void {
  const check = (name: string | null, known: readonly string[], option: string) => {
    if (name === null || name === "none" || known.includes(name)) return;
    throw new StartupError(`${option} must be none or one of ${known.join(", ")}, not ${JSON.stringify(name)}.`);
  };
  check(toolParser, parserNames.tools, "--tool-parser");
  check(reasoningParser, parserNames.reasoning, "--reasoning-parser");
}

/** How a model writes its answers, as its chat template shows or as it was chosen. Names must be known ones. */
export function chooseFormat({ template, toolParser, reasoningParser }: FormatChoice): ChatFormat {
  const text = template ?? "";
  const isChosen = (name: string) => toolParser === name || reasoningParser === name;
  const found = toolParser === null && reasoningParser === null;
  const whole = wholeEntries.find(({ syntax, isKnownBy }) => isChosen(syntax.name) || (found && isKnownBy(text)))?.syntax ?? null;
  if (whole) return { whole, reasoning: null, tools: null };
  return {
    whole: null,
    reasoning: choose(reasoningEntries, reasoningParser, text),
    tools: toolParser === "none" ? null : (choose(toolEntries, toolParser, text) ?? fallback),
  };
}

function choose<Syntax extends { name: string }>(
  entries: readonly Entry<Syntax>[],
  name: string | null,
  template: string,
): Syntax | null {
  if (name !== null) return entries.find(({ syntax }) => syntax.name === name)?.syntax ?? null;
  return entries.find(({ isKnownBy }) => isKnownBy(template))?.syntax ?? null;
}

function namesOf(entries: readonly Entry<{ name: string }>[]): string[] {
  return entries.map(({ syntax }) => syntax.name);
}

/** Special tokens that must be in the text, and tokens that end an output beside the model's own. */
export function listFormatTokens({ whole, reasoning, tools }: ChatFormat): { shown: string[]; ends: string[] } {
  const marks = reasoning ? (reasoning.specialTokens ?? [reasoning.begin, reasoning.end]) : [];
  return {
    shown: [...(whole?.specialTokens ?? []), ...marks, ...(reasoning?.dropped ?? []), ...(tools?.specialTokens ?? [])],
    ends: [...(whole?.endTokens ?? []), ...(tools?.endTokens ?? [])],
  };
}
