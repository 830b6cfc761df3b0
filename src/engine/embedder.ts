/** Texts of all waiting requests share passes: each pass takes what fits into a budget of tokens, a text of each request in turn. */
import { EngineFailure, InvalidRequest, Overloaded, Unavailable } from "../errors.ts";
import { macrotask } from "../macrotask.ts";
import type { ModelInfo } from "./request.ts";
import type { EmbedTexts, TextTokens } from "./text-encoder.ts";

export interface EmbedderOptions {
  /** A longer text has a pass to itself. */
  maxTokensPerPass: number;
  /** Requests that may wait. */
  maxQueue: number;
  /** Tokens that may wait, over all requests. */
  maxWaitingTokens?: number;
  /** Passes under way at the same time: 2, so that the next one is built while one is computed, or 1. */
  maxPasses?: 1 | 2;
  onFailure(error: EngineFailure): void;
}

interface Job {
  readonly texts: readonly TextTokens[];
  readonly vectors: Float32Array[];
  /** The first text that no pass has taken. */
  next: number;
  missing: number;
  isSettled: boolean;
  resolve(vectors: Float32Array[]): void;
  reject(error: unknown): void;
  /** Lets go of the request's signal. */
  forget(): void;
}

/** A text in a pass. */
interface Seat {
  job: Job;
  index: number;
}

/** 16 MB of ids. */
const defaultWaitingTokens = 4 * 2 ** 20;

export class Embedder {
  readonly #embedTexts: EmbedTexts;
  readonly #options: Required<EmbedderOptions>;
  /** Jobs with texts that no pass has taken; the first has its turn next. */
  #waiting: Job[] = [];
  readonly #live = new Set<Job>();
  #waitingTokens = 0;
  #isRunning = false;
  #isClosing = false;
  #totalRequests = 0;
  #totalTokens = 0;
  /** Of the passes so far. */
  #busyMs = 0;

  constructor(embedTexts: EmbedTexts, options: EmbedderOptions) {
    this.#embedTexts = embedTexts;
    this.#options = { maxWaitingTokens: defaultWaitingTokens, maxPasses: 2, ...options };
  }

  get queueSize(): number {
    return this.#waiting.filter(({ next }) => next === 0).length;
  }

  get activeCount(): number {
    return this.#live.size - this.queueSize;
  }

  get totalRequests(): number {
    return this.#totalRequests;
  }

