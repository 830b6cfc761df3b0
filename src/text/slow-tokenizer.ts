/** Older tokenizer files as a tokenizer.json, where transformers' conversion is a matter of putting parts together. */
import { StartupError } from "../errors.ts";
import { readTokenText, type TokenizerConfig } from "./tokenizer-config.ts";

/** What a model without tokenizer.json has instead; null: there is no such file. */
export interface SlowFiles {
  vocabulary: Readonly<Record<string, unknown>> | null;
  merges: string | null;
  vocabularyText: string | null;
  addedTokens: Readonly<Record<string, unknown>> | null;
  unreadable: readonly string[];
}

const qwenPattern =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const bertTokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/** The tokenizer.json that transformers would make. Throws `StartupError` for classes whose conversion needs more than the files say. */
export function convertSlowTokenizer(files: SlowFiles, config: TokenizerConfig): Record<string, unknown> {
  const kind = String(config.tokenizer_class ?? "").replace(/Fast$/, "");
  if (files.vocabulary && files.merges !== null && ["GPT2Tokenizer", "Qwen2Tokenizer", "RobertaTokenizer"].includes(kind)) {
    return convertBytePairs(kind, files.vocabulary, files.merges, files, config);
  }
  if (files.vocabularyText !== null && (kind === "" || /^(Bert|DistilBert|MPNet)Tokenizer$/.test(kind))) {
    return convertBert(kind, files.vocabularyText, files, config);
  }
  const found = [
    ...files.unreadable,
    ...(files.vocabulary ? ["vocab.json"] : []),
    ...(files.vocabularyText === null ? [] : ["vocab.txt"]),
  ];
  const has = found.length > 0 ? `, only ${found.join(", ")}${kind === "" ? "" : ` for a ${kind}`}` : "";
  throw new StartupError(
    `the model has no tokenizer.json${has}; slow tokenizers are not supported: save it with transformers' AutoTokenizer to get one`,
  );
}

function convertBytePairs(
  kind: string,
  vocab: Readonly<Record<string, unknown>>,
  mergesText: string,
  files: SlowFiles,
  config: TokenizerConfig,
): Record<string, unknown> {
  const lines = mergesText.split(/\r?\n/);
  const merges = lines.filter((line, index) => line.trim() !== "" && !(index === 0 && line.startsWith("#version")));
  const byteLevel = {
    type: "ByteLevel",
    add_prefix_space: config.add_prefix_space === true,
    use_regex: kind !== "Qwen2Tokenizer",
  };
  const split = { type: "Split", pattern: { Regex: qwenPattern }, behavior: "Isolated", invert: false };
  const cut = { type: "Sequence", pretokenizers: [split, { ...byteLevel, add_prefix_space: false }] };
  const frames = kind === "RobertaTokenizer" || (kind === "GPT2Tokenizer" && config.add_bos_token === true);
  return {
    model: { type: "BPE", vocab, merges },
    normalizer: kind === "Qwen2Tokenizer" ? { type: "NFC" } : null,
    pre_tokenizer: kind === "Qwen2Tokenizer" ? cut : byteLevel,
    decoder: { type: "ByteLevel" },
    post_processor: frames ? frame(kind, vocab, config) : null,
    added_tokens: listAdded(vocab, files, config, kind === "RobertaTokenizer" ? ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] : []),
  };
}

function convertBert(kind: string, text: string, files: SlowFiles, config: TokenizerConfig): Record<string, unknown> {
  const tokens = text.split(/\r?\n/);
  if (tokens.at(-1) === "") tokens.pop();
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const normalizer = {
    type: "BertNormalizer",
    clean_text: true,
    handle_chinese_chars: config.tokenize_chinese_chars !== false,
    strip_accents: config.strip_accents ?? null,
    lowercase: config.do_lower_case !== false,
  };
  const unknown = readTokenText(config.unk_token) ?? "[UNK]";
  return {
    model: { type: "WordPiece", vocab, unk_token: unknown, continuing_subword_prefix: "##", max_input_chars_per_word: 100 },
    normalizer,
    pre_tokenizer: { type: "BertPreTokenizer" },
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    post_processor: frame(kind, vocab, config),
    added_tokens: listAdded(vocab, files, config, bertTokens),
  };
}

/** The tokens at both ends, by the names that the config gives them. */
function frame(kind: string, vocab: Readonly<Record<string, unknown>>, config: TokenizerConfig): Record<string, unknown> {
  const special = (name: string, missing: string) => {
    const token = readTokenText(config[name]) ?? missing;
    if (!Object.hasOwn(vocab, token)) throw new StartupError(`the vocabulary has no ${name} ${JSON.stringify(token)}`);
    return [token, vocab[token]];
  };
  if (kind === "GPT2Tokenizer") {
    const [token, id] = special("bos_token", "<|endoftext|>");
    const single = [{ SpecialToken: { id: token, type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }];
    return { type: "TemplateProcessing", single, special_tokens: { [String(token)]: { ids: [id] } } };
  }
  const isBert = !/^(Roberta|MPNet)/.test(kind);
  return {
    type: "BertProcessing",
    cls: special("cls_token", isBert ? "[CLS]" : "<s>"),
    sep: special("sep_token", isBert ? "[SEP]" : "</s>"),
  };
}

/** added_tokens.json, and the special tokens that the config names or the class has. */
function listAdded(
  vocab: Readonly<Record<string, unknown>>,
  { addedTokens }: SlowFiles,
  config: TokenizerConfig,
  usual: readonly string[],
): Record<string, unknown>[] {
  const ids = new Map<string, unknown>(Object.entries(addedTokens ?? {}));
  const named = Object.entries(config).flatMap(([key, value]) => (key.endsWith("_token") ? (readTokenText(value) ?? []) : []));
  for (const token of [...usual, ...named]) if (!ids.has(token) && Object.hasOwn(vocab, token)) ids.set(token, vocab[token]);
  return [...ids].map(([content, id]) => ({
    id,
    content,
    special: true,
    normalized: false,
    // A mask takes the space before it, as the class says.
    lstrip: content === "<mask>",
    rstrip: false,
    single_word: false,
  }));
}
