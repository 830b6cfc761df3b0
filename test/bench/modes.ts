/** What is measured on one running server: each mode gives rows of named figures. Milliseconds, tokens per second. */
import { type Figures, measure } from "../../src/bench/figures.ts";
import { askInTurn, askMixed } from "../../src/bench/load.ts";
import { complete, type Target } from "../../src/bench/stream.ts";
import type { PromptSource } from "./corpus.ts";
import { measurePrefix } from "./prefix.ts";
import { measureStorm } from "./storm.ts";

export interface Row {
  /** What of the mode: a concurrency, a prompt's length. */
  label: string;
  values: Record<string, number | null>;
  errors: number;
  firstError: string | null;
}

export interface Setting {
  target: Target;
  source: PromptSource;
  contextLength: number;
  /** Names the prompts: the same for all servers of a round. */
  seed: string;
  levels: readonly number[];
  /** Small sizes, to see that everything works. */
  quick: boolean;
}

export const modeNames = ["levels", "mixed", "prefill", "prefix", "storm"] as const;
export type ModeName = (typeof modeNames)[number];

/** Storm comes last: it leaves requests in the middle, and not every server notices at once. */
export const modes: Record<ModeName, (setting: Setting) => Promise<Row[]>> = {
  levels: measureLevels,
  mixed: measureMixed,
  prefill: measurePrefill,
  prefix: measurePrefix,
  storm: measureStorm,
};

async function measureLevels({ target, source, seed, levels, quick }: Setting): Promise<Row[]> {
  const rows: Row[] = [];
  const tokens = quick ? 16 : 64;
  for (const level of levels) {
    const count = Math.max(4, level * (quick ? 1 : 2));
    const warmup = source.prompts(`${seed} warm-up ${level}`, Math.min(level, 8), 64);
    const prompts = source.prompts(`${seed} level ${level}`, count, 64);
    await askInTurn(target, warmup, 8, level);
    rows.push(toRow(String(level), measure(await askInTurn(target, prompts, tokens, level))));
  }
  return rows;
}

async function measureMixed({ target, source, seed, quick }: Setting): Promise<Row[]> {
  const sizes = quick ? { count: 4, longTokens: 40, shortTokens: 4 } : { count: 4, longTokens: 200, shortTokens: 20 };
  await askInTurn(target, source.prompts(`${seed} mixed warm-up`, 4, 64), 8, 4);
  const prompts = source.prompts(`${seed} mixed`, 2 * sizes.count, 64).values();
  const { long, short } = await askMixed(target, () => prompts.next().value!, sizes);
  const both = measure([...long, ...short]);
  const [longFigures, shortFigures] = [measure(long), measure(short)];
  const longMs = longFigures.latency?.p50 ?? null;
  const shortMs = shortFigures.latency?.p50 ?? null;
  const values = {
    shortOverLong: shortMs === null || longMs === null ? null : shortMs / longMs,
    shortMs,
    longMs,
    shortTtft: shortFigures.ttft?.p50 ?? null,
    tokensPerSecond: both.tokensPerSecond,
  };
  const label = `${sizes.count} × ${sizes.longTokens} + ${sizes.count} × ${sizes.shortTokens}`;
  return [{ label, values, errors: both.errors, firstError: both.firstError }];
}

async function measurePrefill({ target, source, seed, contextLength, quick }: Setting): Promise<Row[]> {
  const rows: Row[] = [];
  // The template and the answer need room as well.
  const sizes = new Set((quick ? [512] : [512, 2048, 8192]).map((size) => Math.min(size, contextLength - 64)));
  await askInTurn(target, source.prompts(`${seed} prefill warm-up`, 1, 256), 2, 1);
  for (const size of sizes) {
    const [prompt = ""] = source.prompts(`${seed} prefill ${size}`, 1, size);
    const figures = measure([await complete(target, { prompt, maxTokens: 2 })]);
    const ttft = figures.ttft?.p50 ?? null;
    const promptTokens = figures.promptTokens ?? size;
    const values = { promptTokensPerSecond: ttft === null ? null : (promptTokens * 1000) / ttft, ttft, promptTokens };
    rows.push({ label: String(size), values, errors: figures.errors, firstError: figures.firstError });
  }
  return rows;
}

function toRow(label: string, figures: Figures): Row {
  const { tokensPerSecond, ttft, itl, latency, errors, firstError, short } = figures;
  const values = {
    tokensPerSecond,
    ttftP50: ttft?.p50 ?? null,
    ttftP99: ttft?.p99 ?? null,
    itlP50: itl?.p50 ?? null,
    itlP99: itl?.p99 ?? null,
    latencyP50: latency?.p50 ?? null,
    latencyP99: latency?.p99 ?? null,
  };
  const early = short > 0 ? `${short} answers ended before their length` : null;
  return { label, values, errors: errors + short, firstError: firstError ?? early };
}
