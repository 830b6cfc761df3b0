/** Levelled log lines on stderr. A level that is off costs one empty call. */
export type LogLevel = "error" | "warn" | "info" | "debug";
export type LogFormat = "text" | "json";

/** Extra facts of a line. An `Error` shows its message, and its stack at level `debug`. */
export type LogFields = Readonly<Record<string, unknown>>;
export type LogFunction = (message: string, fields?: LogFields) => void;
export type Log = Readonly<Record<LogLevel, LogFunction>>;

export interface LogOptions {
  level: LogLevel;
  format: LogFormat;
  /** Takes one whole line, its newline included. */
  write: (line: string) => void;
  now?: () => Date;
}

export const logLevels = ["error", "warn", "info", "debug"] as const satisfies readonly LogLevel[];
export const logFormats = ["text", "json"] as const satisfies readonly LogFormat[];

const ignore: LogFunction = () => {};

export function createLog({ level, format, write, now = () => new Date() }: LogOptions): Log {
  const withStack = level === "debug";
  const functionAt = (name: LogLevel): LogFunction => {
    if (logLevels.indexOf(name) > logLevels.indexOf(level)) return ignore;
    return (message, fields = {}) => {
      const time = now().toISOString();
      write(
        format === "json"
          ? formatJson(time, name, message, fields, withStack)
          : formatText(time, name, message, fields, withStack),
      );
    };
  };
  return { error: functionAt("error"), warn: functionAt("warn"), info: functionAt("info"), debug: functionAt("debug") };
}

/** For the library without a log, and for tests. */
export const silentLog: Log = { error: ignore, warn: ignore, info: ignore, debug: ignore };

function formatText(time: string, level: LogLevel, message: string, fields: LogFields, withStack: boolean): string {
  let line = `${time} ${level.padEnd(5)} ${escapeControl(message)}`;
  let stack = "";
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    line += ` ${name}=${formatValue(value)}`;
    if (withStack && value instanceof Error) stack += `${value.stack ?? value.message}\n`;
  }
  return `${line}\n${stack}`;
}

function formatJson(time: string, level: LogLevel, message: string, fields: LogFields, withStack: boolean): string {
  const plain = Object.entries(fields).map(([name, value]) => [
    name,
    value instanceof Error ? (withStack ? value.stack : value.message) : typeof value === "bigint" ? Number(value) : value,
  ]);
  return `${JSON.stringify({ ...Object.fromEntries(plain), time, level, message })}\n`;
}

function formatValue(value: unknown): string {
  if (value instanceof Error) return JSON.stringify(value.message);
  if (typeof value === "string") return /^[\w.:/@+-]+$/.test(value) ? value : JSON.stringify(value);
  if (typeof value === "object" && value !== null) return JSON.stringify(value);
  return String(value);
}

/** A message may carry a client's words: they must not be able to begin a line of their own or to paint the terminal. */
function escapeControl(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
