/** Vocabularies of real kinds, and matchers over them without a worker. */
import { join } from "node:path";
import { vocabularyOf } from "../../src/engine/vocabulary.ts";
import { type BuiltGrammar, buildGrammar } from "../../src/grammar/build.ts";
import type { GrammarSpec } from "../../src/grammar/contract.ts";
import { type PackedVocabulary, packVocabulary, type Vocabulary } from "../../src/grammar/vocabulary.ts";
import { Matching } from "../../src/grammar/worker/matching.ts";
import { MAY_END, MUST_END, maskWords } from "../../src/grammar/worker/messages.ts";
import { TokenTable } from "../../src/grammar/worker/token-table.ts";
import { type Compiled, type Matcher, Xgrammar } from "../../src/grammar/worker/xgrammar.ts";
import { loadTokenizer, type Tokenizer } from "../../src/text/tokenizer.ts";
import type { Prng } from "../engine/prng.ts";

const TINY_CHAT = join(import.meta.dir, "../../src/assets/tiny-chat");

export async function tinyChatTokenizer(): Promise<Tokenizer> {
  const [tokenizerJson, tokenizerConfig] = await Promise.all(
    ["tokenizer.json", "tokenizer_config.json"].map((name) => Bun.file(join(TINY_CHAT, name)).json()),
  );
  return loadTokenizer({ tokenizerJson, tokenizerConfig: tokenizerConfig as Record<string, unknown> });
}

export async function tinyChatVocabulary(): Promise<Vocabulary> {
  const tokenizer = await tinyChatTokenizer();
  return vocabularyOf(tokenizer, tokenizer.vocabSize, [tokenizer.tokenId("<|im_end|>")!]);
}

export interface Session {
  matching: Matching;
  mask: Int32Array;
  /** Accepts texts exactly: what masks have to agree with. */
  exact: Matcher;
}

/** Everything that a worker has. */
export class Bench {
  readonly tokens: TokenTable;
  readonly packed: PackedVocabulary;
  readonly #masks: Xgrammar;
  readonly #texts: Xgrammar;
  readonly #compiled = new Map<string, { built: BuiltGrammar; masking: Compiled; exact: Compiled }>();

  private constructor(packed: PackedVocabulary, masks: Xgrammar, texts: Xgrammar) {
    this.packed = packed;
    this.tokens = new TokenTable(packed);
    this.#masks = masks;
    this.#texts = texts;
  }

  static async open(vocabulary: Vocabulary): Promise<Bench> {
    const packed = await packVocabulary(vocabulary);
    const masks = await Xgrammar.open([...new TokenTable(packed).spellings(), ""]);
    return new Bench(packed, masks, await Xgrammar.open([]));
  }

  async session(spec: GrammarSpec): Promise<Session> {
    const key = JSON.stringify(spec);
    let made = this.#compiled.get(key);
    if (!made) {
      made = await this.#compile(spec);
      this.#compiled.set(key, made);
    }
    const { built, masking, exact } = made;
    const isJson = spec.kind === "json_schema" || spec.kind === "json_object";
    const limit =
      built.exact === null ? null : { exact: await this.#texts.matcher(exact), shortest: built.shortestLimit, isJson };
    const mask = new Int32Array(maskWords(this.packed.size));
    const matching = new Matching(await this.#masks.matcher(masking), limit, this.tokens, mask);
    return { matching, mask, exact: await this.#texts.matcher(exact) };
  }

  async #compile(spec: GrammarSpec): Promise<{ built: BuiltGrammar; masking: Compiled; exact: Compiled }> {
    const built = buildGrammar(spec, this.packed.specials);
    const [masking, exact] = [await this.#masks.compile(built.masking), await this.#texts.compile(built.exact ?? built.masking)];
    return { built, masking, exact };
  }

  allowed(mask: Int32Array): number[] {
    const ids: number[] = [];
    for (let id = 0; id < this.packed.size; id++) if ((mask[id >> 5]! >>> (id & 31)) & 1) ids.push(id);
    return ids;
  }

  /** Draws tokens until nothing may follow, or the text may end and it happens to. Null: not within so many tokens. */
  async generate(spec: GrammarSpec, random: Prng, options: { most: number; ending: number }): Promise<string | null> {
    const { matching, mask, exact } = await this.session(spec);
    const bytes: number[] = [];
    try {
      for (let i = 0; i < options.most; i++) {
        const state = await matching.next();
        if (state & MUST_END || (state & MAY_END && random.chance(options.ending))) return Buffer.from(bytes).toString();
        const token = random.pick(this.preferred(this.allowed(mask), random));
        matching.accept(token);
        bytes.push(...this.tokens.bytes(token));
      }
      return null;
    } finally {
      matching.dispose();
      exact.dispose();
    }
  }

  /** Now and then the tokens that close something, or texts would not end. */
  preferred(ids: number[], random: Prng): number[] {
    if (random.chance(0.4)) return ids;
    const closing = ids.filter((id) => /["\]}]/.test(Buffer.from(this.tokens.bytes(id)).toString("latin1")));
    return closing.length > 0 ? closing : ids;
  }
}
