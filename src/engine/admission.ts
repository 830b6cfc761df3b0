import { InvalidRequest } from "../errors.ts";
import type { RowTable } from "../kv/rows.ts";
import type { LoadedModel } from "../models/load.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { checkRequest } from "./check-request.ts";
import { DryPenalty } from "./dry.ts";
import type { Prefixes } from "./prefixes.ts";
import { randomSeed } from "./random.ts";
import type { GenerationRequest } from "./request.ts";
import { Sequence } from "./sequence.ts";

interface AdmissionOptions {
  contextLength: number;
  eosTokenIds: readonly number[];
  loaded: LoadedModel;
  tokenizer: Tokenizer;
  rows: RowTable;
  prefixes: Prefixes | null;
}

/** Makes sequences of requests that can be served. */
export class Admission {
  readonly #options: AdmissionOptions;
  /** Tokens of a line's end. */
  readonly #newlines: readonly number[];
  #nextId = 1;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#newlines = options.tokenizer.encode("\n", { addSpecialTokens: false });
  }

  /** Throws `InvalidRequest`. */
  open(request: GenerationRequest): Sequence {
    const { contextLength, eosTokenIds, loaded, tokenizer, rows, prefixes } = this.#options;
    const { vocabSize } = loaded.model;
    checkRequest(request, { contextLength, vocabSize, fitsAlone: (length) => rows.fitsAlone(length) });
    const { dry } = request.sampling;
    return new Sequence({
      id: this.#nextId++,
      request,
      contextLength,
      eosTokenIds,
      seed: randomSeed(),
      adapter: this.#adapterOf(request),
      prefixRoot: prefixes?.rootOf(request),
      dry: dry && new DryPenalty(dry, (token) => tokenizer.tokenBytes(token)),
      exempt: this.#newlines,
    });
  }

  /** Number in the batch; 0 for none. */
  #adapterOf({ adapter }: GenerationRequest): number {
    if (adapter === null) return 0;
    const number = this.#options.loaded.adapters.indexOf(adapter) + 1;
    if (number === 0) throw new InvalidRequest(`There is no adapter ${JSON.stringify(adapter)}.`, "model", "model_not_found");
    return number;
  }
}
