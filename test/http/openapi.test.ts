import { expect, test } from "bun:test";
import { ChatCompletionRequest } from "../../src/http/chat/model.ts";
import { CompletionRequest } from "../../src/http/completions/model.ts";
import { createClient } from "./client.ts";

type Node = { [key: string]: Node } & { $ref?: string };

const { send, post } = createClient({ version: "9.8.7" });
const response = await send("/openapi.json");
const document = (await response.json()) as Node;

/** Every object in a tree, with its place. */
function* walk(node: unknown, place = "#"): Generator<[place: string, node: Node]> {
  if (typeof node !== "object" || node === null) return;
  yield [place, node as Node];
  for (const [key, value] of Object.entries(node)) yield* walk(value, `${place}/${key}`);
}

test("the document says what it is", () => {
  expect(response.headers.get("content-type")).toStartWith("application/json");
  expect(document.openapi as unknown as string).toMatch(/^3\.1\.\d+$/);
  expect(document.info as unknown).toMatchObject({ title: "mlx-cb-serve", version: "9.8.7" });
  expect(Object.keys(document).sort()).toEqual(["components", "info", "openapi", "paths", "servers", "tags"]);
});

test("every reference leads somewhere and nothing of draft-07 or of valibot is left", () => {
  let references = 0;
  for (const [place, node] of walk(document)) {
    for (const key of ["$defs", "$schema", "definitions", "nullable", "~standard", "kind"]) {
      if (!place.endsWith("/properties")) expect(node, place).not.toHaveProperty([key]);
    }
    if (node.$ref === undefined) continue;
    references++;
    const target = node.$ref
      .split("/")
      .slice(1)
      .reduce<Node | undefined>((at, key) => at?.[key], document);
    expect(target, `${place} → ${node.$ref}`).toBeDefined();
  }
  expect(references).toBeGreaterThan(20);
});

const types = ["string", "number", "integer", "boolean", "object", "array", "null"];

test("every schema is a JSON Schema", () => {
  for (const [place, schema] of walk(document.components?.schemas)) {
    if (place.endsWith("/properties") || /\/(required|enum|type|anyOf|oneOf)$/.test(place) || place === "#") continue;
    const { type, required, properties } = schema as unknown as Record<string, unknown>;
    for (const one of [type ?? []].flat()) expect(types, place).toContain(one as string);
    if (required !== undefined) {
      expect(required, place).toBeArray();
      for (const key of required as string[]) expect(properties, place).toHaveProperty([key]);
    }
    const known = ["type", "$ref", "anyOf", "oneOf", "const", "enum"].some((key) => key in schema);
    if (!known)
      expect(
        Object.keys(schema).filter((key) => key !== "description"),
        place,
      ).toEqual([]);
  }
});

test("every operation is grouped, described and answered", () => {
  const ids = new Set<unknown>();
  const tags = (document.tags as unknown as { name: string }[]).map(({ name }) => name);
  for (const [path, methods] of Object.entries(document.paths!)) {
    for (const [method, operation] of Object.entries(methods)) {
      expect(["get", "post"]).toContain(method);
      const { operationId, summary, responses, parameters = [] } = operation as unknown as Record<string, never>;
      ids.add(operationId);
      expect(summary, path).toBeString();
      for (const tag of (operation as Node).tags as unknown as string[]) expect(tags).toContain(tag);
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
      expect(
        (parameters as { name: string; in: string; required: boolean }[])
          .filter((one) => one.in === "path")
          .map(({ name }) => name),
      ).toEqual(named);
      expect(responses).toHaveProperty(["200", "content", "application/json", "schema", "$ref"]);
      for (const one of Object.values(responses) as { description: string }[]) expect(one.description).not.toBe("");
    }
  }
  expect(Object.keys(document.paths!).sort()).toEqual([
    "/apply-template",
    "/detokenize",
    "/health",
    "/tokenize",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/models",
    "/v1/models/{id}",
  ]);
  expect(ids.size).toBe(5);
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
    expect(responses!["200"]!.content!["text/event-stream"]!.schema!.$ref).toEndWith(`/${chunk}`);
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

test("the examples are accepted", async () => {
  for (const path of [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/embeddings",
    "/tokenize",
    "/detokenize",
    "/apply-template",
  ]) {
    const { examples } = document.paths![path]!.post!.requestBody!.content!["application/json"]!;
    const values = Object.values(examples!).map((example) => (example as Node).value as unknown);
    expect(values.length).toBeGreaterThan(0);
    for (const value of values) expect((await post(path, value)).status).toBe(200);
  }
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
