import { describe, expect, test } from "bun:test";
import { formatBytes } from "../../src/hub/failure.ts";
import { createProgress } from "../../src/hub/progress.ts";
import { silentLog } from "../../src/log.ts";

function record(isTTY: boolean, columns = 100) {
  const [written, lines]: [string[], string[]] = [[], []];
  let time = 0;
  const terminal = { isTTY, columns, write: (text: string) => written.push(text) };
  const progress = createProgress(terminal, { ...silentLog, info: (line) => lines.push(line) }, () => time);
  const advance = (bytes: number, milliseconds: number) => {
    time += milliseconds;
    progress.advance(bytes);
  };
  return { progress, advance, written, lines };
}

test("on a terminal: one line, drawn over, at most ten times a second", () => {
  const { progress, advance, written, lines } = record(true);
  progress.begin("owner/name", 1_000_000_000, 0);
  for (let i = 0; i < 100; i++) advance(2_500_000, 10);
  expect(written.length).toBeGreaterThan(5);
  expect(written.length).toBeLessThan(15);
  const last = written.at(-1)!;
  expect(last).toStartWith("\r\x1b[Kowner/name [");
  expect(last).toContain("250 MB of 1.00 GB, 250 MB/s, 00:03 left");
  expect(last).not.toContain("\n");
  for (const line of written) expect(line.length).toBeLessThanOrEqual(100 + "\r\x1b[K".length);
  progress.end();
  expect(written.at(-1)).toBe("\n");
  expect(lines).toEqual([]);
});

test("a narrow terminal gets no second line", () => {
  const { progress, written } = record(true, 30);
  progress.begin("some-long-owner/some-long-name", 1000, 0);
  for (const line of written) expect(line.replace("\r\x1b[K", "").length).toBeLessThan(30);
});

describe("elsewhere", () => {
  test("a line at each tenth", () => {
    const { progress, advance, written, lines } = record(false);
    progress.begin("owner/name", 1000, 350);
    for (let i = 0; i < 65; i++) advance(10, 100);
    progress.end();
    expect(written).toEqual([]);
    expect(lines[0]).toBe("downloading owner/name: 1.00 kB, 350 B of it already here");
    expect(lines.slice(1).map((line) => /(\d+)%/.exec(line)![1])).toEqual(["40", "50", "60", "70", "80", "90", "100"]);
    expect(lines[1]).toContain("400 B of 1.00 kB, 100 B/s, 00:06 left");
  });

  test("nothing before the beginning and after the end", () => {
    const { progress, advance, lines } = record(false);
    advance(500, 10);
    progress.begin("x/y", 0, 0);
    progress.end();
    advance(500, 10);
    expect(lines).toHaveLength(1);
  });
});

test("sizes are readable", () => {
  expect([0, 999, 1000, 1_234_567, 98_765_432_100, 10 ** 13].map(formatBytes)).toEqual([
    "0 B",
    "999 B",
    "1.00 kB",
    "1.23 MB",
    "98.8 GB",
    "10.0 TB",
  ]);
});
