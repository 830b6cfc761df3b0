import { afterAll, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { headerBytes, makeScratch, writeJson, writeWeights } from "./model-directories.ts";

const scratch = makeScratch();
afterAll(scratch.remove);

/** Of the process besides the weights: code that is compiled, threads, small blocks. */
const SLACK = 40e6;

/** A llama of about 100 million zeros, which take no room on the disk. */
function writeModel(dtype: "BF16" | "F16", numberBytes: number): string {
  const directory = join(scratch.path, dtype);
  mkdirSync(directory);
  const [hidden, inner, layers, vocab] = [1024, 4096, 5, 16384];
  const shapes: [string, number[]][] = [
    ["model.embed_tokens.weight", [vocab, hidden]],
    ["model.norm.weight", [hidden]],
  ];
  for (let i = 0; i < layers; i++) {
    const name = (part: string) => `model.layers.${i}.${part}.weight`;
    for (const part of ["q", "k", "v", "o"]) shapes.push([name(`self_attn.${part}_proj`), [hidden, hidden]]);
    for (const part of ["gate", "up"]) shapes.push([name(`mlp.${part}_proj`), [inner, hidden]]);
    shapes.push([name("mlp.down_proj"), [hidden, inner]]);
    for (const part of ["input_layernorm", "post_attention_layernorm"]) shapes.push([name(part), [hidden]]);
  }
  let end = 0;
  const entries = shapes.map(([name, shape]) => {
    const begin = end;
    end += numberBytes * shape.reduce((product, size) => product * size, 1);
    return [name, { dtype, shape, data_offsets: [begin, end] }];
  });
  writeWeights(join(directory, "model.safetensors"), headerBytes(JSON.stringify(Object.fromEntries(entries))), end);
  writeJson(join(directory, "config.json"), {
    ...{ model_type: "llama", hidden_size: hidden, intermediate_size: inner, num_hidden_layers: layers, vocab_size: vocab },
    ...{ num_attention_heads: 16, rms_norm_eps: 1e-5, tie_word_embeddings: true },
  });
  return directory;
}

async function measure(...argv: string[]): Promise<{ loaded: number; largest: number; peak: number }> {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "load-memory-process.ts"), ...argv], { stderr: "inherit" });
  return JSON.parse(await child.stdout.text());
}

test("beside the weights there is no more in memory than one tensor on its way", async () => {
  const directory = writeModel("BF16", 2);
  const dense = await measure(directory);
  expect(dense.loaded).toBeGreaterThan(190e6);
  expect(dense.peak).toBeLessThan(dense.loaded + dense.largest + SLACK);
  // Quantized while it is loaded: the dense model is never there.
  const quantized = await measure(directory, "4");
  expect(quantized.loaded).toBeLessThan(0.35 * dense.loaded);
  expect(quantized.peak).toBeLessThan(quantized.loaded + 3 * quantized.largest + SLACK);
  expect(quantized.peak).toBeLessThan(0.9 * dense.loaded);
});
