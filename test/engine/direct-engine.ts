/** The engine without the server around it: with a model that may be tampered with, and any memory. */
import { Engine, type EngineOptions } from "../../src/engine/engine.ts";
import type { EngineFailure } from "../../src/errors.ts";
import type { Batch } from "../../src/kv/cache.ts";
import { dimension, openMlx } from "../../src/mlx/array.ts";
import type { MxArray } from "../../src/mlx/ffi.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { openCheckpoint } from "../../src/models/checkpoint.ts";
import { loadModel } from "../../src/models/load.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { TINY_CHAT } from "./tiny-chat.ts";

/** Of one token in tiny-chat's caches, float32: 6 layers, 2 heads of 64, keys and values. */
export const BYTES_PER_TOKEN = 6 * 2 * 2 * 64 * 4;
export const END_TOKEN = 4089;

interface Options extends Partial<EngineOptions> {
  /** Of the model; tiny-chat by default, whose tokenizer every model gets. */
  directory?: string;
  adapters?: readonly { name: string; path: string }[];
  /** Stands in for the model's own pass. `step` counts from 1. */
  forward?: (batch: Batch, step: number, own: (batch: Batch) => MxArray) => MxArray;
}

export interface DirectEngine {
  engine: Engine;
  failures: EngineFailure[];
  /** Tokens of all passes so far. */
  computed(): number;
  /** Closes the engine and frees the model. */
  close(graceMs?: number): Promise<void>;
}

export async function startEngine({ forward, adapters, directory = TINY_CHAT, ...options }: Options = {}): Promise<DirectEngine> {
  openMlx(locateNativeLibrary(), true);
  const checkpoint = await openCheckpoint(TINY_CHAT);
  const loaded = await loadModel(directory === TINY_CHAT ? checkpoint : await openCheckpoint(directory), { adapters });
  const tokenizer = loadTokenizer({ tokenizerJson: checkpoint.tokenizerJson, tokenizerConfig: checkpoint.tokenizerConfig ?? {} });
  const failures: EngineFailure[] = [];
  let computed = 0;
  let step = 0;
  const own = (batch: Batch) => loaded.model.forward(batch);
  const model = {
    vocabSize: loaded.model.vocabSize,
    contextLength: loaded.model.contextLength,
    caches: loaded.model.caches,
    forward: (batch: Batch) => {
      computed += dimension(batch.tokens, 0);
      step++;
      return forward ? forward(batch, step, own) : own(batch);
    },
  };
  const engine = new Engine({ ...loaded, model }, tokenizer, {
    maxBatchSize: 16,
    maxTokensPerStep: 256,
    maxQueue: 100,
    contextLength: loaded.model.contextLength,
    kvBudgetBytes: 2 ** 30,
    eosTokenIds: [END_TOKEN],
    onFailure: (failure) => failures.push(failure),
    ...options,
  });
  return {
    engine,
    failures,
    computed: () => computed,
    close: async (graceMs = 0) => {
      await engine.close(graceMs);
      loaded.free();
    },
  };
}
