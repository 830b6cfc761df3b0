import { expect, test } from "bun:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import { ChatCompletionRequest } from "../../src/http/chat/model.ts";
import { CompletionRequest } from "../../src/http/completions/model.ts";
import { createClient } from "./client.ts";

type Node = { [key: string]: Node } & { $ref?: string };
type Operation = Record<"path" | "method" | "place", string> & { operation: Node };

const { send } = createClient({ version: "9.8.7" });
const response = await send("/openapi.json");
const document = (await response.json()) as Node;
const operations = Object.entries(document.paths!).flatMap(([path, methods]) =>
  Object.entries(methods as Record<string, Node>).map(
    ([method, operation]): Operation => ({ path, method, operation, place: `${method} ${path}` }),
  ),
);

/** Every object in a tree, with its place. */
function* walk(node: unknown, place = "#"): Generator<[place: string, node: Node]> {
  if (typeof node !== "object" || node === null) return;
  yield [place, node as Node];
  for (const [key, value] of Object.entries(node)) yield* walk(value, `${place}/${key}`);
}

test("the document says what it is, and is valid", async () => {
  expect(response.headers.get("content-type")).toStartWith("application/json");
  expect(document.openapi as unknown as string).toMatch(/^3\.1\.\d+$/);
  expect(document.info as unknown).toMatchObject({ title: "mlx-cb-serve", version: "9.8.7" });
  expect(Object.keys(document).sort()).toEqual(["components", "info", "openapi", "paths", "servers", "tags"]);
  expect(await new Validator().validate(structuredClone(document))).toEqual({ valid: true });
});

/** A line for each operation, parameter, answer and property: what somebody who changes the API should see in the diff. */
function outline(): string[] {
  const lines: string[] = [];
  const entriesOf = (node: Node | undefined) => Object.entries((node ?? {}) as Record<string, Node>);
  const show = (value: unknown) => JSON.stringify(value, (key, inner) => (key === "description" ? undefined : inner));
  for (const { place, operation } of operations) {
    lines.push(`${place} ${operation.operationId} ${show(operation.security ?? null)}`);
    for (const [, parameter] of entriesOf(operation.parameters)) lines.push(`${place} parameter ${show(parameter)}`);
    for (const [type, { schema }] of entriesOf(operation.requestBody?.content)) {
      lines.push(`${place} takes ${type} ${show(schema)}`);
    }
    for (const [status, { content }] of entriesOf(operation.responses)) {
      for (const [type, { schema }] of entriesOf(content)) lines.push(`${place} ${status} ${type} ${show(schema)}`);
    }
  }
  for (const [name, { properties, ...rest }] of entriesOf(document.components!.schemas)) {
    lines.push(`${name} ${show(rest)}`);
    for (const [key, schema] of entriesOf(properties)) lines.push(`${name}.${key} ${show(schema)}`);
  }
  return lines.sort();
}

test("nothing changes unseen: -u takes a change over", () => {
  expect(outline().join("\n")).toMatchSnapshot();
});

test("every reference leads somewhere and nothing of draft-07 or of valibot is left", () => {
  let references = 0;
  for (const [place, node] of walk(document)) {
    for (const key of ["$defs", "$schema", "definitions", "nullable", "~standard", "kind"]) {
      if (!place.endsWith("/properties")) expect(node, place).not.toHaveProperty([key]);
    }
    if (typeof node.$ref !== "string") continue;
    references++;
    const target = node.$ref
      .split("/")
      .slice(1)
      .reduce<Node | undefined>((at, key) => at?.[key], document);
    expect(target, `${place} → ${node.$ref}`).toBeDefined();
  }
  expect(references).toBeGreaterThan(20);
});

