import { readToolOffer, type ToolOffer } from "../chat/tools.ts";
import type { InputTool, MessagesRequest } from "./request-model.ts";

type OfferedTools = Parameters<typeof readToolOffer>[0];

/** Throws `InvalidRequest` for a choice that does not fit the tools. */
export function readTools({ tools, tool_choice: choice }: Pick<MessagesRequest, "tools" | "tool_choice">): ToolOffer {
  return readToolOffer({
    tools: tools?.map(toFunction),
    tool_choice: toChoice(choice),
    parallel_tool_calls: choice == null || choice.type === "none" ? null : !choice.disable_parallel_tool_use,
  });
}

function toFunction({ name, description, input_schema: parameters, strict }: InputTool) {
  const described = description == null ? {} : { description };
  return { type: "function" as const, function: { name, ...described, parameters, ...(strict && { strict }) } };
}

function toChoice(choice: MessagesRequest["tool_choice"]): OfferedTools["tool_choice"] {
  switch (choice?.type) {
    case "any":
      return "required";
    case "tool":
      return { type: "function", function: { name: choice.name } };
    case "none":
      return "none";
    default:
      return "auto";
  }
}
