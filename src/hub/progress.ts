import type { Log } from "../log.ts";
import { formatBytes } from "./failure.ts";

/** Who wants to see a download go on. */
export interface ProgressReport {
  /** `present`: bytes of `total` that are here already. */
  begin(label: string, total: number, present: number): void;
  /** Bytes that arrived; negative when some had to be thrown away. */
  advance(bytes: number): void;
  /** Something worth a line: waiting, trying again. */
  note(message: string): void;
  end(): void;
}

export const silentProgress: ProgressReport = { begin() {}, advance() {}, note() {}, end() {} };

/** What is used of `process.stderr`. */
export interface Terminal {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface ProgressOptions {
  /** What goes on; `downloading` unless told. */
  verb?: string;
  /** Nothing is shown of what is over sooner. */
  quietMs?: number;
}

/** A bar that is redrawn in one line of a terminal; elsewhere one log line at every tenth. */
export function createProgress(
  terminal: Terminal,
  log: Log,
  now: () => number = performance.now.bind(performance),
  { verb = "downloading", quietMs = 0 }: ProgressOptions = {},
): ProgressReport {
  let label = "";
  let total = 0;
  let present = 0;
  let done = 0;
  let startedAt = 0;
  let drawnAt = 0;
  let tenth = 0;

  const facts = () => {
    const speed = Math.max(0, done - present) / Math.max(0.001, (now() - startedAt) / 1000);
    const rest = speed > 0 ? formatTime((total - done) / speed) : "--:--";
    return `${formatBytes(done)} of ${formatBytes(total)}, ${formatBytes(Math.round(speed))}/s, ${rest} left`;
  };
  const share = () => (total > 0 ? Math.min(1, done / total) : 1);
  const isQuiet = () => now() - startedAt < quietMs;
  const draw = () => {
    if (isQuiet()) return;
    drawnAt = now();
    const percent = `${Math.floor(share() * 100)}%`.padStart(4);
    const width = Math.max(0, Math.min(30, (terminal.columns ?? 80) - label.length - facts().length - 12));
    const filled = Math.round(share() * width);
    const bar = width > 4 ? ` [${"#".repeat(filled)}${".".repeat(width - filled)}]` : "";
    terminal.write(`\r\x1b[K${`${label}${bar}${percent}  ${facts()}`.slice(0, (terminal.columns ?? 80) - 1)}`);
  };

  return {
    begin(newLabel, newTotal, newPresent) {
      [label, total, present, done, startedAt] = [newLabel, newTotal, newPresent, newPresent, now()];
      tenth = Math.floor(share() * 10);
      drawnAt = 0;
      if (!terminal.isTTY) {
        if (isQuiet()) return;
        log.info(`${verb} ${label}: ${formatBytes(total)}${present > 0 ? `, ${formatBytes(present)} of it already here` : ""}`);
      } else draw();
    },
    advance(bytes) {
      if (label === "") return;
      done += bytes;
      if (terminal.isTTY) {
        if (now() - drawnAt >= 100) draw();
        return;
      }
      const reached = Math.floor(share() * 10);
      if (reached > tenth && !isQuiet()) log.info(`${verb} ${label}: ${reached * 10}%, ${facts()}`);
      tenth = reached;
    },
    note(message) {
      if (terminal.isTTY && label !== "") terminal.write("\r\x1b[K");
      log.info(message);
    },
    end() {
      if (terminal.isTTY && label !== "" && (drawnAt > 0 || !isQuiet())) {
        draw();
        terminal.write("\n");
      }
      label = "";
    },
  };
}

function formatTime(seconds: number): string {
  const whole = Math.min(359_999, Math.round(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const pair = (value: number) => String(value).padStart(2, "0");
  return `${hours > 0 ? `${hours}:` : ""}${pair(minutes)}:${pair(whole % 60)}`;
}
