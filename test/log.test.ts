import { describe, expect, test } from "bun:test";
import { createLog, type LogFormat, type LogLevel } from "../src/log.ts";

function record(level: LogLevel, format: LogFormat = "text") {
  const lines: string[] = [];
  return { lines, log: createLog({ level, format, write: (line) => lines.push(line), now: () => new Date(0) }) };
}

test("only the level asked for and those above it", () => {
  const { lines, log } = record("warn");
  for (const level of ["error", "warn", "info", "debug"] as const) log[level](level);
  expect(lines).toEqual(["1970-01-01T00:00:00.000Z error error\n", "1970-01-01T00:00:00.000Z warn  warn\n"]);
});

describe("text", () => {
  test("fields follow the message", () => {
    const { lines, log } = record("info");
    log.info("done", { id: 7, path: "/v1/x", reason: "two words", nothing: undefined, list: [1], error: new Error("bad") });
    expect(lines[0]).toBe('1970-01-01T00:00:00.000Z info  done id=7 path=/v1/x reason="two words" list=[1] error="bad"\n');
  });

  test("a client's words cannot begin a line or paint the terminal", () => {
    const { lines, log } = record("info");
    log.info("hello\n2026 error forged \x1b[31m\x9b", { model: "a\nb" });
    expect(lines.join("").split("\n")).toHaveLength(2);
    expect(lines[0]).not.toMatch(/(?!\n)\p{Cc}/u);
  });

  test("stacks at level debug only", () => {
    for (const level of ["info", "debug"] as const) {
      const { lines, log } = record(level);
      log.error("failed", { error: new Error("bad") });
      expect(lines[0]!.includes("log.test.ts")).toBe(level === "debug");
    }
  });
});

test("json: one object a line", () => {
  const { lines, log } = record("debug", "json");
  log.warn("two\nlines", { id: 7n, error: new Error("bad"), level: "not this" });
  expect(lines[0]!.trimEnd()).not.toContain("\n");
  expect(JSON.parse(lines[0]!)).toMatchObject({ time: "1970-01-01T00:00:00.000Z", level: "warn", message: "two\nlines", id: 7 });
});
