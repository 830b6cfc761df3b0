import { expect, test } from "bun:test";
import { STRESSED, stress } from "./stress-round.ts";

/** More of it: `bun test/engine/stress.manual.ts`. */
test.each(STRESSED.slice(0, 9).map((name, i) => [name, i + 1] as const))(
  "%s: a crowd that is short of everything gets what each gets alone, and leaves nothing behind",
  async (name, seed) => {
    expect((await stress(name, seed, { longest: 300, most: 20 })).differences).toEqual([]);
  },
  30_000,
);
