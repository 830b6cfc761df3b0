import type { Tool as OfferedTool } from "../../chat/events.ts";
import { InvalidRequest } from "../../errors.ts";
import type { ChatCompletionRequest, Tool } from "./model.ts";

/** What a request says of tools. */
export interface ToolOffer {
  /** For the chat template; null: none. */
  readonly shown: readonly Tool[] | null;
  /** What may be called. */
  readonly callable: readonly OfferedTool[];
  readonly mustCall: boolean;
  /** Only the first call of an answer counts. */
  readonly single: boolean;
  /** Names of the tools whose arguments have to satisfy their schemas. */
  readonly strict: ReadonlySet<string>;
  /** What is shown but not callable must not be called. */
  readonly closed?: boolean;
}

type ToolFields = Pick<ChatCompletionRequest, "tools" | "tool_choice" | "parallel_tool_calls">;

/** Throws `InvalidRequest` for a choice that does not fit the tools. */
export function readToolOffer({ tools, tool_choice: choice, parallel_tool_calls: parallel }: ToolFields): ToolOffer {
  checkNames(tools ?? []);
  const shown = choice === "none" || !tools?.length ? null : tools;
  const offered = (shown ?? []).map(({ function: { name, parameters } }) => ({
    name,
    ...(parameters != null && { parameters }),
  }));
  const chosen = readChoice(choice);
  if (chosen.mustCall && offered.length === 0) {
    throw new InvalidRequest("'tool_choice' is only allowed when 'tools' are given.", "tool_choice", "invalid_value");
  }
  const { names } = chosen;
  const absent = names?.find((wanted) => !offered.some(({ name }) => name === wanted));
  if (absent !== undefined) {
    const message = `There is no tool ${JSON.stringify(absent.slice(0, 64))} to choose.`;
    throw new InvalidRequest(message, "tool_choice", "invalid_value");
  }
  return {
    shown,
    callable: names === null ? offered : offered.filter(({ name }) => names.includes(name)),
    mustCall: chosen.mustCall,
    single: parallel === false || chosen.single,
    closed: names !== null,
    strict: new Set((shown ?? []).filter((tool) => tool.function.strict === true).map((tool) => tool.function.name)),
  };
}

function checkNames(tools: readonly Tool[]): void {
  const names = new Set<string>();
  for (const [index, tool] of tools.entries()) {
    const { name } = tool.function;
    if (names.has(name)) {
      const shown = JSON.stringify(name.slice(0, 64));
      throw new InvalidRequest(`There are two tools called ${shown}.`, `tools.${index}.function.name`, "invalid_value");
    }
    names.add(name);
  }
}

interface Choice {
  mustCall: boolean;
  single: boolean;
  /** The only tools that may be called; null: any. */
  names: readonly string[] | null;
}

function readChoice(choice: ToolFields["tool_choice"]): Choice {
  if (choice == null || typeof choice === "string") return { mustCall: choice === "required", single: false, names: null };
  if (choice.type === "function") return { mustCall: true, single: true, names: [choice.function.name] };
  const { mode, tools } = choice.allowed_tools;
  return { mustCall: mode === "required", single: false, names: tools.map((tool) => tool.function.name) };
}
