/** The servers that are measured, and how each is started. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import peersJson from "./peers.json" with { type: "json" };

/** Virtual environments, models, logs and results. */
export const BENCH_DIR = process.env.BENCH_DIR || join(homedir(), ".cache/mlx-cb-bench");
/** Our executable. */
export const OURS = process.env.OURS || join(import.meta.dir, "../../dist/mlx-cb-serve");

/** An older one, to be measured beside it. */
const before = process.env.BEFORE || "";

const openblasRoot = join(BENCH_DIR, "openblas/root/usr/lib/x86_64-linux-gnu");
const openblas = process.env.OPENBLAS || join(openblasRoot, "openblas-pthread/libopenblas.so.0");

/** `+openblas` behind a peer's name preloads OpenBLAS for it; without, it runs on what its wheel brings. */
export const defaultPeers = [
  "ours",
  "mlx_lm",
  "mlx_lm+openblas",
  "mlx_lm_64+openblas",
  "vllm-mlx+openblas",
  "rapid-mlx+openblas",
  "mlx-openai-server+openblas",
];

interface PeerJson {
  cmd: string[];
  model: string;
  env: Record<string, string>;
}

export interface Launch {
  peer: string;
  command: string[];
  environment: Record<string, string>;
  /** What requests say in "model". */
  model: string;
  openblas: boolean;
}

export const knownPeers = Object.keys(peersJson);

/** Why a peer cannot run here; null: it can. */
export function whyNot(peer: string): string | null {
  const launch = describeLaunch(peer, { name: "", directory: "" }, 0);
  if (peer === "before" && before === "") return "BEFORE has to name the executable";
  if (launch === null) return `unknown; there are ${knownPeers.join(", ")}, each also with +openblas`;
  if (!existsSync(launch.command[0]!)) return `${launch.command[0]} is missing (test/bench/setup.sh all installs it)`;
  if (launch.openblas && !existsSync(openblas)) return `${openblas} is missing (test/bench/setup.sh brings it)`;
  return null;
}

/** Null: there is no such peer. */
export function describeLaunch(peer: string, model: { name: string; directory: string }, port: number): Launch | null {
  const [name = "", library] = peer.split("+");
  const known = (peersJson as Record<string, PeerJson>)[name];
  if (known === undefined || (library !== undefined && library !== "openblas")) return null;
  const values: Record<string, string> = {
    ours: OURS,
    before,
    here: BENCH_DIR,
    code: import.meta.dir,
    dir: model.directory,
    name: model.name,
    port: String(port),
  };
  const fill = (text: string) => text.replace(/\{(\w+)\}/g, (whole, key: string) => values[key] ?? whole);
  const environment: Record<string, string> = { HF_HUB_OFFLINE: "1", TRANSFORMERS_OFFLINE: "1", NO_COLOR: "1" };
  for (const [key, text] of Object.entries(known.env)) environment[key] = fill(text);
  if (library !== undefined) {
    environment.LD_PRELOAD = openblas;
    // Its libgfortran lies beside it; on busy cores more than one of its threads loses everything.
    environment.LD_LIBRARY_PATH = openblasRoot;
    environment.OPENBLAS_NUM_THREADS = process.env.OPENBLAS_NUM_THREADS || "1";
  }
  return { peer, command: known.cmd.map(fill), environment, model: fill(known.model), openblas: library !== undefined };
}
