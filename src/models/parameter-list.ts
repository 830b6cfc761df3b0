/** The parameters of a model from declaration to memory: read one after the other, given back all at once. */

import { macrotask } from "../macrotask.ts";
import { byteLengthOf, evaluate, keep, release, scope } from "../mlx/array.ts";
import type { MxArray } from "../mlx/ffi.ts";
import { clearCache } from "../mlx/memory.ts";
import { Parameter } from "../nn/parameter.ts";

/** Bytes in memory: those that are there, and those of everything. */
export type LoadProgress = (doneBytes: number, totalBytes: number) => void;

interface Pending {
  parameters: readonly Parameter[];
  bytes: number;
  read: () => readonly MxArray[];
}

export class ParameterList {
  readonly #pending: Pending[] = [];

  /** `bytes`: what the array will take. */
  declare(name: string, bytes: number, read: () => MxArray): Parameter {
    return this.declareTogether([name], bytes, () => [read()])[0]!;
  }

  /** Several that come from one read, which gives their arrays in the same order. */
  declareTogether(names: readonly string[], bytes: number, read: () => readonly MxArray[]): Parameter[] {
    const parameters = names.map((name) => new Parameter(name));
    this.#pending.push({ parameters, bytes, read });
    return parameters;
  }

  /** Bytes that everything will take. */
  get plannedBytes(): number {
    return this.#pending.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Bytes of what is loaded. */
  get bytes(): number {
    return this.#loaded().reduce((sum, { array }) => sum + byteLengthOf(array), 0);
  }

  /** Reads all, leaving the event loop free in between: nothing but the parameters read together is in memory twice. */
  async load(onProgress?: LoadProgress): Promise<void> {
    const total = this.plannedBytes;
    let done = 0;
    onProgress?.(0, total);
    for (const { parameters, bytes, read } of this.#pending) {
      scope(() => {
        const arrays = read();
        evaluate(...arrays);
        parameters.forEach((parameter, i) => {
          parameter.fill(keep(arrays[i]!));
        });
      });
      // MLX keeps freed buffers for later use; what loading needs is of no use afterwards.
      clearCache();
      done += bytes;
      onProgress?.(done, total);
      await macrotask();
    }
  }

  /** Gives back everything that was loaded. */
  free(): void {
    for (const parameter of this.#loaded()) {
      release(parameter.array);
      parameter.fill(null);
    }
  }

  #loaded(): Parameter[] {
    return this.#pending.flatMap(({ parameters }) => parameters).filter(({ loaded }) => loaded);
  }
}
