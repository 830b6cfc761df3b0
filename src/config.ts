import * as v from "valibot";
import { logFormats, logLevels } from "./log.ts";
import { parseMemory } from "./memory-size.ts";
import { describeOptions, flagName, type OptionTable, type OptionValues, parseOptions, variableName } from "./options.ts";
import { type Environment, readSurroundings, type Surroundings } from "./surroundings.ts";

const prefix = "MLX_CB_";

/**
 * Ways from the hidden states of a text to its embedding. `mean-sqrt-length` divides the sum by the root of the length,
 * `weighted-mean` weighs the n-th token by n.
 */
export const poolings = ["mean", "cls", "last", "max", "mean-sqrt-length", "weighted-mean"] as const;

const text = v.pipe(v.string(), v.trim(), v.minLength(1));
const wholeNumber = (least: number, most: number) =>
  v.pipe(v.string(), v.regex(/^\d+$/), v.transform(Number), v.minValue(least), v.maxValue(most));
const flag = v.pipe(
  v.string(),
  v.toLowerCase(),
  v.picklist(["true", "false", "1", "0", "yes", "no", "on", "off"]),
  v.transform((word) => ["true", "1", "yes", "on"].includes(word)),
);
const memory = v.pipe(v.string(), v.transform(parseMemory), v.number(), v.integer(), v.minValue(1));
const seconds = v.pipe(v.string(), v.regex(/^\d+(\.\d+)?$/), v.transform(Number), v.maxValue(86_400));
const list = v.pipe(
  v.string(),
  v.transform((joined) => joined.split(",").map((part) => part.trim())),
  v.array(v.pipe(v.string(), v.minLength(1))),
);
/** The names are checked where they meet those of the model. */
const adapters = v.pipe(
  list,
  v.array(v.pipe(v.string(), v.regex(/^[^=]+=.+$/))),
  v.transform((pairs) =>
    pairs.map((pair) => {
      const at = pair.indexOf("=");
      return { name: pair.slice(0, at).trim(), path: pair.slice(at + 1).trim() };
    }),
  ),
);

const table = {
  model: {
    short: "m",
    value: "MODEL",
    accepts: "a model directory or a Hugging Face id such as owner/name or owner/name@revision",
    help: "Model directory, or Hugging Face id to download (default: a small embedded model)",
    schema: v.optional(v.nullable(text), null),
  },
  adapter: {
    value: "NAME=PATH",
    accepts: "a name and an adapter's directory, as in chef=./adapters/chef, or several divided by commas",
    help: "LoRA adapter that requests choose by its name; repeat it for several",
    list: true,
    schema: v.pipe(
      v.optional(v.nullable(adapters), null),
      v.transform((list) => list ?? []),
    ),
  },
  quantize: {
    value: "BITS",
    accepts: "4 or 8",
    help: "Quantize a model that is not quantized while it is loaded",
    schema: v.pipe(
      v.optional(v.nullable(v.picklist(["4", "8"])), null),
      v.transform((bits): 4 | 8 | null => (bits === null ? null : bits === "4" ? 4 : 8)),
    ),
  },
  host: {
    value: "HOST",
    accepts: "an address or host name to listen on",
    help: "Address to listen on",
    schema: v.optional(text, "127.0.0.1"),
  },
  port: {
    short: "p",
    value: "PORT",
    accepts: "a port number from 0 to 65535 (0: any free one)",
    help: "Port to listen on",
    schema: v.optional(wholeNumber(0, 65_535), "8080"),
  },
  maxBatchSize: {
    value: "N",
    accepts: "a whole number from 1 to 4096",
    help: "Requests that run at the same time",
    schema: v.optional(wholeNumber(1, 4096), "64"),
  },
  maxTokensPerStep: {
    value: "N",
    accepts: "a whole number from 1 to 1048576",
    help: "Tokens computed at once, prompts and decoding together (default: engine's choice)",
    schema: v.optional(v.nullable(wholeNumber(1, 1_048_576)), null),
  },
  maxQueue: {
    value: "N",
    accepts: "a whole number from 0 to 1000000",
    help: "Requests that may wait; one more is answered 429",
    schema: v.optional(wholeNumber(0, 1_000_000), "1024"),
  },
  memoryLimit: {
    value: "SIZE",
    accepts: 'a number of bytes, a size such as "8GB" or "512MiB", or a share of the memory such as "80%"',
    help: 'Memory for weights and caches: bytes, "8GB" or "80%" (default: engine\'s choice)',
    schema: v.optional(v.nullable(memory), null),
  },
  stateDir: {
    value: "DIRECTORY",
    accepts: "a directory that this user may write to, or none",
    help: "Where files and batches are kept, or none (default: ~/.local/state/mlx-cb-serve)",
    schema: v.optional(v.nullable(text), null),
  },
  prefixCacheMemory: {
    value: "SIZE",
    accepts: 'a number of bytes, a size such as "8GB", or a share of the memory such as "20%"; 0 for none',
    help: "Memory for computed prefixes that later requests take up (default: half of the rest)",
    schema: v.optional(v.nullable(v.union([v.pipe(v.literal("0"), v.transform(Number)), memory])), null),
  },
  prefixCacheDir: {
    value: "DIRECTORY",
    accepts: "a directory that this user may write to",
    help: "Keep computed prefixes on disk too, over restarts; servers may share it",
    schema: v.optional(v.nullable(text), null),
  },
  prefixCacheDisk: {
    value: "SIZE",
    accepts: 'a number of bytes or a size such as "50GB"',
    help: "The most that they may take on disk",
    schema: v.optional(memory, "20GB"),
  },
  sharePrefixCache: {
    accepts: "true or false",
    help: "Let requests with different API keys take up each other's computed prefixes",
    schema: v.optional(flag, "false"),
  },
  pooling: {
    value: "MODE",
    accepts: `one of ${poolings.join(", ")}`,
    help: "How embeddings are made of hidden states (default: as the model's files say)",
    schema: v.optional(v.nullable(v.picklist(poolings)), null),
  },
  ignoreGenerationConfig: {
    accepts: "true or false",
    help: "Leave out the sampling defaults of generation_config.json (not its end tokens)",
    schema: v.optional(flag, "false"),
  },
  acceptAnyModel: {
    accepts: "true or false",
    help: 'Answer whatever name a request has in "model"',
    schema: v.optional(flag, "false"),
  },
  apiKey: {
    value: "KEY",
    accepts: "a key, or several keys divided by commas, none of them empty",
    help: "Key that clients must send; repeat it for several (default: any key is accepted)",
    list: true,
    secret: true,
    schema: v.pipe(
      v.optional(v.nullable(list), null),
      v.transform((keys) => keys ?? []),
    ),
  },
  toolParser: {
    value: "NAME",
    accepts: "none or the name of a parser",
    help: "How tool calls are found in outputs (default: as the chat template shows)",
    schema: v.optional(v.nullable(text), null),
  },
  reasoningParser: {
    value: "NAME",
    accepts: "none or the name of a parser",
    help: "How reasoning is found in outputs (default: as the chat template shows)",
    schema: v.optional(v.nullable(text), null),
  },
  logLevel: {
    value: "LEVEL",
    accepts: "error, warn, info or debug",
    help: "error, warn, info or debug",
    schema: v.optional(v.picklist(logLevels), "info"),
  },
  logFormat: {
    value: "FORMAT",
    accepts: "text or json",
    help: "text or json lines",
    schema: v.optional(v.picklist(logFormats), "text"),
  },
  shutdownGrace: {
    value: "SECONDS",
    accepts: "a number of seconds from 0 to 86400",
    help: "How long running requests may go on after SIGTERM or SIGINT",
    schema: v.optional(seconds, "30"),
  },
} satisfies OptionTable;

