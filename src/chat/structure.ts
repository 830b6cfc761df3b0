import type { Tag, TagFormat } from "../engine/request.ts";
import type { Tool } from "./events.ts";

/** How calls look, for a grammar: what `ToolSyntax.read` understands, written one way. */
export interface CallStructure {
  /** Around all calls of an answer; without an end, each call may begin a section of its own. */
  readonly section?: { readonly begin: string; readonly end: string };
  /** Between two calls; never empty. */
  readonly separator: string;
  /** What a call of this tool begins with, or a section with calls, where text stands before it; a part of it as short as may be. */
  trigger(tool: string): string;
  /** Another way to begin a call, which text may go over to as well. */
  readonly also?: { readonly trigger: string; call(tool: Tool, isStrict: boolean): Tag };
  /** `isStrict`: the arguments satisfy the tool's schema; otherwise they may be anything. */
  call(tool: Tool, isStrict: boolean): Tag;
}

export interface CallsOptions {
  /** The answer is calls, at least one, and nothing else; otherwise it is any text, and what begins as a call becomes one. */
  isForced: boolean;
  /** At most one call. */
  single: boolean;
  /** Tools whose arguments have to satisfy their schemas. */
  isStrict(tool: Tool): boolean;
}

/** The grammar of an answer with calls of these tools, at least one of them. */
export function describeCalls(structure: CallStructure, tools: readonly Tool[], options: CallsOptions): TagFormat {
  const { section, separator } = structure;
  const tags = tools.map((tool) => structure.call(tool, options.isForced || options.isStrict(tool)));
  const calls: TagFormat = {
    type: "tags_with_separator",
    tags,
    separator,
    at_least_one: true,
    stop_after_first: options.single,
  };
  if (options.isForced) return section ? enclose(section, calls) : calls;
  const { also } = structure;
  const others = also ? tools.map((tool) => also.call(tool, options.isStrict(tool))) : [];
  const triggers = [...new Set([...tools.map(({ name }) => structure.trigger(name)), ...(also ? [also.trigger] : [])])];
  const wholes = section?.end === "" ? tags.map((tag) => ({ ...tag, begin: section.begin + tag.begin })) : null;
  const sections: readonly Tag[] | null = section ? [{ type: "tag", ...section, content: calls }] : null;
  const begun = [...(wholes ?? sections ?? tags), ...others];
  return { type: "triggered_tags", triggers, tags: begun, stop_after_first: options.single };
}

function enclose({ begin, end }: { begin: string; end: string }, content: TagFormat): TagFormat {
  if (end !== "") return { type: "tag", begin, content, end };
  return { type: "sequence", elements: [{ type: "const_string", value: begin }, content] };
}

/** The schema of a tool's arguments. */
export function schemaOf({ parameters }: Tool): Record<string, unknown> {
  return isRecord(parameters) ? { type: "object", ...parameters } : { type: "object" };
}

/** A call whose arguments are JSON. */
export function jsonCall(begin: string, end: string, tool: Tool, isStrict: boolean): Tag {
  return {
    type: "tag",
    begin,
    content: { type: "json_schema", json_schema: isStrict ? schemaOf(tool) : { type: "object" } },
    end,
  };
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
