/** One batch that decodes in this process by the engine's own modules, each part of a step timed. */

import { createParser } from "../../src/chat/parser.ts";
import { chooseFormat } from "../../src/chat/registry.ts";
import { completeRequest } from "../../src/engine/generate.ts";
import { Output } from "../../src/engine/output.ts";
import type { Generation } from "../../src/engine/request.ts";
import { Scheduler } from "../../src/engine/scheduler.ts";
import { Sequence } from "../../src/engine/sequence.ts";
import { Step } from "../../src/engine/step.ts";
import type { ChatCompletionJob } from "../../src/http/chat/service.ts";
import { streamChat } from "../../src/http/chat/stream.ts";
import { createChoice } from "../../src/http/chat-events.ts";
import type { HttpContext } from "../../src/http/context.ts";
import { streamEvents } from "../../src/http/sse.ts";
import { KvPool } from "../../src/kv/pool.ts";
import { rowBytes } from "../../src/kv/row-size.ts";
import { RowTable, sizeClasses } from "../../src/kv/rows.ts";
import { ffi } from "../../src/mlx/ffi.ts";
import type { LoadedModel } from "../../src/models/load.ts";
import type { LanguageModel } from "../../src/models/model.ts";
import type { Tokenizer } from "../../src/text/tokenizer.ts";

/** Milliseconds. */
export interface StepTimes {
  schedule: number;
  /** Tokens, positions and what attention needs, as arrays. */
  open: number;
  forward: number;
  sampling: number;
  /** The call that hands the graph over. */
  submit: number;
  native: number;
  read: number;
  detokenize: number;
  sse: number;
}

type Operation = Extract<keyof typeof ffi, `op_${string}`>;

const neutral = { temperature: 1, topP: 1, topK: 0, minP: 0, repetitionPenalty: 1 };
const promptTokens = 64;
const now = () => performance.now();

export class StepDriver {
  /** Bytes of all event streams, to see that they flow. */
  streamedBytes = 0;
  readonly #model: LanguageModel;
  readonly #rows: RowTable;
  readonly #pool: KvPool;
  readonly #scheduler: Scheduler<Sequence>;
  readonly #outputs = new Map<Sequence, Output>();
  readonly #leaving = new AbortController();
  #forwardBegin = 0;
  #forwardEnd = 0;
  #submitBegin = 0;
  readonly #nativeSubmit = ffi.shim_submit;

