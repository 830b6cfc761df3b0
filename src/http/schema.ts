import * as v from "valibot";
import { InvalidRequest } from "../errors.ts";
import { refuseLists } from "./strict-objects.ts";

/** Names our wrappers to Elysia and to the OpenAPI generator, which looks the original valibot schema up in `sourceOf`. */
export const vendor = "mlx-cb-serve";

/** A Standard Schema as Elysia takes it, typed by the valibot schema that it wraps. */
export interface WrappedSchema<Input, Output> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: typeof vendor;
    readonly validate: (value: unknown) => { value: Output };
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** What the documentation says of a value in place of what follows from its schema, such as a number in a query string. */
export function documentedAs<T>(jsonSchema: object): v.MetadataAction<T, { documentedAs: object }> {
  return v.metadata({ documentedAs: jsonSchema });
}

/** What `documentedAs` has put into a schema's pipe, at that place. */
export function readDocumented(action: { type: string; metadata?: unknown }): object | undefined {
  const { metadata } = action;
  const isOurs = action.type === "metadata" && typeof metadata === "object" && metadata !== null && "documentedAs" in metadata;
  return isOurs ? (metadata.documentedAs as object) : undefined;
}

const sources = new WeakMap<object, v.GenericSchema>();

/** The valibot schema behind a wrapped one. */
export function sourceOf(wrapped: object): v.GenericSchema | undefined {
  return sources.get(wrapped);
}

/**
 * A request body: the first thing wrong with it is thrown as `InvalidRequest` with the dotted path.
 * Elysia's own validation error would print the whole body once per issue.
 */
export function checked<S extends v.GenericSchema>(schema: S) {
  refuseLists(schema);
  return wrap(schema, (value) => {
    const result = v.safeParse(schema, value, { abortEarly: true });
    if (!result.success) throw toInvalidRequest(result.issues[0]);
    return { value: result.output };
  });
}

/** A response body: typed and documented, but not checked at run time (the tests do that), because it is our own. */
export function described<S extends v.GenericSchema>(schema: S) {
  return wrap(schema, (value) => ({ value: value as v.InferOutput<S> }));
}

/** Parts of a path: those that are no percent-encoded UTF-8, which the router leaves null, are names of nothing. */
export function inPath<S extends v.GenericSchema<Record<string, string>>>(schema: S) {
  return wrap(schema, (value) => {
    const named = Object.entries(value as Record<string, string | null>).map(([name, part]) => [name, part ?? ""]);
    return { value: Object.fromEntries(named) as v.InferOutput<S> };
  });
}

function wrap<S extends v.GenericSchema>(
  schema: S,
  validate: (value: unknown) => { value: v.InferOutput<S> },
): WrappedSchema<v.InferInput<S>, v.InferOutput<S>> {
  const wrapped = { "~standard": { version: 1, vendor, validate } } as const;
  sources.set(wrapped, schema);
  return wrapped;
}

function toInvalidRequest(issue: v.BaseIssue<unknown>): InvalidRequest {
  const { path, issue: deepest } = descend(issue, pathOf(issue));
  const param = path.join(".") || null;
  if (param === null) return new InvalidRequest(`The request body is not valid: ${explain(deepest)}`);
  const missing = deepest.received === "undefined" && deepest.kind === "schema";
  if (missing) return new InvalidRequest(`Missing required parameter: '${param}'.`, param, "missing_required_parameter");
  return new InvalidRequest(`Invalid value for '${param}': ${explain(deepest)}`, param, "invalid_value");
}

/** A union only says that nothing matched; the alternative that came furthest says what the client meant. */
function descend(issue: v.BaseIssue<unknown>, path: string[]): { issue: v.BaseIssue<unknown>; path: string[] } {
  let best = { issue, path };
  for (const inner of issue.issues ?? []) {
    const candidate = descend(inner, [...path, ...pathOf(inner)]);
    const cameFurther = candidate.path.length - best.path.length || lastIndex(candidate.path) - lastIndex(best.path);
    if (cameFurther > 0 || (best.issue === issue && inner.kind === "validation")) best = candidate;
  }
  return best;
}

function lastIndex(path: string[]): number {
  return Number(path.at(-1)) || 0;
}

function pathOf(issue: v.BaseIssue<unknown>): string[] {
  return issue.path?.map((item) => String(item.key)) ?? [];
}

function explain(issue: v.BaseIssue<unknown>): string {
  // A message of our own, given in the schema, does not begin with valibot's "Invalid ".
  if (!issue.message.startsWith("Invalid ")) return issue.message;
  const received = issue.received.length > 80 ? `${issue.received.slice(0, 80)}…` : issue.received;
  return issue.expected === null ? `received ${received}.` : `expected ${issue.expected}, received ${received}.`;
}