test("every operation is grouped, described and answered", () => {
  const tags = (document.tags as unknown as { name: string }[]).map(({ name }) => name);
  const used = operations.map(({ operation }) => (operation.tags as unknown as string[])[0]);
  expect(new Set(used)).toEqual(new Set(tags));
  expect(new Set(operations.map(({ operation }) => operation.operationId)).size).toBe(operations.length);
  for (const { path, method, operation, place } of operations) {
    expect(["get", "post", "delete"], place).toContain(method);
    const { summary, description, responses, parameters = [] } = operation as unknown as Record<string, never>;
    expect([typeof summary, typeof description], place).toEqual(["string", "string"]);
    const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
    const described = parameters as { name: string; in: string; description: string }[];
    expect(described.filter((one) => one.in === "path").map(({ name }) => name)).toEqual(named);
    for (const one of described) expect(typeof one.description, `${place}: ${one.name}`).toBe("string");
    const { content } = (operation.responses as Node)["200"] ?? {};
    // There is nothing to cancel: the route only says so.
    if (operation.operationId === ("cancelResponse" as unknown)) continue;
    const types = Object.keys(content!);
    expect(["application/json", "application/octet-stream"], place).toContain(types[0]!);
    if (types[0] === "application/json") expect(content, place).toHaveProperty(["application/json", "schema", "$ref"]);
    for (const one of Object.values(responses) as { description: string }[]) expect(one.description, place).not.toBe("");
  }
});

test("every parameter of a JSON body is described, and every such body has examples", () => {
  for (const { operation, place } of operations) {
    const body = operation.requestBody?.content?.["application/json"];
    if (!body) continue;
    expect(Object.keys(body.examples ?? {}), place).not.toBeEmpty();
    const name = body.schema!.$ref!.split("/").at(-1)!;
    const properties = document.components!.schemas![name]!.properties as Record<string, Node>;
    for (const [key, schema] of Object.entries(properties)) {
      const refersOn = "$ref" in schema || "anyOf" in schema || "items" in schema;
      if (!refersOn) expect(typeof schema.description, `${place}: ${key}`).toBe("string");
    }
  }
});

test("bodies are JSON only, streams are documented, and request schemas are whole", () => {
  const cases = [
    ["/v1/chat/completions", "ChatCompletionRequest", "ChatCompletionChunk", ChatCompletionRequest],
    ["/v1/completions", "CompletionRequest", "CompletionChunk", CompletionRequest],
  ] as const;
  for (const [path, name, chunk, schema] of cases) {
    const { requestBody, responses } = document.paths![path]!.post!;
    expect(Object.keys(requestBody!.content!)).toEqual(["application/json"]);
    expect(requestBody!.content!["application/json"]!.schema as unknown).toEqual({ $ref: `#/components/schemas/${name}` });
    const { data } = responses!["200"]!.content!["text/event-stream"]!.schema!.properties!;
    const kinds = data!.anyOf as unknown as { contentSchema?: { $ref: string }; const?: string }[];
    const named = (name: string) => `#/components/schemas/${name}`;
    const expected = [named(chunk), named("ErrorResponse"), "[DONE]"];
    expect(kinds.map((kind) => kind.contentSchema?.$ref ?? kind.const)).toEqual(expected);
    for (const status of ["400", "401", "404", "413", "429", "500", "503"]) expect(responses).toHaveProperty([status]);
    const documented = document.components!.schemas![name]!;
    const entries = schema.pipe[0].entries;
    expect(Object.keys(documented.properties!).sort()).toEqual(Object.keys(entries).sort());
  }
  expect(document.components!.schemas!.ChatCompletionRequest!.properties!.temperature as unknown).toMatchObject({
    type: ["number", "null"],
    minimum: 0,
    maximum: 2,
  });
});

test("Swagger UI is served from inside, and asks for nothing outside", async () => {
  const page = await send("/swagger");
  expect(page.headers.get("content-type")).toStartWith("text/html");
  const html = await page.text();
  expect(html).not.toMatch(/https?:\/\//);
  const assets = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path!);
  expect(assets).toHaveLength(3);
  const kinds: Record<string, string> = { js: "text/javascript", css: "text/css", png: "image/png" };
  for (const path of assets) {
    const asset = await send(path);
    expect(asset.status, path).toBe(200);
    expect(asset.headers.get("content-type"), path).toStartWith(kinds[path.split(".").at(-1)!]!);
    expect((await asset.arrayBuffer()).byteLength).toBeGreaterThan(100);
  }
  expect(await (await send("/swagger/LICENSE")).text()).toContain("Apache License");
});
