import { byteLengthOf, keep, release } from "../mlx/array.ts";
import type { MxArray } from "../mlx/ffi.ts";
import type { Payload } from "../prefix/block-index.ts";

/** An array that lives as long as its block, and as somebody has retained it. */
export class ArrayPayload implements Payload {
  readonly bytes: number;
  readonly array: MxArray;
  #holders = 1;

  /** Takes the array out of the scope at hand. */
  constructor(array: MxArray) {
    this.array = keep(array);
    this.bytes = byteLengthOf(array);
  }

  retain(): void {
    this.#holders++;
  }

  free(): void {
    if (--this.#holders === 0) release(this.array);
  }
}

/** What has just been kept, for whoever keeps it longer than the memory does. */
export interface NewContent {
  /** Of the block, and how many come before it. */
  key: string;
  depth: number;
  kind: "tokens" | "state";
  payload: ArrayPayload;
}

/** Content on its way: retained from when it is made until it is computed and passed on, whatever becomes of its block meanwhile. */
export class ContentBatch {
  /** What has found a place. */
  readonly kept: NewContent[] = [];
  readonly #held: ArrayPayload[] = [];
  readonly #made: MxArray[] = [];

  /** What has to be computed. */
  get made(): readonly MxArray[] {
    return this.#made;
  }

  /** Content to be computed with this batch. */
  make(array: MxArray): ArrayPayload {
    const payload = new ArrayPayload(array);
    this.#made.push(array);
    this.#hold(payload);
    return payload;
  }

  /** Notes what has found a place in the index, made now or before. */
  keep(content: NewContent): void {
    this.#hold(content.payload);
    this.kept.push(content);
  }

  /** To be called once, in the end. */
  free(): void {
    for (const payload of this.#held) payload.free();
  }

  #hold(payload: ArrayPayload): void {
    payload.retain();
    this.#held.push(payload);
  }
}
