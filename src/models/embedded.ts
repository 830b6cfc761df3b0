import { join } from "node:path";
import { extractEmbedded } from "../mlx/extract.ts";

/** The directory of the small model that comes with the program. Throws `StartupError` when it cannot be unpacked. */
export async function embeddedModelDirectory(): Promise<string> {
  return extractEmbedded("tiny-chat") ?? join(import.meta.dir, "../assets/tiny-chat");
}
