/** A long prompt arrives while others decode: what it costs them, and what they cost it. */
import { gapsOf, measure, spreadOf } from "../../src/bench/figures.ts";
import { type Completion, complete } from "../../src/bench/stream.ts";
import type { Row, Setting } from "./modes.ts";

const startLimitMs = 120_000;

export async function measureStorm({ target, source, seed, contextLength, quick }: Setting): Promise<Row[]> {
  const size = Math.min(quick ? 512 : 4000, contextLength - 256);
  const streams = quick ? 4 : 16;
  const settled = quick ? 8 : 32;
  const [alone = "", newcomer = ""] = source.prompts(`${seed} storm newcomer`, 2, size);
  const idle = await complete(target, { prompt: alone, maxTokens: 8 });

  const leaving = new AbortController();
  const counts = new Array<number>(streams).fill(0);
  const running = source.prompts(`${seed} storm`, streams, 64).map((prompt, i) =>
    complete(target, {
      prompt,
      maxTokens: contextLength - 128,
      signal: leaving.signal,
      onText: () => {
        counts[i]! += 1;
      },
    }),
  );
  const deadline = performance.now() + startLimitMs;
  while (Math.min(...counts) < settled && performance.now() < deadline) await Bun.sleep(5);
  const arrival = performance.now();
  const guest = await complete(target, { prompt: newcomer, maxTokens: 8 });
  const departure = performance.now();
  leaving.abort();
  const others = await Promise.all(running);
  return [toRow(`${size} tokens into ${streams} streams`, { idle, guest, others, arrival, departure })];
}

interface Storm {
  idle: Completion;
  guest: Completion;
  others: readonly Completion[];
  arrival: number;
  departure: number;
}

export function toRow(label: string, { idle, guest, others, arrival, departure }: Storm): Row {
  // While the streams themselves come in, they wait for each other's prompts.
  const begun = Math.max(...others.map(({ stamps }) => stamps[0] ?? Number.POSITIVE_INFINITY));
  const calm = spreadOf(others.flatMap(({ stamps }) => gapsOf(stamps.filter((at) => at >= begun && at <= arrival))));
  const storm = spreadOf(others.flatMap((completion) => gapsDuring(completion, arrival, departure)));
  const ttft = ({ stamps, start }: Completion) => (stamps.length > 0 ? stamps[0]! - start : null);
  // A median of 0 comes from a server that sends several tokens at once.
  const over = (a: number | null | undefined, b: number | null | undefined) => (a == null || !b ? null : a / b);
  const values = {
    worstOverCalm: over(storm?.max, calm?.p50),
    worstOverStorm: over(storm?.max, storm?.p50),
    worstGap: storm?.max ?? null,
    stormGap: storm?.p50 ?? null,
    calmGap: calm?.p50 ?? null,
    guestTtft: ttft(guest),
    idleTtft: ttft(idle),
    guestOverIdle: over(ttft(guest), ttft(idle)),
  };
  const { errors, firstError } = measure([idle, guest, ...others]);
  return { label, values, errors, firstError };
}

/** Gaps that touch the time; a stream that stood still to its end has a gap of all that time. */
function gapsDuring({ stamps }: Completion, from: number, to: number): number[] {
  const before = stamps.filter((at) => at < from).at(-1) ?? from;
  const inside = stamps.filter((at) => at >= from && at <= to);
  const gaps = gapsOf([before, ...inside]);
  const rest = to - (inside.at(-1) ?? before);
  return rest > Math.max(0, ...gaps) ? [...gaps, rest] : gaps;
}