  constructor(loaded: LoadedModel, tokenizer: Tokenizer, context: HttpContext, batch: number, temperature: number) {
    const { model, dtype } = loaded;
    const capacities = sizeClasses(model.contextLength);
    this.#rows = new RowTable({
      capacities,
      rowBytes: (capacity) => rowBytes(model.caches, dtype, capacity),
      budgetBytes: 2 ** 33,
    });
    this.#pool = new KvPool(model.caches, capacities, dtype);
    this.#scheduler = new Scheduler({ maxBatchSize: batch, maxTokensPerStep: 512, maxQueue: batch }, this.#rows);
    this.#model = {
      vocabSize: model.vocabSize,
      contextLength: model.contextLength,
      caches: model.caches,
      forward: (opened) => {
        this.#forwardBegin = now();
        const logits = model.forward(opened);
        this.#forwardEnd = now();
        return logits;
      },
    };
    ffi.shim_submit = (...args) => {
      this.#submitBegin = now();
      return this.#nativeSubmit(...args);
    };
    for (let id = 1; id <= batch; id++) this.#enter(id, tokenizer, context, temperature);
  }

  /** Computes all prompts. */
  async prefill(): Promise<void> {
    while ([...this.#outputs.keys()].some((sequence) => sequence.output.length === 0)) await this.step();
  }

  /** One step by itself: nothing overlaps. */
  async step(): Promise<StepTimes> {
    const begun = now();
    const plan = this.#scheduler.plan();
    const planned = now();
    const step = Step.submit(this.#model, this.#rows, this.#pool, plan.items, { previous: null, later: false });
    const submitted = now();
    await step.done;
    const computed = now();
    const received = step.read();
    for (const { sequence, token } of received) sequence.receive(token.id);
    step.free();
    const read = now();
    for (const { sequence, token } of received) this.#push(sequence, token.id);
    const detokenized = now();
    await new Promise((resolve) => setImmediate(resolve));
    return {
      schedule: planned - begun,
      open: this.#forwardBegin - planned,
      forward: this.#forwardEnd - this.#forwardBegin,
      sampling: this.#submitBegin - this.#forwardEnd,
      submit: submitted - this.#submitBegin,
      native: computed - submitted,
      read: read - computed,
      detokenize: detokenized - read,
      sse: now() - detokenized,
    };
  }

  /** Steps as the engine makes them, one ahead, with output: milliseconds of each. */
  async pipeline(count: number): Promise<number[]> {
    const times: number[] = [];
    let running: Step | null = null;
    let last = now();
    for (let i = 0; i <= count; i++) {
      const next: Step | null =
        i < count
          ? Step.submit(this.#model, this.#rows, this.#pool, this.#scheduler.plan().items, { previous: running, later: false })
          : null;
      if (running !== null) {
        await running.done;
        for (const { sequence, token } of running.read()) {
          sequence.receive(token.id);
          this.#push(sequence, token.id);
        }
        running.free();
        await new Promise((resolve) => setImmediate(resolve));
        const at = now();
        times.push(at - last);
        last = at;
      }
      running = next;
    }
    return times;
  }

  /** Graph operations of one step, by name. */
  async countOps(): Promise<Map<string, number>> {
    const counts = new Map<string, number>();
    const names = Object.keys(ffi).filter((name): name is Operation => name.startsWith("op_"));
    const originals = names.map((name) => ffi[name]);
    names.forEach((name, i) => {
      ffi[name] = (...args) => {
        counts.set(name.slice(3), (counts.get(name.slice(3)) ?? 0) + 1);
        return originals[i]!(...args);
      };
    });
    try {
      await this.step();
    } finally {
      names.forEach((name, i) => {
        ffi[name] = originals[i]!;
      });
    }
    return counts;
  }

  free(): void {
    ffi.shim_submit = this.#nativeSubmit;
    this.#leaving.abort();
    for (const sequence of this.#outputs.keys()) this.#scheduler.remove(sequence);
    this.#pool.free();
  }

  #push(sequence: Sequence, id: number): void {
    this.#outputs.get(sequence)!.push({ id }, { hidden: false, stoppable: true });
  }

  /** A request with its answer as a client gets it, all but the socket. */
  #enter(id: number, tokenizer: Tokenizer, context: HttpContext, temperature: number): void {
    const { contextLength, vocabSize } = this.#model;
    const prompt = Int32Array.from({ length: promptTokens }, (_, i) => (id * 7919 + i * 104_729) % Math.min(vocabSize, 4000));
    const sequence = new Sequence({
      id,
      request: completeRequest(prompt, { temperature, ignoreEos: true }, { defaultSampling: neutral }),
      contextLength,
      eosTokenIds: [],
      seed: id,
    });
    const output = new Output(tokenizer, []);
    this.#outputs.set(sequence, output);
    this.#scheduler.enqueue(sequence);
    const generation: Generation = {
      id,
      promptTokenCount: promptTokens,
      cachedTokenCount: 0,
      times: sequence.times,
      get completionTokenCount() {
        return sequence.output.length;
      },
      cancel: () => {},
      async *[Symbol.asyncIterator]() {
        for (let chunk = await output.next(); chunk !== null; chunk = await output.next()) yield chunk;
      },
    };
    const parser = createParser({
      format: chooseFormat({ template: null, toolParser: null, reasoningParser: null }),
      tools: [],
      prompt: "",
    });
    const job: ChatCompletionJob = {
      id: `chatcmpl-${id}`,
      created: 0,
      model: "bench",
      context,
      generations: [generation],
      choices: 1,
      promptTokens,
      includeUsage: true,
      logprobs: false,
      choicesRead: [createChoice(parser, false)],
      showsReasoning: true,
    };
    void this.#consume(streamEvents(job, streamChat(job), this.#leaving.signal));
  }

  async #consume({ body }: Response): Promise<void> {
    for await (const bytes of body!) this.streamedBytes += bytes.length;
  }
}
