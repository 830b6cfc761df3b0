import { existsSync } from "node:fs";
import { StartupError } from "../../errors.ts";
import { hostTarget } from "../library.ts";
import type { NativeTarget } from "../wheels.ts";

/** What is built for this machine; throws `StartupError` where MLX has no wheel that loads. */
export function requireHost(): NativeTarget {
  const target = hostTarget();
  if (target === "linux-x64" && !existsSync("/lib64/ld-linux-x86-64.so.2")) {
    throw new StartupError("Unsupported platform: this Linux has no glibc, which MLX needs (version 2.35 or newer).");
  }
  return target;
}

/** Throws `StartupError` where libmlx would not load. A system without `getconf` gets the benefit of the doubt. */
export function requireGlibc(target: NativeTarget): void {
  if (target !== "linux-x64" || !Bun.which("getconf")) return;
  const answer = Bun.spawnSync(["getconf", "GNU_LIBC_VERSION"]).stdout.toString();
  const version = answer.match(/^glibc (\d+)\.(\d+)/);
  if (!version || Number(version[1]) > 2 || Number(version[2]) >= 35) return;
  throw new StartupError(`Unsupported platform: ${answer.trim()} is too old, MLX needs glibc 2.35 or newer.`);
}
