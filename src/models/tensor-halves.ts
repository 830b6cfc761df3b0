/** Tensors in which two matrices lie one behind the other, such as gate and up. */
import * as mx from "../mlx/ops.ts";
import type { DerivedTensor, TensorSet } from "./tensor-set.ts";

/** The first and the second half of the rows of `name` [..., rows, columns] under names of their own. */
export function halvesOf(tensors: TensorSet, name: string, to: readonly [first: string, second: string]): DerivedTensor[] {
  const shape = tensors.get(name)?.shape ?? [];
  const [rows = 0, columns = 0] = shape.slice(-2);
  const outer = shape.slice(0, -2);
  const half = rows / 2;
  return to.map((part, i) => ({
    name: part,
    shape: [...outer, half, columns],
    from: [name],
    compute: ([both]) => mx.slice(both!, [...outer.map(() => 0), i * half, 0], [...outer, (i + 1) * half, columns]),
  }));
}
