import { expect, test } from "bun:test";
import type { InputMessage, Item } from "../../src/http/responses/items.ts";
import type { Response } from "../../src/http/responses/model.ts";
import { listItems, ResponseStore, type Turn } from "../../src/http/responses/store.ts";

const message = (id: string, text = id): InputMessage => ({
  id,
  type: "message",
  status: "completed",
  role: "user",
  content: [{ type: "input_text", text }],
});

/** Only what the store looks at. */
const respond = (id: string) => ({ id }) as Response;

const say = (id: string, previous: Turn | null, text?: string) => ({
  response: respond(id),
  turn: { previous, input: [message(`${id}-in`, text)], output: [] },
});

test("the longest unused go first", () => {
  const store = new ResponseStore({ maxCount: 2 });
  for (const id of ["a", "b"]) store.add("", say(id, null));
  store.get("", "a");
  store.add("", say("c", null));
  expect(["a", "b", "c"].map((id) => store.get("", id) !== null)).toEqual([true, false, true]);
  expect([store.item("", "a-in"), store.item("", "b-in")].map((item) => item?.id)).toEqual(["a-in", undefined]);
});

test("bytes are bounded, whatever the count, and one that is too large is not kept", () => {
  const store = new ResponseStore({ maxBytes: 2000 });
  for (let index = 0; index < 50; index++) store.add("", say(`r${index}`, null, "x".repeat(300)));
  expect(store.bytes).toBeLessThanOrEqual(2000);
  expect(store.count).toBeGreaterThan(1);
  store.add("", say("large", null, "x".repeat(3000)));
  expect([store.count, store.bytes]).toEqual([0, 0]);
});

test("a turn is counted once, and kept as long as a later one needs it", () => {
  const store = new ResponseStore();
  const first = say("a", null, "x".repeat(1000));
  store.add("", first);
  const alone = store.bytes;
  const branches = ["b", "c"].map((id) => say(id, first.turn));
  for (const branch of branches) store.add("", branch);
  expect(store.bytes).toBeLessThan(alone * 1.5);
  store.delete("", "a");
  expect(store.item("", "a-in")).not.toBeNull();
  expect(listItems(store.get("", "b")!.turn).map(({ id }) => id)).toEqual(["a-in", "b-in"]);
  store.delete("", "b");
  expect(store.bytes).toBeGreaterThan(1000);
  // What goes on from it after that holds it again.
  store.delete("", "c");
  expect([store.bytes, store.item("", "a-in")]).toEqual([0, null]);
  store.add("", say("d", branches[0]!.turn));
  expect(["a-in", "b-in", "d-in"].map((id) => store.item("", id)?.id)).toEqual(["a-in", "b-in", "d-in"]);
});

test("an item that several turns have is found as long as the last of them is there", () => {
  const store = new ResponseStore();
  const shared = message("shared");
  for (const id of ["a", "b"]) store.add("me", { response: respond(id), turn: { previous: null, input: [shared], output: [] } });
  store.delete("me", "a");
  expect(store.item("me", "shared")).toBe(shared);
  expect(store.item("them", "shared")).toBeNull();
  store.delete("me", "b");
  expect(store.item("me", "shared")).toBeNull();
});

test("nobody gets or deletes another's", () => {
  const store = new ResponseStore();
  store.add("me", say("a", null));
  expect([store.get("them", "a"), store.delete("them", "a")]).toEqual([null, false]);
  expect(store.delete("me", "a")).toBe(true);
});

test("after any use, what is held is what the stored responses need", () => {
  let state = 12345;
  const random = (below: number) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return state % below;
  };
  const store = new ResponseStore({ maxCount: 20, maxBytes: 6000 });
  const known = new Map<string, Turn>();
  for (let round = 0; round < 3000; round++) {
    const ids = [...known.keys()].filter((id) => store.get("", id) !== null);
    const picked = ids[random(Math.max(1, ids.length))];
    if (random(4) === 0 && picked !== undefined) store.delete("", picked);
    else {
      const entry = say(`r${round}`, random(3) > 0 && picked !== undefined ? known.get(picked)! : null, "x".repeat(random(400)));
      known.set(entry.response.id, entry.turn);
      store.add("", entry);
    }
    const turns = new Set<Turn>();
    const live = [...known.entries()].filter(([id]) => store.get("", id) !== null);
    for (const [, turn] of live) for (let at: Turn | null = turn; at !== null; at = at.previous) turns.add(at);
    const items = [...turns].flatMap<Item>(({ input }) => [...input]);
    for (const { id } of items) expect(store.item("", id)?.id).toBe(id);
    expect(store.count).toBe(live.length);
    expect(store.bytes === 0).toBe(live.length === 0);
    expect(store.bytes).toBeLessThanOrEqual(6000);
    expect(store.count).toBeLessThanOrEqual(20);
    for (const id of known.keys()) if (!live.some(([other]) => other === id)) known.delete(id);
  }
});
