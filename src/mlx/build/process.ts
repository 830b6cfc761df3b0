import { StartupError } from "../../errors.ts";

export interface Finished {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** Runs a command to its end and returns what it wrote. Throws `StartupError` only when it cannot be started. */
export async function runProcess(command: readonly string[], env: Record<string, string> = {}): Promise<Finished> {
  let child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  try {
    child = Bun.spawn([...command], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, LC_ALL: "C", ...env },
    });
  } catch (error) {
    throw new StartupError(`${command[0]} could not be started: ${error instanceof Error ? error.message : String(error)}`);
  }
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { exitCode, stdout, stderr };
}

/** Progress goes to stderr: stdout belongs to what the command answers. */
export function report(line: string): void {
  process.stderr.write(`${line}\n`);
}

export function sha256(...parts: readonly (string | NodeJS.TypedArray)[]): string {
  const hasher = new Bun.CryptoHasher("sha256");
  // The length goes in first, so that moving a boundary between two parts changes the digest.
  for (const part of parts) hasher.update(`${part.length}:`).update(part);
  return hasher.digest("hex");
}
