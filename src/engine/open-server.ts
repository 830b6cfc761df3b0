/** The right kind of server for what a directory holds. */
import { join } from "node:path";
import { isEncoder } from "../models/load-encoder.ts";
import { readModelText } from "../models/model-file.ts";
import { parseModelJson } from "../models/model-json.ts";
import { EmbeddingServer } from "./embedding-server.ts";
import { ContinuousBatchingServer } from "./server.ts";
import type { ServerOptions } from "./server-options.ts";

export type ModelServer = ContinuousBatchingServer | EmbeddingServer;

const MAX_CONFIG_BYTES = 16 * 2 ** 20;

/** Loads a language model or an embedding model. `modelPath`: a model directory. Throws `StartupError`. */
export async function openServer(modelPath: string, options: ServerOptions = {}): Promise<ModelServer> {
  const path = join(modelPath, "config.json");
  // A directory without a readable config is refused by the loader, which looks at everything.
  const isPresent = await Bun.file(path).exists();
  const config = isPresent ? parseModelJson(await readModelText(path, MAX_CONFIG_BYTES), path) : {};
  const Server = isEncoder({ config }) ? EmbeddingServer : ContinuousBatchingServer;
  const server = new Server(modelPath, options);
  await server.load();
  return server;
}
