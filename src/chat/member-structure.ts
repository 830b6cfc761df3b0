import type { TagFormat } from "../engine/request.ts";
import type { Tool } from "./events.ts";
import { findParameterTypes } from "./parameter-types.ts";
import { isRecord, schemaOf } from "./structure.ts";

/** How the arguments of a call stand as members one after the other. */
export interface MemberStyle {
  /** Before a member's value; `isText`: it stands as text between the marks of strings. */
  before(key: string, isText: boolean): string;
  /** After it. */
  after: string;
  /** Between two members. */
  separator: string;
  /** Marks around the text of a string; null: strings are JSON. */
  string: { readonly begin: string; readonly end: string } | null;
}

const nothing: TagFormat = { type: "grammar", grammar: 'root ::= ""' };

/** The members of a tool's arguments: the required ones, then as many of the others as there may be, in the schema's order. */
export function describeMembers(tool: Tool, style: MemberStyle): TagFormat {
  const schema = schemaOf(tool);
  const keys = Object.keys(isRecord(schema.properties) ? schema.properties : {});
  const needed = new Set(Array.isArray(schema.required) ? schema.required : []);
  const required = keys.filter((key) => needed.has(key)).map((key) => member(tool, schema, key, style));
  const optional = keys.filter((key) => !needed.has(key)).map((key) => member(tool, schema, key, style));
  const { separator } = style;
  const after = (elements: readonly TagFormat[]) => elements.map((element) => maybe(join([element], separator, true)));
  if (required.length > 0) return sequence([...join(required, separator, false), ...after(optional)]);
  if (separator === "") return sequence(optional.map((element) => maybe([element])));
  // Whichever comes first has no separator before it.
  const starts = optional.map((element, index) => sequence([element, ...after(optional.slice(index + 1))]));
  return starts.length === 0 ? nothing : { type: "or", elements: [...starts, nothing] };
}

function member(tool: Tool, root: Record<string, unknown>, key: string, { before, after, string }: MemberStyle): TagFormat {
  const properties = isRecord(root.properties) ? root.properties : {};
  const schema = properties[key];
  const types = findParameterTypes([tool], tool.name, key);
  if (string && (types === null || types.has("string"))) {
    return tag(before(key, true) + string.begin, describeText(schema), string.end + after);
  }
  // References look for their definitions at the root.
  const { $defs, definitions } = root;
  const own = isRecord(schema)
    ? { ...schema, ...($defs != null && { $defs }), ...(definitions != null && { definitions }) }
    : true;
  return tag(before(key, false), { type: "json_schema", json_schema: own }, after);
}

/** A string as it stands between marks. */
function describeText(schema: unknown): TagFormat {
  if (!isRecord(schema)) return { type: "any_text" };
  const values = Array.isArray(schema.enum) ? schema.enum : "const" in schema ? [schema.const] : [];
  if (values.length > 0) {
    return {
      type: "or",
      elements: values.map((value) => ({
        type: "const_string",
        value: typeof value === "string" ? value : JSON.stringify(value),
      })),
    };
  }
  if (typeof schema.pattern === "string") return { type: "regex", pattern: toWhole(schema.pattern) };
  const { minLength = 0, maxLength } = schema;
  if (Number(minLength) === 0 && maxLength === undefined) return { type: "any_text" };
  return { type: "regex", pattern: `[^<]{${Number(minLength)},${maxLength === undefined ? "" : Number(maxLength)}}` };
}

/** A pattern that is looked for anywhere, as one that matches the whole text. */
function toWhole(pattern: string): string {
  const begins = pattern.startsWith("^");
  const ends = /(?<!\\)\$$/.test(pattern);
  const core = pattern.slice(begins ? 1 : 0, ends ? -1 : undefined);
  return `${begins ? "" : "[^<]*"}(${core})${ends ? "" : "[^<]*"}`;
}

function tag(begin: string, content: TagFormat, end: string): TagFormat {
  return {
    type: "sequence",
    elements: [text(begin), ...(end === "" ? [content] : [{ type: "tag" as const, begin: "", content, end }])],
  };
}

function text(value: string): TagFormat {
  return { type: "const_string", value };
}

function join(elements: readonly TagFormat[], separator: string, leads: boolean): TagFormat[] {
  return elements.flatMap((element, index) =>
    separator !== "" && (leads || index > 0) ? [text(separator), element] : [element],
  );
}

function maybe(elements: readonly TagFormat[]): TagFormat {
  return { type: "or", elements: [sequence(elements), nothing] };
}

function sequence(elements: readonly TagFormat[]): TagFormat {
  return elements.length === 0 ? nothing : { type: "sequence", elements };
}
