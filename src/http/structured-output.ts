/** What an answer has to look like, as OpenAI's, vLLM's and SGLang's requests say it. */
import * as v from "valibot";
import type { CompiledGrammar, GrammarSpec, InferenceServer, Tag, TagFormat } from "../engine/request.ts";
import { InvalidRequest } from "../errors.ts";

const schemaOrText = (description: string) =>
  v.nullish(v.pipe(v.union([v.looseObject({}), v.boolean(), v.string()]), v.description(description)));
const pattern = (description: string) => v.nullish(v.pipe(v.string(), v.description(description)));
const choices = (description: string) =>
  v.nullish(
    v.pipe(
      v.array(v.string()),
      v.minLength(1, "at least one choice is needed."),
      v.maxLength(10_000),
      v.description(description),
    ),
  );
const tagHint = "Text, tags and the formats between them, as xgrammar describes them: an object with `format`, or its JSON text.";

const JsonSchemaFormat = v.looseObject({
  type: v.literal("json_schema"),
  json_schema: v.object({
    name: v.nullish(v.string()),
    description: v.nullish(v.string()),
    schema: v.pipe(
      v.optional(v.union([v.looseObject({}), v.boolean()])),
      v.description("JSON Schema. Keys come in its order. What cannot be honoured is refused, by keyword."),
    ),
    strict: v.nullish(v.pipe(v.boolean(), v.description("The schema is kept to in either case."))),
  }),
});

const ResponseFormat = v.pipe(
  v.variant(
    "type",
    [
      v.looseObject({ type: v.literal("text") }),
      v.looseObject({ type: v.literal("json_object") }),
      JsonSchemaFormat,
      v.looseObject({ type: v.literal("structural_tag") }),
    ],
    "only 'text', 'json_object', 'json_schema' and 'structural_tag' are supported.",
  ),
  v.description("`text`, `json_object` for any JSON object, `json_schema` for what satisfies a schema, or `structural_tag`."),
);

/** The same in both completion routes. */
export const structuredOutputEntries = {
  response_format: v.nullish(ResponseFormat),
  guided_json: schemaOrText("JSON Schema that the output has to satisfy, or its JSON text."),
  guided_regex: pattern("Pattern that the whole output has to match."),
  guided_choice: choices("Texts of which the output has to be one."),
  guided_grammar: pattern("Context-free grammar of the output in EBNF; it begins with the rule `root`."),
  regex: pattern("As `guided_regex`."),
  ebnf: pattern("As `guided_grammar`."),
  structured_outputs: v.nullish(
    v.pipe(
      v.object({
        json: schemaOrText("As `guided_json`."),
        regex: pattern("As `guided_regex`."),
        choice: choices("As `guided_choice`."),
        grammar: pattern("As `guided_grammar`."),
        json_object: v.nullish(v.pipe(v.boolean(), v.description("True: any JSON object."))),
        structural_tag: schemaOrText(tagHint),
      }),
      v.description("One of these ways to say what the output has to look like."),
    ),
  ),
};

export type StructuredOutputBody = v.InferOutput<v.ObjectSchema<typeof structuredOutputEntries, undefined>>;

/** What is asked for, and where. */
export interface StructureDemand {
  spec: GrammarSpec;
  param: string;
}

/** Null: the output may look like anything. Throws `InvalidRequest` for several demands, or one that makes no sense. */
export function readStructure(body: StructuredOutputBody): StructureDemand | null {
  const { response_format: format, structured_outputs: outputs } = body;
  const demands: (StructureDemand | null)[] = [
    format == null ? null : readFormat(format),
    ...readWays("guided_", {
      json: body.guided_json,
      regex: body.guided_regex,
      choice: body.guided_choice,
      grammar: body.guided_grammar,
    }),
    ...readWays("", { regex: body.regex }),
    body.ebnf == null ? null : { spec: { kind: "ebnf", text: body.ebnf }, param: "ebnf" },
    ...readWays("structured_outputs.", outputs ?? {}),
  ];
  const [first = null, second] = demands.filter((demand) => demand !== null);
  if (first && second) throw invalid(`'${first.param}' and '${second.param}' cannot be combined.`, second.param);
  return first;
}

/** Compiles it for a request. Throws `InvalidRequest` with the parameter that asks for it. */
export async function compileStructure(
  server: InferenceServer,
  demand: StructureDemand | null,
  signal: AbortSignal,
): Promise<CompiledGrammar | null> {
  if (demand === null) return null;
  try {
    return await server.compileGrammar(demand.spec, signal);
  } catch (error) {
    if (!(error instanceof InvalidRequest) || error.param !== null) throw error;
    throw new InvalidRequest(error.message, demand.param, error.code ?? "invalid_value");
  }
}

function readFormat(format: NonNullable<StructuredOutputBody["response_format"]>): StructureDemand | null {
  const param = "response_format";
  switch (format.type) {
    case "text":
      return null;
    case "json_object":
      return { spec: { kind: "json_object" }, param };
    case "json_schema":
      return { spec: { kind: "json_schema", schema: format.json_schema.schema ?? {} }, param };
    case "structural_tag":
      return { spec: readTag(format, param), param };
  }
}

type Ways = Partial<NonNullable<StructuredOutputBody["structured_outputs"]>>;

function readWays(prefix: string, ways: Ways): (StructureDemand | null)[] {
  const say = <T>(name: keyof Ways, value: T | null | undefined, spec: (value: T, param: string) => GrammarSpec) => {
    const param = `${prefix}${name}`;
    return value == null ? null : { spec: spec(value, param), param };
  };
  return [
    say("json", ways.json, (schema, param) => ({ kind: "json_schema", schema: readJson(schema, param) })),
    say("regex", ways.regex, (text) => ({ kind: "regex", pattern: text })),
    say("choice", ways.choice, (list) => ({ kind: "choice", choices: list })),
    say("grammar", ways.grammar, (text) => ({ kind: "ebnf", text })),
    say("json_object", ways.json_object || null, () => ({ kind: "json_object" })),
    say("structural_tag", ways.structural_tag, (tag, param) => readTag(readJson(tag, param), param)),
  ];
}

/** JSON that may come as text. */
function readJson(value: unknown, param: string): unknown {
  if (typeof value !== "string") return value;
  try {
    return JSON.parse(value) as unknown;
  } catch {
    throw invalid(`'${param}' is not valid JSON.`, param);
  }
}

/** xgrammar's object with a format, or the older kind with triggers. */
function readTag(value: unknown, param: string): GrammarSpec {
  const tag = value as { format?: unknown; structures?: unknown; triggers?: unknown } | null;
  if (typeof tag === "object" && tag !== null) {
    if (typeof tag.format === "object" && tag.format !== null) return { kind: "structural_tag", format: tag.format as TagFormat };
    if (Array.isArray(tag.structures) && Array.isArray(tag.triggers)) {
      const tags = (tag.structures as { begin: string; schema: unknown; end: string }[]).map(({ begin, schema, end }): Tag => {
        return { type: "tag", begin, content: { type: "json_schema", json_schema: schema }, end };
      });
      return { kind: "structural_tag", format: { type: "triggered_tags", triggers: tag.triggers as string[], tags } };
    }
  }
  throw invalid(`'${param}' must have 'format', or 'structures' and 'triggers'.`, param);
}

function invalid(message: string, param: string): InvalidRequest {
  return new InvalidRequest(message, param, "invalid_value");
}
