import { describe, expect, test } from "bun:test";
import { totalmem } from "node:os";
import { type Config, helpText, parseConfig } from "../src/config.ts";
import { machineMemory } from "../src/memory-size.ts";

const parse = (argv: string[], env: Record<string, string> = {}) => {
  const config = parseConfig(argv, { HOME: "/home/u", ...env });
  if ("action" in config) throw new Error(`unexpected ${config.action}`);
  return config;
};
const refusal = (argv: string[], env: Record<string, string> = {}) => {
  try {
    parseConfig(argv, env);
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
  return "accepted";
};

test("the defaults", () => {
  expect(parse([])).toEqual({
    model: null,
    adapter: [],
    quantize: null,
    host: "127.0.0.1",
    port: 8080,
    maxBatchSize: 64,
    maxTokensPerStep: null,
    maxQueue: 1024,
    memoryLimit: null,
    stateDir: null,
    defaultStateDir: "/home/u/.local/state/mlx-cb-serve",
    prefixCacheMemory: null,
    prefixCacheDir: null,
    prefixCacheDisk: 20e9,
    sharePrefixCache: false,
    pooling: null,
    ignoreGenerationConfig: false,
    acceptAnyModel: false,
    apiKey: [],
    toolParser: null,
    reasoningParser: null,
    logLevel: "info",
    logFormat: "text",
    shutdownGrace: 30,
    hub: {
      cacheDirectory: "/home/u/.cache/huggingface/hub",
      endpoint: null,
      token: null,
      tokenFile: "/home/u/.cache/huggingface/token",
      offline: false,
    },
  });
});

const accepted: [key: keyof Config, flag: string, variable: string, text: string, value: unknown][] = [
  ["model", "--model", "MLX_CB_MODEL", "owner/name", "owner/name"],
  ["adapter", "--adapter", "MLX_CB_ADAPTER", "a=x", [{ name: "a", path: "x" }]],
  [
    "adapter",
    "--adapter",
    "MLX_CB_ADAPTER",
    "a=/x=y, b = ./z",
    [
      { name: "a", path: "/x=y" },
      { name: "b", path: "./z" },
    ],
  ],
  ["quantize", "--quantize", "MLX_CB_QUANTIZE", "4", 4],
  ["quantize", "--quantize", "MLX_CB_QUANTIZE", "8", 8],
  ["host", "--host", "MLX_CB_HOST", "::1", "::1"],
  ["port", "--port", "MLX_CB_PORT", "0", 0],
  ["port", "--port", "MLX_CB_PORT", "65535", 65_535],
  ["maxBatchSize", "--max-batch-size", "MLX_CB_MAX_BATCH_SIZE", "1", 1],
  ["maxTokensPerStep", "--max-tokens-per-step", "MLX_CB_MAX_TOKENS_PER_STEP", "2048", 2048],
  ["maxQueue", "--max-queue", "MLX_CB_MAX_QUEUE", "0", 0],
  ["memoryLimit", "--memory-limit", "MLX_CB_MEMORY_LIMIT", "123456789", 123_456_789],
  ["prefixCacheMemory", "--prefix-cache-memory", "MLX_CB_PREFIX_CACHE_MEMORY", "0", 0],
  ["prefixCacheMemory", "--prefix-cache-memory", "MLX_CB_PREFIX_CACHE_MEMORY", "2GB", 2e9],
  ["stateDir", "--state-dir", "MLX_CB_STATE_DIR", "/tmp/x", "/tmp/x"],
  ["stateDir", "--state-dir", "MLX_CB_STATE_DIR", "none", "none"],
  ["prefixCacheDir", "--prefix-cache-dir", "MLX_CB_PREFIX_CACHE_DIR", "/tmp/x", "/tmp/x"],
  ["prefixCacheDisk", "--prefix-cache-disk", "MLX_CB_PREFIX_CACHE_DISK", "50GB", 50e9],
  ["sharePrefixCache", "--share-prefix-cache", "MLX_CB_SHARE_PREFIX_CACHE", "true", true],
  ["memoryLimit", "--memory-limit", "MLX_CB_MEMORY_LIMIT", "8GB", 8e9],
  ["memoryLimit", "--memory-limit", "MLX_CB_MEMORY_LIMIT", "1.5 gib", 1.5 * 2 ** 30],
  ["memoryLimit", "--memory-limit", "MLX_CB_MEMORY_LIMIT", "512M", 512e6],
  ["memoryLimit", "--memory-limit", "MLX_CB_MEMORY_LIMIT", "80%", Math.floor(0.8 * machineMemory())],
  ["pooling", "--pooling", "MLX_CB_POOLING", "last", "last"],
  ["ignoreGenerationConfig", "--ignore-generation-config", "MLX_CB_IGNORE_GENERATION_CONFIG", "1", true],
  ["acceptAnyModel", "--accept-any-model", "MLX_CB_ACCEPT_ANY_MODEL", "true", true],
  ["acceptAnyModel", "--accept-any-model", "MLX_CB_ACCEPT_ANY_MODEL", "0", false],
  ["apiKey", "--api-key", "MLX_CB_API_KEY", "one, two", ["one", "two"]],
  ["toolParser", "--tool-parser", "MLX_CB_TOOL_PARSER", "hermes", "hermes"],
  ["reasoningParser", "--reasoning-parser", "MLX_CB_REASONING_PARSER", "none", "none"],
  ["logLevel", "--log-level", "MLX_CB_LOG_LEVEL", "debug", "debug"],
  ["logFormat", "--log-format", "MLX_CB_LOG_FORMAT", "json", "json"],
  ["shutdownGrace", "--shutdown-grace", "MLX_CB_SHUTDOWN_GRACE", "2.5", 2.5],
];

const flags: unknown[] = ["acceptAnyModel", "ignoreGenerationConfig", "sharePrefixCache"];

describe("every option, by flag and by variable", () => {
  test.each(accepted)("%s: %s or %s = %s", (key, flag, variable, text, value) => {
    const given = (argv: string[], env = {}): unknown => parse(argv, env)[key];
    expect(given([`${flag}=${text}`])).toEqual(value);
    if (!flags.includes(key)) expect(given([flag, text])).toEqual(value);
    expect(given([], { [variable]: text })).toEqual(value);
    // The command line goes before the environment.
    const other = accepted.find((row) => row[0] === key)!;
    expect(given([`${flag}=${text}`], { [variable]: other[3] })).toEqual(value);
    expect(helpText).toContain(`${flag} `);
  });

  test("none is left out of this table", () => {
    const keys = Object.keys(parse([])).filter((key) => key !== "hub" && key !== "defaultStateDir");
    expect([...new Set(accepted.map(([key]) => key as string))].sort()).toEqual(keys.sort());
  });

  test("short forms, repetition, flags without a value", () => {
    expect(parse(["-m", "a/b", "-p", "80"])).toMatchObject({ model: "a/b", port: 80 });
    expect(parse(["-ma/b", "-p80"])).toMatchObject({ model: "a/b", port: 80 });
    expect(parse(["--port", "1", "--port", "2"]).port).toBe(2);
    expect(parse(["--api-key", "a", "--api-key", "b,c"]).apiKey).toEqual(["a", "b", "c"]);
    expect(parse(["--adapter", "a=x", "--adapter", "b=y"]).adapter).toEqual([
      { name: "a", path: "x" },
      { name: "b", path: "y" },
    ]);
    expect(parse(["--accept-any-model", "--port", "1"])).toMatchObject({ acceptAnyModel: true, port: 1 });
    expect(parse(["--model", "~/x=y"]).model).toBe("~/x=y");
  });

  test("an empty variable is an absent one", () => {
    expect(parse([], { MLX_CB_PORT: "", MLX_CB_MODEL: "", MLX_CB_API_KEY: "" })).toMatchObject({
      port: 8080,
      model: null,
      apiKey: [],
    });
  });
});

describe("help and version", () => {
  test("win over everything else", () => {
    for (const flag of ["--help", "-h"])
      expect(parseConfig(["--nonsense", flag], { MLX_CB_PORT: "x" })).toEqual({ action: "help" });
    expect(parseConfig(["--port", "80", "--version"], {})).toEqual({ action: "version" });
  });

  test("the help text fits a terminal, and ends its lines", () => {
    for (const line of helpText.split("\n")) expect(line.length).toBeLessThanOrEqual(120);
    expect(helpText).toEndWith("\n");
    expect(helpText).toContain("(default 8080)");
    expect(helpText).toContain("MLX_CB_MAX_BATCH_SIZE");
  });
});

test("inspect takes the model by itself or as an option", () => {
  const inspect = (...argv: string[]) => parseConfig(["inspect", ...argv], { HOME: "/home/u" });
  const expected = { action: "inspect", json: false, model: "a/b", quantize: null };
  expect(inspect("a/b")).toMatchObject(expected);
  expect(inspect("--model", "a/b")).toMatchObject(expected);
  expect(inspect("--quantize=4", "--json", "a/b")).toMatchObject({ ...expected, json: true, quantize: 4 });
  expect(inspect("a/b", "--json", "--quantize", "4")).toMatchObject({ ...expected, json: true, quantize: 4 });
  expect(inspect()).toMatchObject({ ...expected, model: null });
  expect(inspect("--help")).toEqual({ action: "help" });
  expect(refusal(["inspect", "a/b", "c/d"])).toContain('Unexpected argument "c/d"');
  expect(refusal(["--json"])).toContain("Unknown option --json");
});

describe("what is refused", () => {
  const refused: [argv: string[], sentence: string | RegExp][] = [
    [["--prot", "80"], "Unknown option --prot: did you mean --port?"],
    [["--max_batch_size=3"], "Unknown option --max_batch_size: did you mean --max-batch-size?"],
    [["--hlep"], "Unknown option --hlep: did you mean --help?"],
    [["--temperature", "1"], "Unknown option --temperature; --help lists all."],
    [["-x"], "Unknown option -x; --help lists all."],
    [["owner/name"], 'Unexpected argument "owner/name": a model is given with --model.'],
    [["--accept-any-model", "yes"], 'Unexpected argument "yes": a model is given with --model.'],
    [["--", "--port"], 'Unexpected argument "--port": a model is given with --model.'],
    [["--port"], "--port needs a value: a port number from 0 to 65535 (0: any free one)."],
    [["-p"], "-p needs a value: a port number from 0 to 65535 (0: any free one)."],
    [["--port="], "--port needs a value: a port number from 0 to 65535 (0: any free one)."],
    [["--model", "--port", "80"], /^--model needs a value: a model directory or a Hugging Face id/],
    [["--port", "eighty"], '--port must be a port number from 0 to 65535 (0: any free one), not "eighty".'],
    [["--port", "65536"], /^--port must be .* not "65536"\.$/],
    [["--port", "-1"], /^--port must be .* not "-1"\.$/],
    [["--port", "8080.5"], /^--port must be/],
    [["--port", "0x50"], /^--port must be/],
    [["--max-batch-size", "0"], '--max-batch-size must be a whole number from 1 to 4096, not "0".'],
    [["--max-batch-size", "1e3"], /^--max-batch-size must be/],
    [["--max-tokens-per-step", "0"], /^--max-tokens-per-step must be/],
    [["--max-queue", "-1"], /^--max-queue must be/],
    [["--quantize", "6"], '--quantize must be 4 or 8, not "6".'],
    [["--memory-limit", "8XB"], /^--memory-limit must be a number of bytes, a size such as "8GB" .* not "8XB"\.$/],
    [["--memory-limit", "0"], /^--memory-limit must be/],
    [["--memory-limit", "101%"], /^--memory-limit must be/],
    [["--memory-limit", "-8GB"], /^--memory-limit must be/],
    [["--adapter", "chef"], /^--adapter must be a name and an adapter's directory, .* not "chef"\.$/],
    [["--adapter", "=x"], /^--adapter must be/],
    [["--adapter", "a=x,b"], /^--adapter must be/],
    [["--log-level", "loud"], '--log-level must be error, warn, info or debug, not "loud".'],
    [["--log-format", "xml"], '--log-format must be text or json, not "xml".'],
    [["--shutdown-grace", "-5"], /^--shutdown-grace must be a number of seconds/],
    [["--shutdown-grace", "1e9"], /^--shutdown-grace must be/],
    [["--accept-any-model=maybe"], '--accept-any-model must be true or false, not "maybe".'],
    [["--model", " "], /^--model must be/],
  ];
  test.each(refused)("%j", (argv, sentence) => {
    const message = refusal(argv);
    expect(message).toStartWith("StartupError: ");
    if (typeof sentence === "string") expect(message.slice("StartupError: ".length)).toBe(sentence);
    else expect(message.slice("StartupError: ".length)).toMatch(sentence);
  });

  test("a variable is named as such", () => {
    expect(refusal([], { MLX_CB_PORT: "x" })).toBe(
      'StartupError: MLX_CB_PORT must be a port number from 0 to 65535 (0: any free one), not "x".',
    );
    expect(refusal([], { HF_ENDPOINT: "hub.local" })).toContain("HF_ENDPOINT must be a URL");
  });

  test("a key is never repeated", () => {
    const message = refusal(["--api-key", "hidden-key,,"]);
    expect(message).toContain("--api-key must be a key");
    expect(message).not.toContain("hidden-key");
  });
});

describe("the hub's variables", () => {
  test("the cache, in the order of the hub's own tools", () => {
    const cacheOf = (env: Record<string, string>) => parse([], env).hub.cacheDirectory;
    expect(cacheOf({ HF_HUB_CACHE: "/a", HF_HOME: "/b" })).toBe("/a");
    expect(cacheOf({ HUGGINGFACE_HUB_CACHE: "/c", HF_HOME: "/b" })).toBe("/c");
    expect(cacheOf({ HF_HOME: "~/b" })).toBe("/home/u/b/hub");
    expect(cacheOf({ XDG_CACHE_HOME: "/x" })).toBe("/x/huggingface/hub");
  });

  test("endpoint, token, offline", () => {
    expect(parse([], { HF_ENDPOINT: "http://127.0.0.1:1234/", HF_TOKEN: " t \n", HF_HUB_OFFLINE: "1" }).hub).toMatchObject({
      endpoint: "http://127.0.0.1:1234",
      token: "t",
      offline: true,
    });
    expect(parse([], { HF_HUB_OFFLINE: "0" }).hub.offline).toBe(false);
    expect(parse([], { HF_HOME: "/h" }).hub.tokenFile).toBe("/h/token");
  });
});

test("a share is one of what the process may use", () => {
  expect(machineMemory()).toBeGreaterThan(0);
  expect(machineMemory()).toBeLessThanOrEqual(totalmem());
});
