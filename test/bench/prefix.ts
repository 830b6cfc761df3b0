/** What a server gains from a beginning that it has computed before. */
import { measure } from "../../src/bench/figures.ts";
import { askTogether } from "../../src/bench/load.ts";
import { complete } from "../../src/bench/stream.ts";
import type { Row, Setting } from "./modes.ts";

/** A conversation's next turn, and many requests at once that begin alike. */
export async function measurePrefix(setting: Setting): Promise<Row[]> {
  await complete(setting.target, { prompt: setting.source.prompts(`${setting.seed} prefix warm-up`, 1, 64)[0]!, maxTokens: 2 });
  return [await measureTurns(setting), await measureShared(setting)];
}

async function measureTurns({ target, source, seed, contextLength, quick }: Setting): Promise<Row> {
  const size = Math.min(quick ? 512 : 4000, contextLength - 256);
  const [first = "", question = ""] = [
    ...source.prompts(`${seed} turn`, 1, size),
    ...source.prompts(`${seed} turn question`, 1, 32),
  ];
  const cold = await complete(target, { prompt: first, maxTokens: 8 });
  const warm = await complete(target, { prompt: `${first} ${question}`, maxTokens: 8 });
  const [coldTtft, warmTtft] = [cold, warm].map(({ stamps, start }) => (stamps.length > 0 ? stamps[0]! - start : null)) as [
    number | null,
    number | null,
  ];
  const { errors, firstError } = measure([cold, warm]);
  const warmOverCold = coldTtft === null || warmTtft === null ? null : warmTtft / coldTtft;
  return { label: `second turn of ${size}`, values: { coldTtft, warmTtft, warmOverCold }, errors, firstError };
}

async function measureShared({ target, source, seed, contextLength, quick }: Setting): Promise<Row> {
  const size = Math.min(quick ? 256 : 2000, contextLength - 256);
  const count = quick ? 8 : 32;
  const [shared = ""] = source.prompts(`${seed} shared`, 1, size);
  const endings = source.prompts(`${seed} shared ending`, count, 24);
  const begun = performance.now();
  const all = await askTogether(
    target,
    endings.map((ending) => ({ prompt: `${shared} ${ending}`, maxTokens: 16 })),
  );
  const totalMs = performance.now() - begun;
  const { errors, firstError, ttft } = measure(all);
  return { label: `${count} on ${size} shared`, values: { totalMs, ttftP50: ttft?.p50 ?? null }, errors, firstError };
}
