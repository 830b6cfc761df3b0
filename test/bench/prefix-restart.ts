/**
 * `bun test/bench/prefix-restart.ts [MODEL] [ROUNDS]`: the second turn of a 4,000-token conversation from memory, and from disk after
 * a restart, over the cold first one. MODEL as in run.ts.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { complete } from "../../src/bench/stream.ts";
import { Corpus, openModel } from "./corpus.ts";
import { BENCH_DIR } from "./peers.ts";
import { startServer } from "./server.ts";

const [model = "llama-60m", rounds = "3"] = process.argv.slice(2);
const directory = model.includes("/") ? resolve(model) : join(BENCH_DIR, "models", model);
const { name } = openModel(directory, basename(directory));
const corpus = new Corpus(readFileSync(join(BENCH_DIR, "models/prompts.txt"), "utf8"), directory);

async function withServer<T>(blocks: string, body: (ttft: (prompt: string) => Promise<number>) => Promise<T>): Promise<T> {
  const server = await startServer("ours", { name, directory }, { MLX_CB_PREFIX_CACHE_DIR: blocks });
  try {
    return await body(async (prompt) => {
      const { stamps, start, error } = await complete(server.target, { prompt, maxTokens: 8 });
      if (error !== null || stamps.length === 0) throw new Error(error ?? "no answer");
      return stamps[0]! - start;
    });
  } finally {
    await server.stop();
  }
}

for (let round = 0; round < Number(rounds); round++) {
  const blocks = mkdtempSync(join(tmpdir(), "mlx-cb-restart-"));
  const [first = "", question = ""] = [
    ...corpus.prompts(`restart ${round}`, 1, 3800),
    ...corpus.prompts(`restart ${round} q`, 1, 32),
  ];
  const { cold, memory } = await withServer(blocks, async (ttft) => ({
    cold: await ttft(first),
    memory: await ttft(`${first} ${question}`),
  }));
  const disk = await withServer(blocks, (ttft) => ttft(`${first} ${question}`));
  const ratio = (ms: number) => `${ms.toFixed(0)} ms (${(ms / cold).toFixed(3)})`;
  console.log(
    `${name}: cold ${cold.toFixed(0)} ms, second turn from memory ${ratio(memory)}, from disk after a restart ${ratio(disk)}`,
  );
  rmSync(blocks, { recursive: true });
}
process.exit(0);
