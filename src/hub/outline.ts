/** What there is to know of a model on the hub without its weights: the config, and the headers of the weight files. */
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StartupError } from "../errors.ts";
import type { HubSettings } from "../surroundings.ts";
import { createClient, defaultPatience, type HubClient, type Patience, type RemoteFile } from "./client.ts";
import { ConnectionFailure, toStartupError } from "./failure.ts";
import { chooseWeights, indexName } from "./files.ts";
import type { Repository } from "./repository.ts";

const LENGTH_BYTES = 8;
/** The format's own limits on a header; a config is far smaller. */
const MOST_HEADER_BYTES = 100_000_000;
const MOST_TEXT_BYTES = 256 * 2 ** 20;
/** Files that are asked for at the same time. */
const AT_ONCE = 8;

/**
 * A directory that looks like the model's, its weight files having their header and size but no content, which takes no room. To be
 * removed by the caller. Throws `StartupError`.
 */
export async function outlineModel(
  repository: Repository,
  hub: HubSettings,
  patience: Patience = defaultPatience,
): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "mlx-cb-outline-"));
  let client: HubClient | null = null;
  try {
    client = await createClient(repository, hub, patience);
    const commit = await client.findCommit();
    const remote = new Map((await client.listFiles(commit)).map((file) => [file.path, file]));
    const read = async (file: RemoteFile, need: (bytes: Uint8Array) => number) =>
      readStart(await client!.open(commit, file.path, 0, AbortSignal.timeout(patience.silenceMs)), need);
    const texts = ["config.json", indexName].map((name) => remote.get(name)).filter((file) => file !== undefined);
    let index: string | null = null;
    for (const file of texts) {
      if (file.size > MOST_TEXT_BYTES) throw new StartupError(`"${repository.id}" has a ${file.path} of ${file.size} bytes.`);
      const bytes = await read(file, () => file.size);
      await writeFile(join(directory, file.path), bytes);
      if (file.path === indexName) index = new TextDecoder().decode(bytes);
    }
    const weights = chooseWeights([...remote.keys()], index).map((name) => remote.get(name));
    const present = weights.filter((file) => file !== undefined);
    for (let at = 0; at < present.length; at += AT_ONCE) {
      const group = present.slice(at, at + AT_ONCE).map(async (file) => {
        const path = join(directory, file.path);
        await writeFile(path, await read(file, headerEnd));
        await truncate(path, file.size);
      });
      await Promise.all(group);
    }
    return directory;
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw toStartupError(error, {
      model: repository.id,
      revision: repository.revision,
      hubHost: client?.host ?? "the hub",
      hasToken: client?.hasToken ?? false,
      directory,
      missing: null,
    });
  }
}

/** Where the header of a safetensors file ends, as far as its first bytes tell; what is wrong with it is for the loader to say. */
function headerEnd(bytes: Uint8Array): number {
  if (bytes.length < LENGTH_BYTES) return LENGTH_BYTES;
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  return LENGTH_BYTES + (length > MOST_HEADER_BYTES ? 0 : Number(length));
}

/** The first bytes of a response, as many as `need` says of those that are there, or all. */
async function readStart(response: Response, need: (bytes: Uint8Array) => number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = new Uint8Array();
  const reader = response.body?.getReader();
  while (reader && bytes.length < need(bytes)) {
    const { done, value } = await reader.read().catch((error: Error) => {
      throw new ConnectionFailure(`the connection broke off (${error.message})`);
    });
    if (done) break;
    chunks.push(value);
    bytes = Buffer.concat(chunks);
  }
  await reader?.cancel();
  return bytes.subarray(0, need(bytes));
}
