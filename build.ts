/** `bun build.ts native | executable | check-darwin [--target=linux-x64|darwin-arm64]` */
import { StartupError } from "./src/errors.ts";
import { requireDarwinLinkage } from "./src/mlx/build/darwin-check.ts";
import { buildExecutable } from "./src/mlx/build/executable.ts";
import { nativeDirectory, prepareNative } from "./src/mlx/build/native.ts";
import type { NativeTarget } from "./src/mlx/wheels.ts";

const USAGE = "Usage: bun build.ts native | executable | check-darwin [--target=linux-x64|darwin-arm64]";

export { buildExecutable, prepareNative };

async function run(args: readonly string[]): Promise<void> {
  const verbs = args.filter((arg) => !arg.startsWith("--"));
  const options = args.filter((arg) => arg.startsWith("--"));
  const target = readTarget(options);
  if (verbs.length !== 1) throw new StartupError(USAGE);
  if (verbs[0] === "native") await prepareNative(target);
  else if (verbs[0] === "executable") await buildExecutable(target);
  else if (verbs[0] === "check-darwin") {
    const files = await prepareNative("darwin-arm64");
    const found = await requireDarwinLinkage(nativeDirectory("darwin-arm64"), files);
    console.log(
      `${found.shipped} symbols found in what is shipped, ${found.libSystem} in libSystem, ${found.unlisted} in other system libraries`,
    );
  } else throw new StartupError(USAGE);
}

function readTarget(options: readonly string[]): NativeTarget | undefined {
  if (options.length === 0) return undefined;
  const value = options[0]?.match(/^--target=(.*)$/)?.[1];
  if (options.length === 1 && (value === "linux-x64" || value === "darwin-arm64")) return value;
  throw new StartupError(USAGE);
}

if (import.meta.main) {
  try {
    await run(process.argv.slice(2));
  } catch (error) {
    // A full disk or a missing permission has a code and a message that says it; anything else is a mistake of ours.
    const foreseen = error instanceof StartupError || (error instanceof Error && "code" in error);
    if (!foreseen) throw error;
    console.error(error.message);
    process.exit(1);
  }
}
