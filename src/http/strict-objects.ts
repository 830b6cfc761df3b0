import * as v from "valibot";

/** The parts of valibot's schemas and actions that lead to other schemas. */
interface Node {
  type: string;
  "~run"?: (dataset: v.UnknownDataset, config: v.Config<v.BaseIssue<unknown>>) => v.OutputDataset<unknown, v.BaseIssue<unknown>>;
}

const objectTypes = new Set(["object", "loose_object", "strict_object", "object_with_rest", "record"]);
const seen = new WeakSet<object>();

/**
 * valibot takes a list for an object whose fields are all optional, as a list is an object in JavaScript. In JSON it is not: makes the
 * objects of a schema, and of all within it, refuse lists.
 */
export function refuseLists(schema: object): void {
  if (seen.has(schema)) return;
  seen.add(schema);
  for (const child of Object.values(schema)) {
    // Also the members of lists, which are objects whose values are schemas.
    if (typeof child === "object" && child !== null) refuseLists(child);
  }
  if (!isNode(schema) || !objectTypes.has(schema.type)) return;
  const run = schema["~run"];
  if (!run) return;
  schema["~run"] = (dataset, config) => {
    if (!Array.isArray(dataset.value)) return run.call(schema, dataset, config);
    v._addIssue(schema as never, "type", dataset, config);
    // `_addIssue` has made it one.
    return dataset as unknown as v.FailureDataset<v.BaseIssue<unknown>>;
  };
}

function isNode(value: object): value is Node {
  return "type" in value && typeof value.type === "string" && "~run" in value;
}
