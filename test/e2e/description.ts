/** The API's description as the binary gives it, and whether answers are as it says. */
import { expect } from "bun:test";
import Ajv from "ajv/dist/2020.js";

interface Content {
  schema: { $ref?: string };
  examples?: Record<string, { value: Record<string, unknown> }>;
}

export interface Operation {
  operationId: string;
  requestBody?: { content: Record<string, Content> };
  responses: Record<string, { content?: Record<string, Content> }>;
}

export interface Description {
  openapi: string;
  info: { version: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, { properties?: Record<string, unknown> }> };
}

export class Documented {
  private readonly ajv = new Ajv({ strict: false, validateFormats: false });

  readonly description: Description;

  constructor(description: Description) {
    this.description = description;
    this.ajv.addSchema(description, "api");
  }

  static async read(url: string): Promise<Documented> {
    return new Documented((await (await fetch(`${url}/openapi.json`)).json()) as Description);
  }

  /** The operations that take JSON, with the first example of a body that is not streamed. */
  bodies(): { path: string; operation: Operation; example: Record<string, unknown>; properties: string[] }[] {
    return Object.entries(this.description.paths).flatMap(([path, { post: operation }]) => {
      const body = operation?.requestBody?.content["application/json"];
      if (!operation || !body) return [];
      const values = Object.values(body.examples ?? {}).map(({ value }) => value);
      const example = values.find(({ stream }) => stream !== true);
      const name = body.schema.$ref?.split("/").at(-1) ?? "";
      const properties = Object.keys(this.description.components.schemas[name]?.properties ?? {});
      if (example === undefined || properties.length === 0) throw new Error(`${path} has no example or no properties`);
      return [{ path, operation, example, properties }];
    });
  }

  /** The answer has a documented status and type, and its JSON is of the documented schema. Returns its text. */
  async expectDescribed(method: string, path: string, response: Response): Promise<string> {
    const text = await response.text();
    const documented = this.description.paths[path]?.[method]?.responses[response.status];
    if (!documented) throw new Error(`${method} ${path}: ${response.status} is not documented: ${text.slice(0, 500)}`);
    const type = response.headers.get("content-type")?.split(";")[0] ?? "";
    expect(Object.keys(documented.content ?? {}), path).toContain(type);
    const reference = documented.content?.[type]?.schema.$ref;
    if (type !== "application/json" || reference === undefined) return text;
    const validate = this.ajv.getSchema(`api${reference}`);
    if (!validate) throw new Error(`there is no ${reference}`);
    if (!validate(JSON.parse(text))) expect(validate.errors, `${method} ${path}: ${text}`).toEqual([]);
    return text;
  }
}
