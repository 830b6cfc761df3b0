/** Where the native part is: extracted from the executable, or prepared next to the source tree. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { StartupError } from "../errors.ts";
import { extractEmbedded } from "./extract.ts";
import type { NativeTarget } from "./wheels.ts";

/** The platform that runs this. Throws `StartupError` where there is no MLX for it. */
export function hostTarget(): NativeTarget {
  const platform = `${process.platform}-${process.arch}`;
  if (platform === "linux-x64" || platform === "darwin-arm64") return platform;
  throw new StartupError(
    `Unsupported platform ${platform}: mlx-cb-serve runs on Linux x86-64 with glibc and on macOS 14 or newer on Apple silicon.`,
  );
}

/** Path of the shim to `dlopen`; libmlx and the rest lie beside it. Throws `StartupError`. */
export function locateNativeLibrary(): string {
  const target = hostTarget();
  const directory = extractEmbedded("native") ?? join(import.meta.dir, "../../.native", target);
  const shim = join(directory, "mlx/lib", target === "darwin-arm64" ? "libshim.dylib" : "libshim.so");
  if (!existsSync(shim)) throw new StartupError(`The native part is not there (${shim}): run \`bun build.ts native\` first.`);
  return shim;
}
