/** The experts of Gemma 4, which work beside the dense MLP of their layer. */
import { geglu, times } from "../../mlx/fast.ts";
import type { MxArray } from "../../mlx/ffi.ts";
import * as mx from "../../mlx/ops.ts";
import type { AdapterChoice, Linear } from "../../nn/linear.ts";
import { RmsNorm } from "../../nn/norm.ts";
import type { Parameter } from "../../nn/parameter.ts";
import { GatedExperts, type Routing } from "../moe.ts";
import { checkChoice, chooseThenSoftmax } from "../routing.ts";
import type { DerivedTensor, TensorSet } from "../tensor-set.ts";
import type { Weights } from "../weights.ts";

export interface Gemma4ExpertsSpec {
  hiddenSize: number;
  normEps: number;
  experts: number;
  /** Experts for each token. */
  chosen: number;
  /** Intermediate size of one. */
  expertSize: number;
}

export class Gemma4Experts {
  readonly router: { norm: RmsNorm; proj: Linear; per_expert_scale: Parameter };
  readonly experts: GatedExperts;
  readonly post_feedforward_layernorm_1: RmsNorm;
  readonly post_feedforward_layernorm_2: RmsNorm;
  readonly pre_feedforward_layernorm_2: RmsNorm;
  readonly #chosen: number;

  /** `prefix`: the layer's. */
  constructor(spec: Gemma4ExpertsSpec, weights: Weights, prefix: string) {
    const { hiddenSize, normEps, experts, chosen, expertSize } = spec;
    checkChoice("config.json", experts, { k: chosen });
    const norm = (name: string) => weights.norm(`${prefix}.${name}`, hiddenSize, normEps);
    const scale = weights.tensor(`${prefix}.router.scale`, [hiddenSize], (stored) => times(stored, hiddenSize ** -0.5));
    this.router = {
      norm: new RmsNorm(scale, normEps),
      proj: weights.linear(`${prefix}.router.proj`, hiddenSize, experts, false),
      per_expert_scale: weights.tensor(`${prefix}.router.per_expert_scale`, [experts]),
    };
    const sizes = { hiddenSize, intermediateSize: expertSize, experts, activation: geglu };
    this.experts = new GatedExperts(sizes, weights, `${prefix}.experts.switch_glu`);
    this.post_feedforward_layernorm_1 = norm("post_feedforward_layernorm_1");
    this.post_feedforward_layernorm_2 = norm("post_feedforward_layernorm_2");
    this.pre_feedforward_layernorm_2 = norm("pre_feedforward_layernorm_2");
    this.#chosen = chosen;
  }

  /** h [T, hidden], and what the dense MLP makes of it, to the normalised sum of the MLP's and the experts' results. */
  join(h: MxArray, dense: MxArray, batch: AdapterChoice): MxArray {
    const mixed = this.experts.forward(this.pre_feedforward_layernorm_2.forward(h), this.#route(h, batch));
    return mx.add(this.post_feedforward_layernorm_1.forward(dense), this.post_feedforward_layernorm_2.forward(mixed));
  }

  #route(h: MxArray, batch: AdapterChoice): Routing {
    const { norm, proj, per_expert_scale } = this.router;
    const { experts, weights } = chooseThenSoftmax(proj.forward(norm.forward(h), batch), this.#chosen);
    return { experts, weights: mx.multiply(weights, mx.take(per_expert_scale.array, experts, 0)) };
  }
}

/** The publisher's layout, gate and up in one tensor [experts, 2 * size, hidden], to that of mlx-lm. */
export function splitExperts(tensors: TensorSet): void {
  const parts: DerivedTensor[] = [];
  for (const [name, { shape }] of tensors.infos()) {
    const [, base, kind] = /^(.*\.experts)\.(gate_up_proj|down_proj)$/.exec(name) ?? [];
    if (base === undefined) continue;
    if (kind === "down_proj") {
      parts.push({ name: `${base}.switch_glu.down_proj.weight`, shape, from: [name], compute: ([all]) => all! });
      continue;
    }
    const [experts = 0, rows = 0, hidden = 0] = shape;
    const half = Math.floor(rows / 2);
    const cut = (part: string, from: number, to: number) =>
      parts.push({
        name: `${base}.switch_glu.${part}.weight`,
        shape: [experts, to - from, hidden],
        from: [name],
        compute: ([all]) => mx.contiguous(mx.slice(all!, [0, from, 0], [experts, to, hidden])),
      });
    cut("gate_proj", 0, half);
    cut("up_proj", half, rows);
  }
  tensors.derive(parts);
}
