/** The figures by which servers with continuous batching are compared: four loads, and short answers next to long ones. */
import { StartupError } from "../errors.ts";
import { type Figures, measure } from "./figures.ts";
import { askMixed, askTogether } from "./load.ts";
import { createPrompts } from "./prompts.ts";
import type { Completion, Target } from "./stream.ts";

export interface Load {
  streams: number;
  tokens: number;
}

export interface HeadlineSizes {
  loads: readonly Load[];
  mixed: { count: number; longTokens: number; shortTokens: number };
  warmup: Load;
}

export const headlineSizes: HeadlineSizes = {
  loads: [
    { streams: 8, tokens: 500 },
    { streams: 16, tokens: 300 },
    { streams: 32, tokens: 200 },
    { streams: 64, tokens: 150 },
  ],
  mixed: { count: 4, longTokens: 200, shortTokens: 20 },
  warmup: { streams: 8, tokens: 16 },
};

export const quickSizes: HeadlineSizes = {
  loads: headlineSizes.loads.map(({ streams, tokens }) => ({ streams, tokens: tokens / 10 })),
  mixed: { count: 4, longTokens: 40, shortTokens: 4 },
  warmup: { streams: 4, tokens: 4 },
};

export interface LoadResult extends Load {
  figures: Figures;
}

export interface Headline {
  model: string;
  loads: LoadResult[];
  mixed: HeadlineSizes["mixed"] & {
    /** Medians of the requests' times in milliseconds, and the one over the other. */
    longMs: number;
    shortMs: number;
    shortOverLong: number;
  };
}

/** Runs the loads one after the other. `onProgress` says what begins. Throws `StartupError` when a request fails. */
export async function runHeadline(target: Target, sizes: HeadlineSizes, onProgress: (text: string) => void): Promise<Headline> {
  const nextPrompt = createPrompts(Date.now());
  const run = async ({ streams, tokens }: Load) =>
    requireAnswers(
      await askTogether(
        target,
        Array.from({ length: streams }, () => ({ prompt: nextPrompt(), maxTokens: tokens })),
      ),
    );
  onProgress("warming up");
  await run(sizes.warmup);
  const loads: LoadResult[] = [];
  for (const load of sizes.loads) {
    onProgress(`${load.streams} × ${load.tokens} tokens`);
    loads.push({ ...load, figures: await run(load) });
  }
  onProgress("short and long together");
  const { long, short } = await askMixed(target, nextPrompt, sizes.mixed);
  const longMs = requireAnswers(long).latency!.p50;
  const shortMs = requireAnswers(short).latency!.p50;
  return { model: target.model, loads, mixed: { ...sizes.mixed, longMs, shortMs, shortOverLong: shortMs / longMs } };
}

function requireAnswers(completions: readonly Completion[]): Figures {
  const figures = measure(completions);
  const { errors, requests, firstError } = figures;
  if (errors > 0) throw new StartupError(`${errors} of ${requests} requests failed, the first with: ${firstError}`);
  return figures;
}

/** The result as a table for people. */
export function describeHeadline({ model, loads, mixed }: Headline): string {
  const rows = loads.map(({ streams, tokens, figures: { tokensPerSecond, ttft, itl } }) => [
    `${streams} × ${tokens}`,
    tokensPerSecond.toFixed(1),
    milliseconds(ttft?.p50),
    milliseconds(itl?.p50),
  ]);
  const header = ["streams × tokens", "tok/s", "TTFT p50", "ITL p50"];
  const widths = header.map((title, column) => Math.max(...[header, ...rows].map((row) => row[column]!.length), title.length));
  const line = (row: readonly string[]) => row.map((cell, column) => cell.padStart(widths[column]!)).join("   ");
  const { count, longTokens, shortTokens, longMs, shortMs, shortOverLong } = mixed;
  const early = loads.reduce((sum, { figures }) => sum + figures.short, 0);
  return [
    `Model: ${model}`,
    "",
    line(header),
    ...rows.map(line),
    "",
    `${count} × ${longTokens} and ${count} × ${shortTokens} tokens together: long ${seconds(longMs)}, short ${seconds(shortMs)}, short ÷ long ${shortOverLong.toFixed(3)}`,
    ...(early > 0 ? [`${early} answers ended before their length: the server does not know "ignore_eos".`] : []),
    "",
  ].join("\n");
}

const milliseconds = (value: number | undefined) => (value === undefined ? "-" : `${value.toFixed(1)} ms`);
const seconds = (value: number) => `${(value / 1000).toFixed(2)} s`;
