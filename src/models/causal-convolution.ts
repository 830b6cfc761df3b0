/** Causal depthwise convolutions with their state. */
import { StartupError } from "../errors.ts";
import type { Batch } from "../kv/cache.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { Parameter } from "../nn/parameter.ts";
import type { CacheList } from "./decoder.ts";
import type { ConfigReader } from "./model-config.ts";
import type { TensorSet } from "./tensor-set.ts";
import type { Weights } from "./weights.ts";

export interface ConvolutionSpec {
  channels: number;
  /** Tokens that an output depends on, its own included. */
  taps: number;
  bias: boolean;
  /** Whether silu follows. */
  silu: boolean;
}

const MAX_TAPS = 16;

/** The number of taps in a field of the config. */
export function readTaps(c: ConfigReader, name: string): number {
  return c.int(name, { min: 2, max: MAX_TAPS });
}

export class CausalConvolution {
  readonly weight: Parameter;
  readonly bias: Parameter | null;
  readonly #silu: boolean;
  readonly #cache: number;

  /** Of tensors that `transposeConvolutions` has seen. */
  constructor({ channels, taps, bias, silu }: ConvolutionSpec, weights: Weights, prefix: string, caches: CacheList) {
    this.weight = weights.tensor(`${prefix}.weight`, [taps, channels]);
    this.bias = bias ? weights.tensor(`${prefix}.bias`, [channels]) : null;
    this.#silu = silu;
    this.#cache = caches.add({ kind: "state", shape: [taps - 1, channels] });
  }

  /** x [T, channels] */
  forward(x: MxArray, { recurrence }: Batch): MxArray {
    return recurrence.convolve(this.#cache, x, this.weight.array, { bias: this.bias?.array ?? null, silu: this.#silu });
  }
}

/**
 * Brings the weights whose names match, [channels, 1, taps] as torch has them or [channels, taps, 1] as MLX has them, to
 * [taps, channels]. Throws `StartupError` for other shapes.
 */
export function transposeConvolutions(tensors: TensorSet, pattern: RegExp): void {
  tensors.derive(
    tensors
      .names()
      .filter((name) => name.search(pattern) >= 0)
      .map((name) => {
        const { shape } = tensors.get(name)!;
        const [channels = 0, one = 0, two = 0] = shape;
        if (shape.length !== 3 || Math.min(one, two) !== 1)
          throw new StartupError(`tensor ${name} is [${shape.join(", ")}], which is not a depthwise convolution`);
        const taps = one * two;
        return {
          name,
          shape: [taps, channels],
          from: [name],
          compute: ([weight]: readonly MxArray[]) => mx.contiguous(mx.transpose(mx.reshape(weight!, [channels, taps]), [1, 0])),
        };
      }),
  );
}

/** Whether a convolution has the publisher's layout: then nothing of the checkpoint has been converted. */
export function hasOriginalConvolutions(tensors: TensorSet): boolean {
  return tensors.names().some((name) => {
    const { shape } = tensors.get(name)!;
    return name.endsWith("conv1d.weight") && shape.length === 3 && shape[2] !== 1;
  });
}
