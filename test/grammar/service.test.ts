/** Compilation off the event loop: slow grammars hold up nobody else, those whose clients have left hold up nobody at all. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { InvalidRequest, Overloaded, Unavailable } from "../../src/errors.ts";
import type { GrammarSpec } from "../../src/grammar/contract.ts";
import { type GrammarOptions, GrammarService } from "../../src/grammar/service.ts";
import type { Vocabulary } from "../../src/grammar/vocabulary.ts";
import { tinyChatVocabulary } from "./vocabularies.ts";

setDefaultTimeout(60_000);

const vocabulary: Vocabulary = await tinyChatVocabulary();
let service: GrammarService;
afterEach(() => service.close());

const start = (options: GrammarOptions = {}) => {
  service = new GrammarService(vocabulary, options);
  return service;
};

/** Rules in circles: minutes of work. */
const slow = (seed: number): GrammarSpec => {
  const rules = Array.from({ length: 400 }, (_, i) => {
    return `r${i} ::= [a-z] r${(i + 1) % 400} | r${(i + 7) % 400} [0-9] r${(i + 13) % 400} | "x${seed}"`;
  });
  return { kind: "ebnf", text: `root ::= r0\n${rules.join("\n")}` };
};
const quick = (seed: number): GrammarSpec => ({ kind: "json_schema", schema: { const: seed } });

/** The texts that a grammar of one number has, token by token. */
async function spell(spec: GrammarSpec): Promise<string> {
  const matcher = (await service.compile(spec)).matcher();
  let text = "";
  for (let token: number | null = null; ; ) {
    const { mask, mustEnd } = await matcher.next(token);
    if (mustEnd) break;
    token = Array.from({ length: vocabulary.size }, (_, id) => id).find((id) => ((mask![id >> 5]! >>> (id & 31)) & 1) === 1)!;
    text += Buffer.from(vocabulary.bytes(token)!).toString();
  }
  matcher.dispose();
  return text;
}

const settled = (promise: Promise<unknown>) =>
  promise.then(
    () => "compiled",
    (error: unknown) => error,
  );

test("slow grammars are refused in time, and quick ones compiled meanwhile", async () => {
  start({ quickMs: 800, compileMs: 3000, maxWorkers: 1 });
  expect(await spell(quick(0))).toBe("0");
  let done = false;
  const refused = settled(service.compile(slow(1))).finally(() => {
    done = true;
  });
  let count = 0;
  while (!done) {
    count++;
    expect(await spell(quick(count))).toBe(`${count}`);
  }
  const error = await refused;
  expect(error).toBeInstanceOf(InvalidRequest);
  expect((error as Error).message).toContain("longer than 3 s");
  expect(count).toBeGreaterThan(1);
});

test("what nobody waits for any more gives way", async () => {
  start({ quickMs: 60_000, compileMs: 60_000, maxWorkers: 1 });
  const controllers = [1, 2, 3].map(() => new AbortController());
  const left = controllers.map(({ signal }, i) => settled(service.compile(slow(i), signal)));
  await Bun.sleep(200);
  const wanted = service.compile(quick(7));
  for (const controller of controllers) controller.abort();
  for (const error of await Promise.all(left)) expect(error).toBeInstanceOf(Unavailable);
  await wanted;
  expect(await spell(quick(7))).toBe("7");
});

test("one that two wait for goes on when one of them leaves", async () => {
  start();
  const controller = new AbortController();
  const left = settled(service.compile(quick(1), controller.signal));
  const stays = service.compile(quick(1));
  controller.abort();
  expect(await left).toBeInstanceOf(Unavailable);
  await stays;
  expect(await spell(quick(1))).toBe("1");
  expect(service.usage).toMatchObject({ grammars: 1, workers: 1 });
});

test("matchers go on elsewhere when their worker is ended for a slow grammar", async () => {
  start({ quickMs: 200, compileMs: 400, maxWorkers: 1 });
  const matcher = (await service.compile({ kind: "regex", pattern: "[0-9]*" })).matcher();
  const { mask } = await matcher.next(null);
  const first = [...mask!];
  const refused = settled(service.compile(slow(5)));
  await Bun.sleep(50);
  const digit = Array.from({ length: vocabulary.size }, (_, id) => id).find((id) => ((first[id >> 5]! >>> (id & 31)) & 1) === 1)!;
  expect([...(await matcher.next(digit)).mask!]).toEqual(first);
  expect(await refused).toBeInstanceOf(InvalidRequest);
  matcher.dispose();
});

test("too many that wait are refused, and closing ends all waiting", async () => {
  start({ maxWorkers: 1, maxQueue: 2 });
  const first = settled(service.compile(slow(1)));
  await Bun.sleep(200);
  const waiting = [first, ...[2, 3].map((seed) => settled(service.compile(slow(seed))))];
  const more = [4, 5].map((seed) => settled(service.compile(slow(seed))));
  expect(await Promise.race(more)).toBeInstanceOf(Overloaded);
  service.close();
  for (const error of await Promise.all(waiting)) expect(error).toBeInstanceOf(Unavailable);
  expect(await settled(service.compile(quick(1)))).toBeInstanceOf(Unavailable);
  expect(service.usage.workers).toBe(0);
});

test("no more than so many grammars are kept, the ones used last", async () => {
  start({ maxGrammars: 3 });
  for (let i = 0; i < 8; i++) await service.compile(quick(i));
  expect(service.usage.grammars).toBe(3);
  expect(await spell(quick(0))).toBe("0");
});
