/** What each endpoint takes, read from the description of the API: `bun test/http/api-table.ts --markdown` writes README's table. */
import { join } from "node:path";
import { createClient } from "./client.ts";

interface Schema {
  $ref?: string;
  type?: string | string[];
  const?: unknown;
  enum?: unknown[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  description?: string;
  minimum?: number;
  maximum?: number;
}

interface Operation {
  tags: string[];
  summary: string;
  parameters?: { name: string; in: string; schema: Schema; description?: string }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
}

interface Description {
  tags: { name: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

const README = join(import.meta.dir, "../../README.md");
const [BEGIN, END] = ["<!-- api -->", "<!-- /api -->"];

/** The routes that generate: what they take is much the same. */
const generating = [
  ["Chat", "/v1/chat/completions"],
  ["Completions", "/v1/completions"],
  ["Responses", "/v1/responses"],
  ["Messages", "/v1/messages"],
] as const;

const marks = { supported: "yes", ignored: "ignored", refused: "400" } as const;

interface Parameter {
  name: string;
  kind: keyof typeof marks;
  /** What is taken, where that is short. */
  values: string;
}

class Table {
  private readonly api: Description;

  constructor(api: Description) {
    this.api = api;
  }

  /** Parameters that have the same marks everywhere are in one row. */
  matrix(): string[] {
    const taken = generating.map(([, path]) => new Map(this.parametersOf(path, "post").map((one) => [one.name, one])));
    const names = [...new Set(taken.flatMap((parameters) => [...parameters.keys()]))];
    const rows = new Map<string, string[]>();
    for (const name of names) {
      const found = taken.map((parameters) => parameters.get(name));
      const values = [...new Set(found.flatMap((one) => one?.values ?? []))];
      // Where endpoints take different values, each mark has its own.
      const [common = ""] = values.length === 1 ? values : [];
      const cells = found.map((one) => (one ? marks[one.kind] + (common ? "" : one.values) : "–")).join(" | ");
      rows.set(cells, [...(rows.get(cells) ?? []), `\`${name}\`${common}`]);
    }
    return [...rows].map(([cells, labels]) => `| ${labels.join(", ")} | ${cells} |`);
  }

  /** What the other endpoints take, by the tags of the description. */
  others(): string[] {
    const operations = Object.entries(this.api.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
    );
    return this.api.tags.flatMap((tag) =>
      operations
        .filter(({ path, operation }) => operation.tags[0] === tag.name && !generating.some(([, other]) => other === path))
        .map(({ path, method, operation }) => {
          const parameters = this.parametersOf(path, method);
          const cells = (["supported", "ignored", "refused"] as const).map((kind) => {
            const labels = parameters.filter((one) => one.kind === kind).map(({ name, values }) => `\`${name}\`${values}`);
            return labels.join(", ") || "–";
          });
          return `| \`${method.toUpperCase()} ${path}\`<br>${operation.summary} | ${cells.join(" | ")} |`;
        }),
    );
  }

  /** Paths of all numbers and texts in a part of an answer. */
  leaves(schema: Schema, place = ""): string {
    const { properties } = this.resolve(schema);
    if (!properties) return `\`${place}\``;
    return Object.entries(properties)
      .map(([key, inner]) => this.leaves(inner, place ? `${place}.${key}` : key))
      .join(", ");
  }

  /** Of the query and of the body. */
  private parametersOf(path: string, method: string): Parameter[] {
    const { parameters = [], requestBody } = this.api.paths[path]?.[method] ?? {};
    const inQuery = parameters.filter((parameter) => parameter.in === "query");
    return [
      ...inQuery.flatMap(({ name, schema, description }) => this.sort(name, { description: description ?? "", ...schema })),
      ...Object.values(requestBody?.content ?? {}).flatMap(({ schema }) => this.sortAll("", schema)),
    ];
  }

  private sortAll(prefix: string, schema: Schema): Parameter[] {
    return Object.entries(this.resolve(schema).properties ?? {}).flatMap(([name, inner]) => this.sort(prefix + name, inner));
  }

  private sort(name: string, schema: Schema): Parameter[] {
    const inner = this.resolve(this.withoutNull(schema));
    const description = schema.description ?? inner.description ?? "";
    if (description.startsWith("Not supported")) {
      const [, neutral] = /^Not supported: only ([^,.;]+)/.exec(description) ?? [];
      return [{ name, kind: "refused", values: neutral ? ` (but ${neutral})` : "" }];
    }
    if (description.startsWith("Accepted and not used")) return [{ name, kind: "ignored", values: "" }];
    // An object with a type is one of several kinds, shown by their names.
    const { properties } = inner;
    if (properties && !properties.type && Object.keys(properties).length > 0) return this.sortAll(`${name}.`, inner);
    return [{ name, kind: "supported", values: this.values(inner) }];
  }

  /** What is taken, where that is a short list or range. */
  private values(schema: Schema): string {
    const { minimum, maximum } = schema;
    if (minimum !== undefined && maximum !== undefined && maximum < 1e5) {
      return minimum === maximum ? ` (only ${minimum})` : ` (${minimum} to ${maximum})`;
    }
    const words = this.words(schema);
    return words.length > 0 && words.length < 7 ? ` (${words.map((word) => `\`${word}\``).join(", ")})` : "";
  }

  private words(schema: Schema): string[] {
    const { enum: list, const: only, anyOf, oneOf, items, properties } = this.resolve(schema);
    if (list) return list.filter((word) => word !== null).map(String);
    if (only !== undefined) return [String(only)];
    if (properties?.type) return this.words(properties.type);
    return (oneOf ?? anyOf ?? (items ? [items] : [])).flatMap((inner) => (inner.items ? [] : this.words(inner)));
  }

  /** A union with null is what else it is. */
  private withoutNull(schema: Schema): Schema {
    const others = schema.anyOf?.filter(({ type }) => type !== "null") ?? [];
    return others.length === 1 ? others[0]! : schema;
  }

  private resolve(schema: Schema): Schema {
    if (!schema.$ref) return schema;
    const found = this.api.components.schemas[schema.$ref.split("/").at(-1) ?? ""];
    if (!found) throw new Error(`there is no schema ${schema.$ref}`);
    return found;
  }
}

/** The tables as Markdown. */
export async function writeTables(): Promise<string> {
  const api = (await (await createClient().send("/openapi.json")).json()) as Description;
  const table = new Table(api);
  const answers = [
    ["`usage`, chat and completions", table.leaves(partOf(api, "ChatCompletion", "usage"))],
    ["`timings`, chat and completions", table.leaves(partOf(api, "ChatCompletion", "timings"))],
    ["`usage`, Responses", table.leaves(partOf(api, "Response", "usage"))],
    ["`usage`, Messages", table.leaves(partOf(api, "AnswerMessage", "usage"))],
  ];
  return [
    `| \`POST\` to | ${generating.map(([, path]) => `\`${path}\``).join(" | ")} |`,
    `|---|${generating.map(() => "---|").join("")}`,
    ...table.matrix(),
    "",
    "| In the answers | |",
    "|---|---|",
    ...answers.map(([name, leaves]) => `| ${name} | ${leaves} |`),
    "",
    "| Other endpoints | Supported | Ignored | Refused with 400 |",
    "|---|---|---|---|",
    ...table.others(),
  ].join("\n");
}

function partOf(api: Description, name: string, property: string): Schema {
  const part = api.components.schemas[name]?.properties?.[property];
  if (!part) throw new Error(`${name} has no ${property}`);
  return part.anyOf?.find((one) => one.$ref) ?? part;
}

/** README as it is, and as it has to be. */
export async function compareReadme(): Promise<{ current: string; expected: string }> {
  const current = await Bun.file(README).text();
  const [start, end] = [current.indexOf(BEGIN), current.indexOf(END)];
  if (start < 0 || end < start) throw new Error(`README.md has no ${BEGIN} … ${END}`);
  const expected = `${current.slice(0, start + BEGIN.length)}\n${await writeTables()}\n${current.slice(end)}`;
  return { current, expected };
}

if (import.meta.main) {
  if (process.argv.includes("--markdown")) await Bun.write(README, (await compareReadme()).expected);
  else console.log(await writeTables());
}
