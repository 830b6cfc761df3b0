#!/usr/bin/env bun
/** The command line: puts the parts together. */
import { version } from "../package.json" with { type: "json" };
import { describeHeadline, headlineSizes, quickSizes, runHeadline } from "./bench/headline.ts";
import { findTarget } from "./bench/target.ts";
import { requireParsers } from "./chat/registry.ts";
import { type BenchConfig, type Config, helpText, type InspectConfig, parseConfig } from "./config.ts";
import { describeSummary, inspectModel } from "./engine/inspect.ts";
import type { ModelInfo } from "./engine/request.ts";
import { ServeError } from "./errors.ts";
import { createApp, type LogLine } from "./http/app.ts";
import { toErrorReply } from "./http/errors.ts";
import { toDetails } from "./http/models/service.ts";
import { Storage } from "./http/storage.ts";
import { createProgress } from "./hub/progress.ts";
import { resolveModel, withOutline } from "./hub/resolve.ts";
import { type ModelServer, openServer } from "./index.ts";
import { isLoopback, listen, requireAddress, urlOf } from "./listen.ts";
import { createLog, type Log } from "./log.ts";
import { embeddedModelDirectory } from "./models/embedded.ts";
import type { LoadProgress } from "./models/parameter-list.ts";
import { stopOnSignals } from "./shutdown.ts";

// Whoever reads the greeting and the log may go away; the server stays.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

let debug = false;
try {
  const config = parseConfig(process.argv.slice(2), process.env);
  debug = "logLevel" in config && config.logLevel === "debug";
  if (!("action" in config)) await serve(config);
  else if (config.action === "bench") await bench(config);
  else if (config.action === "inspect") await inspect(config);
  else console.write(config.action === "help" ? helpText : `mlx-cb-serve ${version}\n`);
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  // Anything but our own errors is a fault of the program: the sentence says how to see more of it.
  const hint = error instanceof ServeError || debug ? "" : " (--log-level debug shows where)";
  console.error(`mlx-cb-serve: ${message}${hint}`);
  if (debug && error instanceof Error) console.error(error.stack);
  process.exit(1);
}

function logTo(log: Log) {
  return ({ level, message, ...fields }: LogLine) => log[level](message, fields);
}

function openLog({ logLevel, logFormat }: Config): Log {
  return createLog({ level: logLevel, format: logFormat, write: (line) => process.stderr.write(line) });
}

async function findModel({ model, hub }: Config, log: Log): Promise<string> {
  return model === null ? embeddedModelDirectory() : resolveModel(model, hub, createProgress(process.stderr, log));
}

/** Shows how the weights come in, unless that is a matter of moments. */
function showLoading(name: string, log: Log): LoadProgress {
  const bar = createProgress(process.stderr, log, undefined, { verb: "loading", quietMs: process.stderr.isTTY ? 300 : 5_000 });
  let before = 0;
  return (done, total) => {
    if (done === 0) bar.begin(name, total, 0);
    bar.advance(done - before);
    before = done;
    if (done === total) bar.end();
  };
}

async function startEngine(config: Config, log: Log): Promise<ModelServer> {
  const directory = await findModel(config, log);
  return openServer(directory, {
    maxBatchSize: config.maxBatchSize,
    maxTokensPerStep: config.maxTokensPerStep ?? undefined,
    maxQueue: config.maxQueue,
    memoryLimit: config.memoryLimit ?? undefined,
    ...(config.prefixCacheDir !== null && { prefixCacheDirectory: config.prefixCacheDir }),
    prefixCacheDisk: config.prefixCacheDisk,
    prefixCacheMemory: config.prefixCacheMemory ?? undefined,
    modelId: config.model ?? "tiny-chat",
    ignoreGenerationConfig: config.ignoreGenerationConfig,
    // Whoever tries the server out finds an embedding as well.
    pooling: config.pooling ?? (config.model === null ? "mean" : null),
    adapters: config.adapter,
    quantize: config.quantize,
    onProgress: showLoading(config.model ?? "tiny-chat", log),
    log: logTo(log),
  });
}

