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
  const named = typeof choice === "object" && choice !== null ? readName(choice) : null;
  const mustCall = choice === "required" || named !== null;
  if (mustCall && offered.length === 0) {
    throw new InvalidRequest("'tool_choice' is only allowed when 'tools' are given.", "tool_choice", "invalid_value");
  }
  if (named !== null && !offered.some(({ name }) => name === named)) {
    throw new InvalidRequest(`There is no tool ${JSON.stringify(named.slice(0, 64))} to choose.`, "tool_choice", "invalid_value");
  }
  return {
    shown,
    callable: named === null ? offered : offered.filter(({ name }) => name === named),
    mustCall,
    single: parallel === false || named !== null,
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

function readName(choice: Exclude<ChatCompletionRequest["tool_choice"], string | null | undefined>): string {
  const inner = choice.function;
  const name = typeof inner === "object" && inner !== null && "name" in inner ? inner.name : undefined;
  if (choice.type === "function" && typeof name === "string") return name;
  throw new InvalidRequest(
    "'tool_choice' must be 'none', 'auto', 'required' or {type: 'function', function: {name}}.",
    "tool_choice",
    "invalid_value",
  );
}
