/** Where the parts of a schema are: `$id`, anchors, and what a `$ref` means. */
import { isObject, type JsonValue } from "./json.ts";
import { InvalidSchema, UnsupportedSchema } from "./problem.ts";

/** Keywords whose value is a schema, a list of schemas, or an object of schemas. */
const SCHEMA_KEYWORDS = new Set(
  [
    "additionalItems additionalProperties contains contentSchema else if items not propertyNames then unevaluatedItems unevaluatedProperties".split(
      " ",
    ),
    "allOf anyOf items oneOf prefixItems".split(" "),
  ].flat(),
);
const SCHEMA_MAPS = new Set("$defs definitions dependencies dependentSchemas patternProperties properties".split(" "));

/** Names a document that has no name of its own. */
const NAMELESS = "schema:///";
const MAX_DEPTH = 200;

/** Places are JSON pointers from the root of the schema. */
export class Places {
  readonly #root: JsonValue;
  /** Absolute URI, with its anchor if any, to the place. */
  readonly #named = new Map<string, string>();

  /** Throws `InvalidSchema` for one that is nested too deeply. */
  constructor(root: JsonValue) {
    this.#root = root;
    this.#named.set(NAMELESS, "");
    this.#index(root, "", NAMELESS, 0);
  }

  /** What stands there. */
  at(place: string): JsonValue | undefined {
    return this.#walk(place)?.value;
  }

  /** The place that a reference at `from` names. Throws `UnsupportedSchema` when it is not within the schema. */
  resolve(reference: string, from: string): string {
    const base = this.#walk(from)?.base ?? NAMELESS;
    const absent = () => new UnsupportedSchema("$ref", `${JSON.stringify(reference)} is not within the schema`, from);
    const url = resolveUri(reference, base);
    if (url === null) throw absent();
    const [document = "", fragment = ""] = url.split("#", 2);
    const anchored = fragment.startsWith("/") ? undefined : this.#named.get(fragment === "" ? document : url);
    if (anchored !== undefined) return anchored;
    const begin = this.#named.get(document);
    if (begin === undefined || !fragment.startsWith("/")) throw absent();
    const place = begin + decodeFragment(fragment);
    if (this.at(place) === undefined) throw absent();
    return place;
  }

  /** Follows a pointer, and what the base of references is there. */
  #walk(place: string): { value: JsonValue; base: string } | undefined {
    let value: JsonValue | undefined = this.#root;
    let base = baseAt(value, NAMELESS);
    for (const part of place.split("/").slice(1)) {
      const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
      if (Array.isArray(value)) value = /^\d+$/.test(key) ? value[Number(key)] : undefined;
      else value = isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
      if (value === undefined) return undefined;
      base = baseAt(value, base);
    }
    return { value, base };
  }

  #index(value: JsonValue, place: string, outer: string, depth: number): void {
    if (depth > MAX_DEPTH) throw new InvalidSchema("The schema is nested too deeply.");
    if (!isObject(value)) return;
    const base = baseAt(value, outer);
    if (base !== outer) this.#named.set(base, place);
    const id = value.$id ?? value.id;
    const anchors = [value.$anchor, value.$dynamicAnchor, typeof id === "string" && id.startsWith("#") ? id.slice(1) : undefined];
    for (const anchor of anchors) if (typeof anchor === "string") this.#named.set(`${base}#${anchor}`, place);
    for (const [key, inner] of Object.entries(value)) {
      if (SCHEMA_MAPS.has(key) && isObject(inner)) {
        for (const [name, one] of Object.entries(inner)) this.#index(one, step(step(place, key), name), base, depth + 1);
      } else if (SCHEMA_KEYWORDS.has(key) && Array.isArray(inner)) {
        for (const [i, one] of (inner as readonly JsonValue[]).entries())
          this.#index(one, step(step(place, key), `${i}`), base, depth + 1);
      } else if (SCHEMA_KEYWORDS.has(key)) this.#index(inner, step(place, key), base, depth + 1);
    }
  }
}

/** The place of a member. */
export function step(place: string, key: string): string {
  return `${place}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

function baseAt(value: JsonValue | undefined, outer: string): string {
  if (!isObject(value)) return outer;
  // Before draft 6 it was `id`, which is also a name that properties have: only a text can be meant.
  const id = value.$id ?? value.id;
  if (typeof id !== "string" || id.startsWith("#")) return outer;
  return resolveUri(id, outer)?.split("#")[0] ?? outer;
}

function resolveUri(reference: string, base: string): string | null {
  try {
    return new URL(reference, base).href;
  } catch {
    return null;
  }
}

function decodeFragment(fragment: string): string {
  try {
    return decodeURIComponent(fragment);
  } catch {
    return fragment;
  }
}
