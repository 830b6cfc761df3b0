/** Results of all rounds as Markdown: ours as figures, each peer as its figure and how many times better ours is. */
import { percentile } from "../../src/bench/figures.ts";
import type { ModeName } from "./modes.ts";

export interface Result {
  model: string;
  mode: ModeName;
  label: string;
  peer: string;
  round: number;
  values: Record<string, number | null>;
  errors: number;
  firstError: string | null;
}

interface Column {
  key: string;
  title: string;
  /** Which of two is the better; null: neither, and no ratio is given. */
  better: "more" | "less" | null;
}

const less = (key: string, title: string): Column => ({ key, title, better: "less" });
const more = (key: string, title: string): Column => ({ key, title, better: "more" });
const neutral = (key: string, title: string): Column => ({ key, title, better: null });

const columns: Record<ModeName, readonly Column[]> = {
  levels: [
    more("tokensPerSecond", "tok/s"),
    less("ttftP50", "TTFT p50 ms"),
    less("ttftP99", "TTFT p99 ms"),
    less("itlP50", "ITL p50 ms"),
    less("itlP99", "ITL p99 ms"),
    less("latencyP50", "latency p50 ms"),
    less("latencyP99", "latency p99 ms"),
  ],
  mixed: [
    neutral("shortOverLong", "short ÷ long"),
    less("shortMs", "short p50 ms"),
    less("longMs", "long p50 ms"),
    less("shortTtft", "short TTFT p50 ms"),
    more("tokensPerSecond", "tok/s"),
  ],
  prefill: [more("promptTokensPerSecond", "prompt tok/s"), less("ttft", "TTFT ms"), neutral("promptTokens", "prompt tokens")],
  prefix: [
    neutral("warmOverCold", "second turn ÷ first, TTFT"),
    less("warmTtft", "second TTFT ms"),
    less("coldTtft", "first TTFT ms"),
    less("totalMs", "time of all ms"),
    less("ttftP50", "TTFT p50 ms"),
  ],
  storm: [
    neutral("worstOverCalm", "worst gap ÷ calm median"),
    neutral("worstOverStorm", "worst gap ÷ storm median"),
    less("worstGap", "worst gap ms"),
    less("stormGap", "storm median ms"),
    less("calmGap", "calm median ms"),
    less("guestTtft", "newcomer TTFT ms"),
    less("idleTtft", "idle TTFT ms"),
    neutral("guestOverIdle", "newcomer ÷ idle"),
  ],
};

const legend =
  "Figures are medians of the rounds. Of ours `(min–max)`; of a peer `×min/median/max`: how many times better ours was in the same round (above 1: ours is better).";

export function describeResults(results: readonly Result[]): string {
  const parts = [legend];
  for (const [model, ofModel] of group(results, ({ model }) => model)) {
    for (const [mode, ofMode] of group(ofModel, ({ mode }) => mode)) {
      parts.push(`### ${model}: ${mode}`, describeMode(ofMode, columns[mode as ModeName]));
    }
  }
  const failed = results.filter(({ errors }) => errors > 0);
  const failures = failed.map(
    ({ model, mode, label, peer, round, errors, firstError }) =>
      `- ${peer}, ${model}, ${mode} ${label}, round ${round + 1}: ${errors} failed, the first with: ${firstError}`,
  );
  if (failures.length > 0) parts.push("### Failures", failures.join("\n"));
  return `${parts.join("\n\n")}\n`;
}

function describeMode(results: readonly Result[], shown: readonly Column[]): string {
  const lines = [line(["load", "server", ...shown.map(({ title }) => title)]), line(new Array(shown.length + 2).fill("---"))];
  for (const [label, ofLabel] of group(results, (result) => result.label)) {
    const byPeer = group(ofLabel, ({ peer }) => peer);
    const ours = byPeer.get("ours") ?? [];
    for (const [peer, rows] of byPeer) {
      lines.push(line([label, peer, ...shown.map((column) => describeCell(rows, ours, column, peer === "ours"))]));
    }
    const peers = ofLabel.filter(({ peer }) => !isOwn(peer));
    if (new Set(peers.map(({ peer }) => peer)).size > 1 && ours.length > 0) {
      lines.push(line([label, "best peer", ...shown.map((column) => describeCell(bestOf(peers, column), ours, column, false))]));
    }
  }
  return lines.join("\n");
}

/** Ours as well, in another way or of another time. */
const isOwn = (peer: string) => peer.startsWith("ours") || peer === "before";

/** In each round the peer that was best by this column. */
function bestOf(results: readonly Result[], { key, better }: Column): Result[] {
  return [...group(results, ({ round }) => String(round)).values()].flatMap((ofRound) => {
    const valid = ofRound.filter((result) => figureOf(result, key) !== null);
    const sorted = valid.sort((a, b) => a.values[key]! - b.values[key]!);
    return (better === "more" ? sorted.at(-1) : sorted[0]) ?? [];
  });
}

function describeCell(rows: readonly Result[], ours: readonly Result[], { key, better }: Column, isOurs: boolean): string {
  const values = rows.flatMap((row) => figureOf(row, key) ?? []);
  if (values.length === 0) return "–";
  const median = format(middle(values));
  if (isOurs) return values.length > 1 ? `${median} (${format(Math.min(...values))}–${format(Math.max(...values))})` : median;
  if (better === null) return median;
  const ratios = rows.flatMap((row) => {
    const own = ours.find(({ round }) => round === row.round);
    const [a, b] = [own ? figureOf(own, key) : null, figureOf(row, key)];
    if (a === null || b === null) return [];
    return better === "more" ? a / b : b / a;
  });
  if (ratios.length === 0) return median;
  const shown = ratios.length > 1 ? [Math.min(...ratios), middle(ratios), Math.max(...ratios)] : ratios;
  return `${median} ×${shown.map((ratio) => ratio.toFixed(ratio < 10 ? 2 : 1)).join("/")}`;
}

/** What failed says nothing. */
const figureOf = ({ values, errors }: Result, key: string) => (errors > 0 ? null : (values[key] ?? null));

/** Of an even number the mean of the middle two. */
function middle(values: readonly number[]): number {
  const upper = -percentile(
    values.map((value) => -value),
    0.5,
  );
  return (percentile(values, 0.5) + upper) / 2;
}

const format = (value: number) => value.toFixed(value < 1 ? 3 : value < 10 ? 2 : value < 100 ? 1 : 0);
const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;

function group<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return groups;
}
