/** OpenAI's published schemas of what this server answers with; `test/fixtures/openai/make-schema.ts` makes them. */
import Ajv from "ajv/dist/2020.js";
import schemas from "../fixtures/openai/core.schema.json" with { type: "json" };

const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true });
ajv.addSchema(schemas, "core");

type Name = keyof typeof schemas.$defs;

/**
 * Where OpenAI's own answers, and the examples in the same description, have null for what is not there (yet), the schemas have the
 * field without null: those that are not required are taken away, the ids of an empty list's ends made empty.
 */
const nullable: Partial<Record<Name, RegExp>> = {
  Batch: /^(errors|output_file_id|error_file_id|metadata|\w+_at)$/,
  ListBatchesResponse: /^(first|last)_id$/,
  ListFilesResponse: /^(first|last)_id$/,
};

/** Throws unless the value satisfies this one of OpenAI's published schemas. */
export function checkPublished(name: Name, value: unknown): void {
  const validate = ajv.getSchema(`core#/$defs/${name}`);
  if (!validate) throw new Error(`there is no schema ${name}`);
  if (validate(withoutNulls(name, value))) return;
  throw new Error(`${name}: ${ajv.errorsText(validate.errors)}\n${JSON.stringify(value)}`);
}

function withoutNulls(name: Name, value: unknown): unknown {
  const fields = nullable[name];
  if (!fields || typeof value !== "object" || value === null) return value;
  const shown = Object.entries(value).flatMap(([key, inner]): [string, unknown][] => {
    if (inner === null && fields.test(key)) return name === "Batch" ? [] : [[key, ""]];
    const isBatches = name === "ListBatchesResponse" && key === "data" && Array.isArray(inner);
    return [[key, isBatches ? inner.map((one) => withoutNulls("Batch", one)) : inner]];
  });
  return Object.fromEntries(shown);
}
