import { InvalidRequest } from "../errors.ts";
import { PythonTemplate } from "./python-template.ts";
import { strftime } from "./strftime.ts";
import { prepareMessages, readTemplateStyle, type TemplateMessage, type TemplateStyle } from "./template-messages.ts";
import { isRecord, readTokenText, type TokenizerConfig } from "./tokenizer-config.ts";

export interface TemplateOptions {
  tools?: readonly unknown[] | null;
  /** Extra variables for the template, e.g. `enable_thinking`. */
  kwargs?: Readonly<Record<string, unknown>>;
  /** Default true. */
  addGenerationPrompt?: boolean;
}

type SeparateTemplates = string | readonly { name: string; template: string }[] | null;

interface Compiled {
  template: PythonTemplate;
  style: TemplateStyle;
}

/** The chat template(s) of a model, compiled once. A model without a usable one still loads: only rendering is refused. */
export class ChatTemplate {
  /** Why rendering will be refused, for the log at start; null when all is well. */
  readonly problem: string | null;
  /** The text of all of them; null: there is none. */
  readonly source: string | null;
  private readonly compiled = new Map<string, Compiled>();
  /** How many there are, those that cannot be used included. */
  private readonly count: number;
  private readonly specialTokens: [string, unknown][];

  /** `separate` are those of files of their own, which win over tokenizer_config.json; a text is one of them. Never throws. */
  constructor(tokenizerConfig: TokenizerConfig, separate: SeparateTemplates = null) {
    this.specialTokens = listSpecialTokens(tokenizerConfig);
    let problem: string | null = null;
    const sources = listSources(tokenizerConfig, separate);
    this.count = sources.length;
    this.source = sources.length > 0 ? sources.map(([, source]) => source).join("\n") : null;
    for (const [name, source] of sources) {
      try {
        this.compiled.set(name, { template: new PythonTemplate(source), style: readTemplateStyle(source) });
      } catch (error) {
        problem = `this model's chat template cannot be used: ${describe(error)}`;
      }
    }
    if (!problem && this.compiled.size === 0) problem = "this model has no chat template; use /v1/completions instead";
    this.problem = problem;
  }

  /** The prompt of a conversation. Throws `InvalidRequest`, with the template's own words where it refuses. */
  render(messages: readonly TemplateMessage[], options: TemplateOptions = {}): string {
    const tools = options.tools && options.tools.length > 0 ? options.tools : null;
    const chosen = this.choose(tools !== null);
    if (messages.length === 0) throw new InvalidRequest("messages must not be empty", "messages");
    const kwargs = Object.entries(options.kwargs ?? {});
    const reserved = kwargs.find(([name]) => name === "messages" || name === "tools");
    if (reserved) throw new InvalidRequest(`the template variable "${reserved[0]}" cannot be set here`, "chat_template_kwargs");
    const variables = new Map<string, unknown>([
      ["raise_exception", refuse],
      ["strftime_now", (format: unknown) => strftime(new Date(), String(format))],
      ["documents", null],
      ["add_generation_prompt", true],
      ...this.specialTokens,
      ...kwargs,
    ]);
    if (options.addGenerationPrompt !== undefined) variables.set("add_generation_prompt", options.addGenerationPrompt);
    variables.set("tools", tools);
    const attempt = (keepsArguments: boolean) => {
      variables.set("messages", prepareMessages(messages, chosen.style, keepsArguments));
      return chosen.template.render(variables);
    };
    return guard(() => {
      try {
        return attempt(false);
      } catch (error) {
        // A few templates want the arguments of tool calls as the JSON text that clients send.
        if (error instanceof InvalidRequest || !messages.some((message) => message.tool_calls)) throw error;
        return attempt(true);
      }
    });
  }

  private choose(hasTools: boolean): Compiled {
    const only = this.count === 1 ? [...this.compiled.values()][0] : undefined;
    const chosen = (hasTools ? this.compiled.get("tool_use") : undefined) ?? this.compiled.get("default") ?? only;
    if (chosen) return chosen;
    throw new InvalidRequest(this.problem ?? "this model has no default chat template", "messages");
  }
}

function guard(render: () => string): string {
  try {
    return render();
  } catch (error) {
    if (error instanceof InvalidRequest) throw error;
    throw new InvalidRequest(`the chat template failed: ${describe(error)}`, "messages");
  }
}

function refuse(message: unknown): never {
  throw new InvalidRequest(String(message), "messages");
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A default of their own hides those of the config; without one they are added to them. */
function listSources(config: TokenizerConfig, separate: SeparateTemplates): [string, string][] {
  const own = readNamed(separate);
  if (own.some(([name]) => name === "default")) return own;
  const named = new Set(own.map(([name]) => name));
  return [...own, ...readNamed(config.chat_template).filter(([name]) => !named.has(name))];
}

function readNamed(template: unknown): [string, string][] {
  if (typeof template === "string") return [["default", template]];
  if (!Array.isArray(template)) return [];
  return template.flatMap((entry: unknown): [string, string][] =>
    isRecord(entry) && typeof entry.name === "string" && typeof entry.template === "string" ? [[entry.name, entry.template]] : [],
  );
}

/** `bos_token` and the like, as transformers hands them to templates: only those that are set. */
function listSpecialTokens(config: TokenizerConfig): [string, unknown][] {
  const tokens = Object.entries(config).flatMap(([key, entry]): [string, unknown][] => {
    const text = key.endsWith("_token") ? readTokenText(entry) : undefined;
    return text === undefined ? [] : [[key, text]];
  });
  const more = Array.isArray(config.additional_special_tokens) ? config.additional_special_tokens.map(readTokenText) : [];
  return more.length > 0 ? [...tokens, ["additional_special_tokens", more.filter((text) => text !== undefined)]] : tokens;
}
