/** Adapters with invented weights, in both formats. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { headerBytes, writeJson } from "./model-directories.ts";

export interface AdapterPlan {
  format: "mlx" | "peft";
  rank: number;
  scale: number;
  /** Inputs and outputs by module. */
  modules: Readonly<Record<string, readonly [inDim: number, outDim: number]>>;
  seed: number;
}

interface Matrix {
  rows: number;
  columns: number;
  values: Float32Array;
}

/** Numbers in -0.5..0.5 that look random and are the same for the same seed. */
export function invent(rows: number, columns: number, seed: number): Matrix {
  const values = Float32Array.from({ length: rows * columns }, (_, i) => {
    const x = Math.sin((i + 1) * 12.9898 + seed * 78.233) * 43758.5453;
    return x - Math.floor(x) - 0.5;
  });
  return { rows, columns, values };
}

function transpose({ rows, columns, values }: Matrix): Matrix {
  const turned = Float32Array.from(values, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);
  return { rows: columns, columns: rows, values: turned };
}

/** The same plan gives the same update in both formats. Returns the directory. */
export function writeAdapter(directory: string, { format, rank, scale, modules, seed }: AdapterPlan): string {
  mkdirSync(directory);
  const tensors: Record<string, Matrix> = {};
  Object.entries(modules).forEach(([module, [inDim, outDim]], i) => {
    const a = invent(inDim, rank, seed + 2 * i);
    const b = invent(rank, outDim, seed + 2 * i + 1);
    if (format === "mlx") {
      tensors[`${module}.lora_a`] = a;
      tensors[`${module}.lora_b`] = b;
    } else {
      tensors[`base_model.model.${module}.lora_A.weight`] = transpose(a);
      tensors[`base_model.model.${module}.lora_B.weight`] = transpose(b);
    }
  });
  const short = (module: string) => module.replace(/^model\.layers\.\d+\./, "");
  const names = [...new Set(Object.keys(modules).map(short))];
  if (format === "mlx") {
    writeConfig(directory, { fine_tune_type: "lora", num_layers: -1, lora_parameters: { rank, scale, dropout: 0, keys: names } });
  } else {
    const target_modules = names.map((name) => name.replace(/^.*\./, ""));
    writeConfig(directory, { peft_type: "LORA", r: rank, lora_alpha: scale * rank, target_modules, bias: "none" });
  }
  writeMatrices(join(directory, format === "mlx" ? "adapters.safetensors" : "adapter_model.safetensors"), tensors);
  return directory;
}

export function writeConfig(directory: string, config: object): void {
  writeJson(join(directory, "adapter_config.json"), config);
}

function writeMatrices(path: string, matrices: Readonly<Record<string, Matrix>>): void {
  let end = 0;
  const entries = Object.entries(matrices).map(([name, { rows, columns }]) => {
    const begin = end;
    end += 4 * rows * columns;
    return [name, { dtype: "F32", shape: [rows, columns], data_offsets: [begin, end] }];
  });
  const bodies = Object.values(matrices).map(({ values }) => new Uint8Array(values.buffer));
  writeFileSync(path, Buffer.concat([headerBytes(JSON.stringify(Object.fromEntries(entries))), ...bodies]));
}
