import { describe, expect, test } from "bun:test";
import { BLOCK_OVERHEAD, BlockIndex, type Payload } from "../../src/prefix/block-index.ts";
import { blockKey, rootKey } from "../../src/prefix/keys.ts";
import { Prng } from "../engine/prng.ts";

class Thing implements Payload {
  freed = 0;
  readonly bytes: number;
  constructor(bytes: number) {
    this.bytes = bytes;
  }
  free(): void {
    this.freed++;
  }
}

describe("keys", () => {
  test("differ by root, parent, tokens and their order", () => {
    const a = rootKey(["model", "", "salt"]);
    expect(rootKey(["model", "s", "alt"])).not.toBe(a);
    expect(rootKey(["models", "", "alt"])).not.toBe(a);
    const block = (parent: string, ...tokens: number[]) => blockKey(parent, Int32Array.from(tokens));
    const keys = [block(a, 1, 2), block(a, 2, 1), block(a, 1), block(a, 1, 2, 0), block(rootKey(["other"]), 1, 2)];
    expect(new Set(keys).size).toBe(keys.length);
    expect(block(a, 1, 2)).toBe(keys[0]!);
  });
});

/** The same rules in the plainest form: a list of blocks, searched through every time. */
class Model {
  blocks: { key: string; parent: string | null; bytes: number; state: number; used: number }[] = [];
  clock = 0;
  limit: number;
  constructor(limit: number) {
    this.limit = limit;
  }

  get bytes(): number {
    return this.blocks.reduce((sum, { bytes, state }) => sum + bytes + state, 0);
  }

  at(key: string | null) {
    return this.blocks.find((block) => block.key === key);
  }

  use(key: string): void {
    this.clock++;
    for (let block = this.at(key); block; block = this.at(block.parent)) block.used = this.clock;
  }

  evict(bytes: number, kept: string | null): void {
    while (this.bytes > bytes) {
      const ends = this.blocks.filter(({ key }) => key !== kept && !this.blocks.some(({ parent }) => parent === key));
      if (ends.length === 0) return;
      const oldest = ends.reduce((a, b) => (b.used < a.used ? b : a));
      this.blocks = this.blocks.filter((block) => block !== oldest);
    }
  }

  makeRoom(bytes: number, after: string | null): boolean {
    if (this.bytes + bytes <= this.limit) return true;
    if (bytes > this.limit) return false;
    if (after !== null && this.at(after)) this.use(after);
    this.evict(this.limit - bytes, after);
    return this.bytes + bytes <= this.limit;
  }

  add(parent: string | null, key: string, bytes: number): boolean {
    if ((parent !== null && !this.at(parent)) || this.at(key) || !this.makeRoom(BLOCK_OVERHEAD + bytes, parent)) return false;
    this.blocks.push({ key, parent, bytes: BLOCK_OVERHEAD + bytes, state: 0, used: 0 });
    this.use(key);
    return true;
  }

  addState(key: string, bytes: number): boolean {
    const block = this.at(key);
    if (!block || block.state > 0 || !this.makeRoom(bytes, key)) return false;
    block.state = bytes;
    return true;
  }

  find(keys: string[]): number {
    const missing = keys.findIndex((key) => !this.at(key));
    const count = missing < 0 ? keys.length : missing;
    if (count > 0) this.use(keys[count - 1]!);
    return count;
  }
}

test("100,000 random operations: the same blocks as a plain model, within the limit, chains complete, each payload freed once", () => {
  const random = new Prng(5);
  const index = new BlockIndex<Thing>(10_000);
  const model = new Model(10_000);
  const made = new Map<Thing, string>();
  const chain = (): string[] => {
    // Few different tokens, so that chains share their beginnings and branch.
    const keys: string[] = [];
    let key = "";
    for (let i = random.int(1, 9); i > 0; i--) {
      key += random.int(0, 2);
      keys.push(key);
    }
    return keys;
  };
  for (let step = 0; step < 100_000; step++) {
    const keys = chain();
    const at = random.int(0, keys.length - 1);
    const key = keys[at]!;
    const action = random.int(0, 9);
    if (action < 5) {
      const parent = at === 0 ? null : keys[at - 1]!;
      const thing = new Thing(random.int(1, 200));
      const added = index.add(parent, key, thing);
      expect(added).toBe(model.add(parent, key, thing.bytes));
      if (added) {
        made.set(thing, key);
        // What was in use, the chain that grew, has not been dropped to make room.
        for (const before of keys.slice(0, at + 1)) expect(index.get(before)?.tokens?.freed).toBe(0);
      }
    } else if (action < 6) {
      const thing = new Thing(random.int(1, 300));
      const added = index.addState(key, thing);
      expect(added).toBe(model.addState(key, thing.bytes));
      if (added) made.set(thing, key);
    } else if (action < 9) expect(index.find(keys).length).toBe(model.find(keys));
    else {
      const limit = random.chance(0.02) ? 0 : random.int(2000, 14_000);
      index.limitTo(limit);
      model.limit = limit;
      if (model.bytes > limit) model.evict(limit, null);
    }
    expect(index.bytes).toBe(model.bytes);
    expect(index.bytes).toBeLessThanOrEqual(model.limit);
    expect(index.size).toBe(model.blocks.length);
    if (step % 50 === 0) {
      for (const { key: own, parent } of model.blocks) expect(index.get(own)?.parent?.key ?? null).toBe(parent);
      for (const [thing, own] of made) {
        const block = index.get(own);
        const held = block?.tokens === thing || block?.state === thing;
        expect(thing.freed).toBe(held ? 0 : 1);
        if (!held) made.delete(thing);
      }
    }
  }
  index.clear();
  expect([index.bytes, index.size]).toEqual([0, 0]);
  for (const thing of made.keys()) expect(thing.freed).toBe(1);
}, 60_000);