/** What `bench` has besides: it takes all of the server's options for the server that it starts. */
const benchTable = {
  url: {
    value: "URL",
    accepts: "a URL that begins with http:// or https://",
    help: "Measure the server there; --model is then a name it knows (default: start one here)",
    schema: v.optional(v.nullable(v.pipe(text, v.url(), v.regex(/^https?:/))), null),
  },
  quick: {
    accepts: "true or false",
    help: "A tenth of the tokens: a first look, not to be compared with",
    schema: v.optional(flag, "false"),
  },
  json: {
    accepts: "true or false",
    help: "Print JSON",
    schema: v.optional(flag, "false"),
  },
} satisfies OptionTable;

/** What `inspect` has besides. */
const inspectTable = { json: benchTable.json } satisfies OptionTable;

export interface Config extends OptionValues<typeof table>, Surroundings {}

export interface BenchConfig extends Config, OptionValues<typeof benchTable> {
  action: "bench";
}

export interface InspectConfig extends Config, OptionValues<typeof inspectTable> {
  action: "inspect";
}

type AnyConfig = Config | BenchConfig | InspectConfig | { action: "help" | "version" };

/** The one reader of arguments and environment. Throws `StartupError` naming the option, its value and what is accepted. */
export function parseConfig(argv: readonly string[], env: Environment): AnyConfig {
  if (argv[0] === "inspect") {
    // The model may stand by itself.
    const values = parseOptions({ ...table, ...inspectTable }, prefix, argv.slice(1), env, "model");
    return "action" in values ? values : { ...values, action: "inspect", ...readSurroundings(env) };
  }
  if (argv[0] === "bench") {
    const values = parseOptions({ ...table, ...benchTable }, prefix, argv.slice(1), env);
    return "action" in values ? values : { ...values, action: "bench", ...readSurroundings(env) };
  }
  const values = parseOptions(table, prefix, argv, env);
  return "action" in values ? values : { ...values, ...readSurroundings(env) };
}

export const helpText = `mlx-cb-serve serves a language model on MLX, with continuous batching, to any OpenAI client.

Usage: mlx-cb-serve [--model MODEL] [OPTIONS]
       mlx-cb-serve inspect [MODEL] [--json] [OPTIONS]
       mlx-cb-serve bench [--model MODEL | --url URL] [--quick] [--json] [OPTIONS]

${describeOptions(table)}

inspect checks a model and says what it is made of and how much memory it takes, without loading it; --json for scripts.

bench measures tokens per second and waiting times with 8 to 64 requests at once:

${describeOptions(benchTable, [])}

Every option can be set in the environment as well: ${flagName("maxBatchSize")} is ${variableName("maxBatchSize", prefix)}, and so on.
Models are looked for in the Hugging Face cache and downloaded into it: HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_ENDPOINT
and HF_HUB_OFFLINE are honoured.
`;
