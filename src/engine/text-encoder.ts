/** Passes of an encoder over some texts: pooling, dense layers and normalization included. */
import { ints, keep, readFloats, release, submit } from "../mlx/array.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { EmbeddingModules } from "../models/embedding-modules.ts";
import type { EncoderModel } from "../models/encoder.ts";
import type { DenseLayer } from "../models/load-encoder.ts";
import { applyDense, finishVectors, poolTexts } from "./embedding-math.ts";

/** Token ids of a text. */
export type TextTokens = readonly number[] | Int32Array;

/** Computes one vector for each text; begins at once, and ends off the event loop. */
export type EmbedTexts = (texts: readonly TextTokens[]) => Promise<Float32Array[]>;

export interface TextEncoderParts {
  model: EncoderModel;
  modules: EmbeddingModules;
  dense: readonly DenseLayer[];
}

/** All tokens lie flat: rows are shared by the projections, and only attention sees where a text ends. */
export function createTextEncoder({ model, modules, dense }: TextEncoderParts): EmbedTexts {
  return async (texts) => {
    const lengths = texts.map(({ length }) => length);
    const { result, done } = submit(() => {
      const hidden = model.forward({ ...flatten(texts), lengths });
      const vectors = keep(mx.contiguous(applyDense(poolTexts(hidden, lengths, modules.poolings), dense)));
      return { outputs: [vectors], awaited: 1, result: vectors };
    });
    try {
      await done;
      return finishVectors(splitRows(readFloats(result), texts.length), modules.normalize);
    } finally {
      release(result);
    }
  };
}

/** Tokens and positions, int32 [T] each. */
function flatten(texts: readonly TextTokens[]): { tokens: MxArray; positions: MxArray } {
  const total = texts.reduce((sum, { length }) => sum + length, 0);
  const tokens = new Int32Array(total);
  const positions = new Int32Array(total);
  let at = 0;
  for (const text of texts) {
    tokens.set(text, at);
    for (let i = 0; i < text.length; i++) positions[at + i] = i;
    at += text.length;
  }
  return { tokens: ints(tokens), positions: ints(positions) };
}

function splitRows(values: Float32Array, count: number): Float32Array[] {
  const width = values.length / count;
  return Array.from({ length: count }, (_, row) => values.slice(row * width, (row + 1) * width));
}
