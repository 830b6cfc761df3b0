import { InvalidRequest } from "../../errors.ts";
import type { Item } from "./items.ts";
import type { ItemList, ItemQuery } from "./model.ts";

/** A page of a response's input, the newest item first unless told. Throws `InvalidRequest` for an item that there is not. */
export function listPage(items: readonly Item[], { limit = 20, order = "desc", after }: ItemQuery): ItemList {
  const ordered = order === "asc" ? items : items.toReversed();
  const start = after === undefined ? 0 : ordered.findIndex(({ id }) => id === after) + 1;
  if (after !== undefined && start === 0) {
    throw new InvalidRequest(`There is no item '${after.slice(0, 80)}' to go on from.`, "after", "invalid_value");
  }
  const data = ordered.slice(start, start + limit);
  return {
    object: "list",
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: start + data.length < ordered.length,
  };
}
