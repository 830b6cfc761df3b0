import type { Constraint } from "./constraint.ts";
import type { DryPenalty } from "./dry.ts";
import type { GenerationRequest, GenerationTimes, SamplingParams } from "./request.ts";
import type { Schedulable } from "./scheduler.ts";

export interface SequenceOptions {
  id: number;
  request: GenerationRequest;
  /** Prompt and output together never get longer. */
  contextLength: number;
  /** Tokens that end the output unless the request ignores them. */
  eosTokenIds: readonly number[];
  /** Used when the request names none. */
  seed: number;
  /** Number of its adapter; 0, none, by default. */
  adapter?: number;
  /** See `PrefixSequence`. */
  prefixRoot?: string;
  /** What its output is penalised for, where the request wants that. */
  dry?: DryPenalty | null | undefined;
  /** Tokens, besides those that end the output, that XTC leaves alone. */
  exempt?: readonly number[];
}

/** One request in the batch: its tokens and how far it has come. The one object per row. */
export class Sequence implements Schedulable {
  readonly id: number;
  readonly prompt: Int32Array;
  readonly sampling: SamplingParams;
  readonly logprobs: number | null;
  readonly seed: number;
  readonly adapter: number;
  readonly prefixRoot: string;
  readonly background: boolean;
  /** Prompt tokens that were not computed, but taken from the prefix cache. */
  cachedTokens = 0;
  readonly minTokens: number;
  readonly maxLength: number;
  readonly outputLimit: number | null;
  readonly endTokenIds: ReadonlySet<number>;
  /** Sampled tokens whose values are known. */
  readonly output: number[] = [];
  readonly times: GenerationTimes = { startedAt: null, firstTokenAt: null, lastTokenAt: null };
  length: number;
  computed = 0;
  inFlight = 0;
  /** Its row among the tokens of the step that sampled it last. */
  pending = 0;
  finished = false;
  /** False while what is known of its beginning is read from disk. */
  ready = true;
  readonly dry: DryPenalty | null;
  readonly exempt: readonly number[];
  /** What holds its output to a grammar. */
  constraint: Constraint | null = null;
  held = false;
  readonly #bannedAtFirst: readonly number[];

  constructor({ id, request, contextLength, eosTokenIds, seed, adapter = 0, prefixRoot = "", dry, exempt }: SequenceOptions) {
    this.id = id;
    this.prompt = Int32Array.from(request.promptTokens);
    this.sampling = request.sampling;
    this.logprobs = request.logprobs;
    this.seed = request.sampling.seed ?? seed;
    this.adapter = adapter;
    this.prefixRoot = prefixRoot;
    this.background = request.background ?? false;
    this.minTokens = request.minTokens;
    this.length = this.prompt.length;
    this.maxLength = Math.min(contextLength, this.length + (request.maxTokens ?? contextLength));
    this.outputLimit = request.maxTokens;
    this.endTokenIds = new Set(request.ignoreEos ? request.stopTokenIds : [...eosTokenIds, ...request.stopTokenIds]);
    this.#bannedAtFirst = [...this.endTokenIds];
    this.dry = dry ?? null;
    this.exempt = request.sampling.xtc ? [...this.endTokenIds, ...(exempt ?? [])] : [];
  }

  get promptLength(): number {
    return this.prompt.length;
  }

  /** Tokens sampled so far, those in flight included. */
  get sampledCount(): number {
    return this.length - this.prompt.length;
  }

  /** What the token now being sampled, which the plan has counted already, may not be. */
  get banned(): readonly number[] {
    return this.sampledCount <= this.minTokens ? this.#bannedAtFirst : [];
  }

  /** Token id at a position; null while it is in flight. */
  token(position: number): number | null {
    if (position < this.prompt.length) return this.prompt[position]!;
    return this.output[position - this.prompt.length] ?? null;
  }

  /** Takes the value of the oldest token in flight; one that was on its way when the output ended is not part of it. */
  receive(id: number): void {
    if (!this.finished) this.output.push(id);
    this.inFlight -= 1;
  }
}
