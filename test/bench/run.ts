/**
 * `bun run bench [--models …] [--peers …] [--levels …] [--modes …] [--rounds N] [--repeats N] [--quick]`: our executable and its peers in
 * turn on the same models and prompts, round by round. `--show FILE` prints the tables of stored results.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { buildExecutable } from "../../build.ts";
import { type BenchModel, Corpus, openModel, type PromptSource } from "./corpus.ts";
import { type ModeName, modeNames, modes } from "./modes.ts";
import { BENCH_DIR, defaultPeers, whyNot } from "./peers.ts";
import { startServer } from "./server.ts";
import { describeResults, type Result } from "./table.ts";

interface Options {
  models: string[];
  peers: string[];
  levels: number[];
  modes: ModeName[];
  rounds: number;
  /** How often everything is measured on one running server. */
  repeats: number;
  quick: boolean;
}

/** A result with what may explain it later. */
type StoredResult = Result & { at: string; loadAverage: number; generatorCores: number; startMs: number };

function readOptions(): Options | { show: string } {
  const { values } = parseArgs({
    options: {
      models: { type: "string" },
      peers: { type: "string" },
      levels: { type: "string" },
      modes: { type: "string" },
      rounds: { type: "string" },
      repeats: { type: "string", default: "1" },
      quick: { type: "boolean", default: false },
      show: { type: "string" },
    },
  });
  if (values.show !== undefined) return { show: values.show };
  const { quick } = values;
  const split = (text: string | undefined, otherwise: string) => (text ?? otherwise).split(",").map((part) => part.trim());
  const chosen = split(values.modes, quick ? "levels,mixed" : modeNames.join(","));
  const unknown = chosen.find((name) => !modeNames.some((mode) => mode === name));
  if (unknown !== undefined) throw new Error(`There is no mode ${unknown}: ${modeNames.join(", ")}.`);
  const levels = split(values.levels, quick ? "1,8" : "1,8,16,32,64").map(Number);
  const rounds = Number(values.rounds ?? (quick ? 1 : 3));
  const repeats = Number(values.repeats);
  if (![...levels, rounds, repeats].every((count) => Number.isInteger(count) && count > 0))
    throw new Error("--levels, --rounds and --repeats are whole numbers above 0.");
  return {
    models: split(values.models, "llama-tiny,llama-60m"),
    peers: split(values.peers, defaultPeers.join(",")),
    levels,
    modes: modeNames.filter((mode) => chosen.includes(mode)),
    rounds,
    repeats,
    quick,
  };
}

/** A name below $BENCH_DIR/models, or a directory. */
function findModel(model: string): BenchModel {
  const directory = model.includes("/") ? resolve(model) : join(BENCH_DIR, "models", model);
  if (!existsSync(join(directory, "config.json"))) throw new Error(`There is no model in ${directory}: run test/bench/setup.sh.`);
  return openModel(directory, basename(directory));
}

async function run(options: Options): Promise<void> {
  if (options.peers.includes("ours") && !process.env.OURS) await buildExecutable();
  const peers = options.peers.filter((peer) => {
    const reason = whyNot(peer);
    if (reason !== null) console.error(`left out: ${peer}: ${reason}`);
    return reason === null;
  });
  if (peers.length === 0) throw new Error("There is nothing to measure.");
  const text = readFileSync(join(BENCH_DIR, "models/prompts.txt"), "utf8");
  const stem = join(BENCH_DIR, "results", new Date().toISOString().slice(0, 19).replaceAll(":", "-"));
  mkdirSync(join(BENCH_DIR, "results"), { recursive: true });
  const results: StoredResult[] = [];
  const store = () =>
    writeFileSync(
      `${stem}.json`,
      JSON.stringify({ options, processor: cpus()[0]?.model, cores: cpus().length, results }, null, 1),
    );

  for (const model of options.models.map(findModel)) {
    const source = new Corpus(text, model.directory);
    const broken = new Set<string>();
    for (let round = 0; round < options.rounds; round++) {
      // Whoever comes first in one round comes last in the next.
      const order = peers.map((_, i) => peers[(i + round) % peers.length]!).filter((peer) => !broken.has(peer));
      for (const peer of order) {
        try {
          for await (const result of measureServer(peer, model, source, round, options)) {
            results.push(result);
            console.error(describeProgress(result));
            store();
          }
        } catch (error) {
          broken.add(peer);
          console.error(`given up: ${peer} with ${model.name}: ${error instanceof Error ? error.message : String(error)}`);
        }
      }
    }
  }
  store();
  const order = (result: Result) => options.peers.indexOf(result.peer);
  const table = describeResults(results.toSorted((a, b) => order(a) - order(b)));
  writeFileSync(`${stem}.md`, table);
  const busiest = Math.max(0, ...results.map(({ generatorCores }) => generatorCores));
  console.log(`${table}\nThe load generator took at most ${busiest.toFixed(2)} cores. Stored: ${stem}.json and .md`);
}

async function* measureServer(
  peer: string,
  model: BenchModel,
  source: Corpus,
  round: number,
  { levels, modes: wanted, repeats, quick }: Options,
): AsyncGenerator<StoredResult> {
  const server = await startServer(peer, model);
  const { contextLength } = model;
  // Each repeat counts as a round of its own, with prompts of its own.
  const rounds = Array.from({ length: repeats }, (_, repeat) => round * repeats + repeat);
  try {
    for (const [mode, round] of wanted.flatMap((mode) => rounds.map((round) => [mode, round] as const))) {
      const seed = `${model.name} ${round}`;
      const cost = new LoadCost(source);
      const rows = await modes[mode]({ target: server.target, source: cost, contextLength, seed, levels, quick });
      const generatorCores = cost.cores();
      const { startMs } = server;
      const common = { model: model.name, mode, peer, round, startMs, generatorCores, loadAverage: loadavg()[0]! };
      for (const row of rows) yield { ...row, ...common, at: new Date().toISOString() };
    }
  } finally {
    await server.stop();
  }
}

/** How much of a core the load itself takes; making prompts happens while no server is measured. */
class LoadCost implements PromptSource {
  readonly #source: PromptSource;
  #cpu = process.cpuUsage();
  #begun = performance.now();

  constructor(source: PromptSource) {
    this.#source = source;
  }

  prompts(seed: string, count: number, tokens: number): string[] {
    const before = process.cpuUsage();
    const begun = performance.now();
    const prompts = this.#source.prompts(seed, count, tokens);
    const { user, system } = process.cpuUsage(before);
    this.#cpu = { user: this.#cpu.user + user, system: this.#cpu.system + system };
    this.#begun += performance.now() - begun;
    return prompts;
  }

  cores(): number {
    const { user, system } = process.cpuUsage(this.#cpu);
    return (user + system) / 1000 / (performance.now() - this.#begun);
  }
}

function describeProgress({ model, round, peer, mode, label, values, firstError }: Result): string {
  const figures = Object.entries(values).map(([key, value]) => `${key} ${value === null ? "–" : Number(value.toPrecision(4))}`);
  return `${model} round ${round + 1} ${peer} ${mode} ${label}: ${firstError ?? figures.join(", ")}`;
}

try {
  const options = readOptions();
  if ("show" in options) {
    const { results } = JSON.parse(readFileSync(options.show, "utf8")) as { results: Result[] };
    console.log(describeResults(results));
  } else await run(options);
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exit(1);
}
