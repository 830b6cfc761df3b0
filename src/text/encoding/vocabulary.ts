import { isRecord } from "../tokenizer-config.ts";

/** Tokens by id and ids by token. */
export class Vocabulary {
  private readonly tokens: (string | undefined)[] = [];
  private readonly ids = new Map<string, number>();

  /** One more than the highest id. */
  get size(): number {
    return this.tokens.length;
  }

  idOf(token: string): number | undefined {
    return this.ids.get(token);
  }

  tokenOf(id: number): string | undefined {
    return this.tokens[id];
  }

  /** A token that is there moves to the new id. */
  add(token: string, id: number): void {
    this.ids.set(token, id);
    this.tokens[id] = token;
  }

  /** UTF-16 units of the longest token. */
  longest(): number {
    let most = 1;
    for (const token of this.ids.keys()) most = Math.max(most, token.length);
    return most;
  }
}

const largestId = 2 ** 24;

/** `vocab` as an object of ids. Throws when an id is none. */
export function readVocabulary(vocab: unknown): Vocabulary {
  if (!isRecord(vocab)) throw new Error("the vocabulary is not an object");
  const vocabulary = new Vocabulary();
  for (const [token, id] of Object.entries(vocab)) vocabulary.add(token, checkId(id, token));
  return vocabulary;
}

export function checkId(id: unknown, token: string): number {
  if (typeof id === "number" && Number.isInteger(id) && id >= 0 && id < largestId) return id;
  throw new Error(`the id of ${JSON.stringify(token.slice(0, 40))} is not a whole number below ${largestId}`);
}

const encoder = new TextEncoder();

/** The ids of `<0x00>` to `<0xFF>`, for texts that the vocabulary does not have otherwise. */
export class ByteIds {
  private readonly ids: (number | undefined)[];

  constructor(vocabulary: Vocabulary) {
    this.ids = Array.from({ length: 256 }, (_, byte) => {
      return vocabulary.idOf(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
    });
  }

  /** Appends the ids of a text's bytes; false, and nothing appended, when one of them has none. */
  append(text: string, ids: number[]): boolean {
    const bytes = encoder.encode(text);
    for (const byte of bytes) if (this.ids[byte] === undefined) return false;
    for (const byte of bytes) ids.push(this.ids[byte]!);
    return true;
  }
}
