import { StartupError } from "../errors.ts";

export interface AddedToken {
  id: number;
  content: string;
  special?: boolean;
  single_word?: boolean;
  lstrip?: boolean;
  rstrip?: boolean;
  normalized?: boolean;
}

/** The parts of tokenizer.json that are read here; the library checks the rest. */
export interface TokenizerJson {
  model: { type?: string; vocab: unknown; merges?: unknown; ignore_merges?: boolean; [key: string]: unknown };
  added_tokens: AddedToken[];
  normalizer: unknown;
  pre_tokenizer: unknown;
  post_processor: unknown;
  decoder: unknown;
}

export type TokenizerConfig = Readonly<Record<string, unknown>>;

/** Checks the outline of tokenizer.json and adds what only tokenizer_config.json knows. Throws `StartupError`. */
export function readTokenizerJson(json: unknown, config: TokenizerConfig): TokenizerJson {
  if (json === null || json === undefined) {
    throw new StartupError(
      "the model has no tokenizer.json; slow tokenizers are not supported: save it with transformers' AutoTokenizer to get one",
    );
  }
  if (!isRecord(json) || !isRecord(json.model) || !json.model.vocab) {
    throw new StartupError("tokenizer.json is not valid: it has no model with a vocabulary");
  }
  const listed = (Array.isArray(json.added_tokens) ? json.added_tokens : []).filter(isAddedToken);
  return {
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    ...json,
    normalizer: overrideBert(json.normalizer ?? null, config),
    model: json.model as TokenizerJson["model"],
    added_tokens: mergeAddedTokens(listed, config),
  };
}

/** Like transformers: for BERT's normalizer, what tokenizer_config.json says goes before tokenizer.json. */
function overrideBert(normalizer: unknown, config: TokenizerConfig): unknown {
  if (!isRecord(normalizer) || normalizer.type !== "BertNormalizer") return normalizer;
  const { do_lower_case: lowercase, tokenize_chinese_chars: chinese, strip_accents: accents } = config;
  return {
    ...normalizer,
    ...(typeof lowercase === "boolean" && { lowercase }),
    ...(typeof chinese === "boolean" && { handle_chinese_chars: chinese }),
    ...(typeof accents === "boolean" && { strip_accents: accents }),
  };
}

/** The text of a token entry in tokenizer_config.json: a string or an object with `content`. */
export function readTokenText(entry: unknown): string | undefined {
  const text = isRecord(entry) ? entry.content : entry;
  return typeof text === "string" ? text : undefined;
}

/** Like transformers: `added_tokens_decoder` brings tokens that tokenizer.json lacks, and all named tokens are special. */
function mergeAddedTokens(listed: AddedToken[], config: TokenizerConfig): AddedToken[] {
  const byId = new Map(listed.map((token) => [token.id, { ...token }]));
  const declared = isRecord(config.added_tokens_decoder) ? Object.entries(config.added_tokens_decoder) : [];
  for (const [key, entry] of declared) {
    const token = isRecord(entry) ? { ...entry, id: Number(key) } : null;
    if (!isAddedToken(token)) continue;
    const known = byId.get(token.id);
    if (known) known.special = known.special === true || token.special === true;
    else byId.set(token.id, token);
  }
  const named = new Set(listNamedTokens(config));
  for (const token of byId.values()) if (named.has(token.content)) token.special = true;
  return [...byId.values()].sort((a, b) => a.id - b.id);
}

function listNamedTokens(config: TokenizerConfig): string[] {
  const entries = Object.entries(config).flatMap(([key, value]) => (key.endsWith("_token") ? [value] : []));
  const more = Array.isArray(config.additional_special_tokens) ? config.additional_special_tokens : [];
  return [...entries, ...more].map(readTokenText).filter((text) => text !== undefined);
}

function isAddedToken(value: unknown): value is AddedToken {
  return isRecord(value) && Number.isInteger(value.id) && typeof value.content === "string" && value.content !== "";
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