  /** One vector for each text. Throws `Overloaded` and `Unavailable` at once; a pass that fails is an `EngineFailure`. */
  embed(texts: readonly TextTokens[], signal?: AbortSignal): Promise<Float32Array[]> {
    if (this.#isClosing) throw new Unavailable("The server is shutting down.");
    if (signal?.aborted) throw new Unavailable("The request was cancelled.");
    const tokens = countTokens(texts);
    this.#checkRoom(tokens);
    this.#totalRequests++;
    if (texts.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      const cancel = () => this.#settle(job, () => reject(new Unavailable("The request was cancelled.")));
      const forget = () => signal?.removeEventListener("abort", cancel);
      const job: Job = { texts, vectors: [], next: 0, missing: texts.length, isSettled: false, resolve, reject, forget };
      signal?.addEventListener("abort", cancel, { once: true });
      this.#waiting.push(job);
      this.#live.add(job);
      this.#waitingTokens += tokens;
      if (!this.#isRunning) this.#run();
    });
  }

  /** Lets what is there finish for `graceMs` milliseconds and ends the rest with `Unavailable`. */
  async close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    const deadline = performance.now() + graceMs;
    while (this.#live.size > 0 && performance.now() < deadline) await Bun.sleep(10);
    for (const job of [...this.#live]) this.#settle(job, () => job.reject(new Unavailable("The server is shutting down.")));
    while (this.#isRunning) await Bun.sleep(5);
  }

  #checkRoom(tokens: number): void {
    const isFull = this.#waiting.length >= this.#options.maxQueue;
    // What is alone may be of any size: the HTTP layer bounds a request.
    if (!isFull && (this.#waitingTokens === 0 || this.#waitingTokens + tokens <= this.#options.maxWaitingTokens)) return;
    const perSecond = this.#totalTokens > 0 ? (this.#totalTokens / this.#busyMs) * 1000 : 1000;
    const seconds = Math.min(600, Math.max(1, Math.ceil(this.#waitingTokens / perSecond)));
    throw new Overloaded(`The queue of embedding requests is full: ${this.#waiting.length} are waiting.`, seconds);
  }

  /** Passes one after the other. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    // Requests of the same moment share the first pass.
    await macrotask();
    let before: Promise<void> = Promise.resolve();
    while (this.#waiting.length > 0) {
      const pass = this.#compute(this.#takeSeats());
      await (this.#options.maxPasses === 1 ? pass : before);
      before = pass;
      await macrotask();
    }
    await before;
    this.#isRunning = false;
    if (this.#waiting.length > 0) this.#run();
  }

  /** At least one text; then a text of each job in turn while the budget lasts. */
  #takeSeats(): Seat[] {
    const seats: Seat[] = [];
    let left = this.#options.maxTokensPerPass;
    for (let job = this.#waiting[0]; job; job = this.#waiting[0]) {
      const length = job.texts[job.next]!.length;
      if (seats.length > 0 && length > left) break;
      left -= length;
      this.#waitingTokens -= length;
      seats.push({ job, index: job.next++ });
      this.#waiting.shift();
      if (job.next < job.texts.length) this.#waiting.push(job);
    }
    // Neighbours of one length are computed together on a GPU.
    return seats.sort((a, b) => lengthOf(b) - lengthOf(a));
  }

  async #compute(seats: readonly Seat[]): Promise<void> {
    const begun = performance.now();
    try {
      const vectors = await this.#embedTexts(seats.map(({ job, index }) => job.texts[index]!));
      this.#totalTokens += seats.reduce((sum, seat) => sum + lengthOf(seat), 0);
      this.#busyMs += performance.now() - begun;
      for (const [place, { job, index }] of seats.entries()) {
        job.vectors[index] = vectors[place]!;
        if (--job.missing === 0) this.#settle(job, () => job.resolve(job.vectors));
      }
    } catch (error) {
      // Nothing is kept between passes, so that the next one may well succeed.
      const failure = new EngineFailure("A pass of the embedding model failed.", { cause: error });
      this.#options.onFailure(failure);
      for (const job of new Set(seats.map((seat) => seat.job))) this.#settle(job, () => job.reject(failure));
    }
  }

  /** Ends a job once, whatever comes first. */
  #settle(job: Job, end: () => void): void {
    if (job.isSettled) return;
    job.isSettled = true;
    job.forget();
    this.#live.delete(job);
    if (this.#waiting.includes(job)) {
      this.#waiting = this.#waiting.filter((other) => other !== job);
      this.#waitingTokens -= countTokens(job.texts.slice(job.next));
    }
    end();
  }
}

function countTokens(texts: readonly TextTokens[]): number {
  return texts.reduce((sum, { length }) => sum + length, 0);
}

function lengthOf({ job, index }: Seat): number {
  return job.texts[index]!.length;
}

/** The texts, if the model can take them. Throws `InvalidRequest`. */
export function checkTexts(texts: readonly (readonly number[])[], { vocabSize, embedding }: ModelInfo): typeof texts {
  const most = embedding?.maxTokens ?? 0;
  for (const text of texts) {
    if (text.length === 0) throw new InvalidRequest("A text to embed must have at least one token.", "input", "invalid_value");
    if (text.length > most) {
      const message = `This model's maximum context length is ${most} tokens, but a text has ${text.length}.`;
      throw new InvalidRequest(message, "input", "context_length_exceeded");
    }
    const wrong = text.find((id) => !(Number.isInteger(id) && id >= 0 && id < vocabSize));
    if (wrong !== undefined) {
      throw new InvalidRequest(`Token id ${wrong} is not in the vocabulary of ${vocabSize}.`, "input", "invalid_value");
    }
  }
  return texts;
}
