import { InvalidRequest } from "../../errors.ts";
import { readToolOffer, type ToolOffer } from "../chat/tools.ts";
import type { FunctionTool, InputTokensRequest, ToolChoice } from "./request-model.ts";

type ToolFields = Pick<InputTokensRequest, "tools" | "tool_choice" | "parallel_tool_calls">;

/** The same as chat completions read it, which nest what is flat here. Throws `InvalidRequest`. */
export function readTools({ tools, tool_choice: choice, parallel_tool_calls }: ToolFields): ToolOffer {
  try {
    return readToolOffer({
      tools: tools?.map(nestTool),
      tool_choice: typeof choice === "object" && choice !== null ? nestChoice(choice) : choice,
      parallel_tool_calls,
    });
  } catch (error) {
    if (!(error instanceof InvalidRequest) || error.param === null) throw error;
    throw new InvalidRequest(error.message, error.param.replace(".function", ""), error.code);
  }
}

function nestTool({ type, name, description, parameters, strict }: FunctionTool) {
  return {
    type,
    function: { name, ...(description != null && { description }), ...(parameters != null && { parameters }), strict },
  };
}

const nestName = ({ name }: { name: string }) => ({ type: "function" as const, function: { name } });

function nestChoice(choice: Exclude<ToolChoice, string>) {
  if (choice.type === "function") return nestName(choice);
  return { type: choice.type, allowed_tools: { mode: choice.mode, tools: choice.tools.map(nestName) } };
}