/** Files and batches: in the directory that was named, else in the usual one if it can be used. */
function openStorage({ stateDir, defaultStateDir }: Config, log: Log): Storage {
  if (stateDir === "none") return Storage.open(null);
  try {
    return Storage.open(stateDir ?? defaultStateDir);
  } catch (error) {
    if (stateDir !== null) throw error;
    log.warn(`${error instanceof Error ? error.message : error}; files and batches are kept in memory`);
    return Storage.open(null);
  }
}

async function serve(config: Config): Promise<void> {
  const log = openLog(config);
  requireParsers(config);
  await requireAddress(config);
  const storage = openStorage(config, log);
  const engine = await startEngine(config, log);
  const app = createApp(engine, {
    storage,
    acceptAnyModel: config.acceptAnyModel,
    apiKeys: config.apiKey,
    sharePrefixCache: config.sharePrefixCache,
    toolParser: config.toolParser,
    reasoningParser: config.reasoningParser,
    version,
    log: logTo(log),
  });
  const listener = listen(config, app.fetch, (error) => {
    log.error("request failed", { error });
    const { status, body } = toErrorReply(error);
    return Response.json(body, { status });
  });
  stopOnSignals({
    listener,
    engine: {
      close: async (options) => {
        await storage.close();
        await engine.close(options);
      },
    },
    activeRequests: () => engine.stats().activeRequests,
    graceMs: config.shutdownGrace * 1000,
    log,
    exit: (code) => process.exit(code),
  });
  if (!isLoopback(config.host) && config.apiKey.length === 0) {
    log.warn(`anybody who reaches ${config.host}:${listener.port} may use this server: --api-key asks for a key`);
  }
  process.stdout.write(describeStart(config, engine.model, urlOf({ host: config.host, port: listener.port ?? config.port })));
}

/** Says what a model is and takes. */
async function inspect(config: InspectConfig): Promise<void> {
  const look = (directory: string) =>
    inspectModel(directory, {
      adapters: config.adapter,
      quantize: config.quantize,
      memoryLimit: config.memoryLimit ?? undefined,
    });
  const { model, hub } = config;
  const summary = model === null ? await look(await embeddedModelDirectory()) : await withOutline(model, hub, look);
  const id = model ?? "tiny-chat";
  const { architecture, contextLength: context_length } = summary;
  const facts = { id, architecture, context_length, ...toDetails(summary) };
  console.write(config.json ? `${JSON.stringify(facts, null, 2)}\n` : describeSummary(id, summary));
  // MLX's threads go on.
  process.exit(0);
}

/** Measures the server at `--url`, or one of its own on a free port. */
async function bench(config: BenchConfig): Promise<void> {
  const log = openLog(config);
  const measure = async (url: string, model: string | null) => {
    const target = await findTarget(url, model, config.apiKey[0] ?? null);
    const result = await runHeadline(target, config.quick ? quickSizes : headlineSizes, (text) => log.info(text));
    console.write(config.json ? `${JSON.stringify(result, null, 2)}\n` : describeHeadline(result));
  };
  if (config.url !== null) return measure(config.url, config.model);

  const engine = await startEngine(config, log);
  const address = { host: "127.0.0.1", port: 0 };
  const listener = listen(address, createApp(engine, { apiKeys: config.apiKey, version }).fetch);
  await measure(urlOf({ ...address, port: listener.port! }), engine.model.id);
  await listener.stop(true);
  await engine.close();
  process.exit(0);
}

function describeStart(config: Config, { id, adapters }: ModelInfo, url: string): string {
  const hint =
    "This is the small embedded model; for a real one: mlx-cb-serve --model mlx-community/Llama-3.2-1B-Instruct-4bit (or a directory)\n";
  const adapted = adapters.length > 0 ? ` with ${adapters.join(", ")}` : "";
  return `Serving ${id}${adapted}
  API      ${url}/v1
  Swagger  ${url}/swagger
  Health   ${url}/health
${config.model === null ? hint : ""}`;
}
