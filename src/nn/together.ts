/** Linear layers with the same input, computed together where there is an operation for it. */
import { geglu, swiglu } from "../mlx/fast.ts";
import type { MxArray } from "../mlx/ffi.ts";
import { type AdapterChoice, type Linear, PackedLinear } from "./linear.ts";
import { LoraLinear } from "./lora.ts";

/** The layers without their adapters' updates; null when one of them is computed otherwise, or an adapter is chosen. */
function packedOf(layers: readonly Linear[], { adapters }: AdapterChoice): PackedLinear[] | null {
  const plain = layers.map((layer) => (layer instanceof LoraLinear && adapters === null ? layer.base : layer));
  return plain.every((layer) => layer instanceof PackedLinear) ? plain : null;
}

/** What each of them makes of x. */
export function forwardAll(layers: readonly Linear[], x: MxArray, batch: AdapterChoice): MxArray[] {
  const packed = packedOf(layers, batch);
  return (packed && PackedLinear.forwardAll(packed, x)) ?? layers.map((layer) => layer.forward(x, batch));
}

export type GatedActivation = (gate: MxArray, up: MxArray) => MxArray;

/** activation(gate(x), up(x)) */
export function forwardGated(gate: Linear, up: Linear, activation: GatedActivation, x: MxArray, batch: AdapterChoice): MxArray {
  const [packedGate, packedUp] = (activation === swiglu || activation === geglu ? packedOf([gate, up], batch) : null) ?? [];
  const together = packedGate && packedUp ? PackedLinear.forwardGated(packedGate, packedUp, x, activation === geglu) : null;
  return together ?? activation(gate.forward(x, batch), up.forward(x, batch));
}
