/** Configs and tensors of real models with a few things wrong, each of them such as a file could hold. */
import { SAFETENSORS_DTYPES, type SafetensorsDtype, type TensorInfo } from "../../src/models/safetensors.ts";
import type { Dice } from "./mutations.ts";

type Json = Record<string, unknown>;

/** JSON texts; `NaN` and the like are what Python writes. */
const VALUES = [
  ...[
    "0",
    "1",
    "2",
    "3",
    "4",
    "7",
    "16",
    "32",
    "64",
    "-1",
    "-64",
    "0.5",
    "1.5",
    "1e-30",
    "1e9",
    "1e308",
    "1e999",
    "NaN",
    "-Infinity",
  ],
  ...[
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "9007199254740993",
    "null",
    "true",
    "false",
    '""',
    '"silu"',
    '"4"',
    "[]",
    "{}",
  ],
  ...["[1]", "[0, 0]", "[1, 2, 3, 4]", '["a"]', "[null]", "[[1]]", '{"a": 1}', '"yarn"', '"llama3"', '"longrope"', '"linear"'],
  ...['["full_attention", "sliding_attention"]', '["recurrent"]', `[${"1,".repeat(70_000)}1]`, `"${"x".repeat(5000)}"`],
  ...['{"rope_type": "yarn", "factor": 1e308}', '{"rope_type": "llama3", "factor": 0}', '{"type": "linear", "factor": -1}'],
  ...[
    '{"bits": 4, "group_size": 64}',
    '{"bits": 9, "group_size": 0, "mode": "x"}',
    '{"quant_method": "fp8"}',
    '{"quant_method": "awq"}',
  ],
  ...['{"quant_method": "compressed-tensors", "format": "pack-quantized"}', '{"__proto__": {"hidden_size": 1}}'],
];

/** Fields that some model reads, put where they were not. */
const FIELDS = [
  ...[
    "hidden_size",
    "num_hidden_layers",
    "intermediate_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
  ],
  ...[
    "max_position_embeddings",
    "rms_norm_eps",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "partial_rotary_factor",
    "layer_types",
  ],
  ...[
    "sliding_window",
    "sliding_window_pattern",
    "attention_bias",
    "mlp_bias",
    "tie_word_embeddings",
    "quantization",
    "quantization_config",
  ],
  ...[
    "text_config",
    "num_experts",
    "num_local_experts",
    "num_experts_per_tok",
    "n_routed_experts",
    "n_group",
    "topk_group",
    "model_type",
  ],
  ...["moe_intermediate_size", "decoder_sparse_step", "mlp_only_layers", "first_k_dense_replace", "kv_lora_rank", "q_lora_rank"],
  ...[
    "linear_conv_kernel_dim",
    "linear_num_value_heads",
    "conv_kernel",
    "ssm_state_size",
    "mamba_num_heads",
    "n_groups",
    "time_step_limit",
  ],
  ...[
    "full_attention_interval",
    "num_kv_shared_layers",
    "query_pre_attn_scalar",
    "attn_logit_softcapping",
    "final_logit_softcapping",
  ],
  ...[
    "no_rope_layers",
    "hybrid_override_pattern",
    "block_types",
    "logits_scaling",
    "logit_scale",
    "embedding_multiplier",
    "__proto__",
  ],
];

/** Those of adapters' configs. */
export const ADAPTER_FIELDS = [
  ...[
    "fine_tune_type",
    "lora_parameters",
    "num_layers",
    "rank",
    "scale",
    "keys",
    "peft_type",
    "r",
    "lora_alpha",
    "target_modules",
  ],
  ...["use_rslora", "use_dora", "rank_pattern", "alpha_pattern", "modules_to_save", "init_lora_weights", "bias", "__proto__"],
];

/** All objects inside, the outermost first. */
function objectsOf(value: unknown): Json[] {
  if (typeof value !== "object" || value === null) return [];
  const inner = Object.values(value).flatMap(objectsOf);
  return Array.isArray(value) ? inner : [value as Json, ...inner];
}

/** The text of a config with one to four fields changed, left out, put in or exchanged. */
export function mutateConfig(config: Json, dice: Dice, fields: readonly string[] = FIELDS): string {
  const copy: Json = structuredClone(config);
  const markers = new Map<string, string>();
  const put = (object: Json, key: string, text: string) => {
    const marker = `@${markers.size}@`;
    markers.set(JSON.stringify(marker), text);
    Object.defineProperty(object, key, { value: marker, enumerable: true, configurable: true, writable: true });
  };
  for (let edits = 1 + dice.below(4); edits > 0; edits--) {
    const objects = objectsOf(copy);
    const object = dice.chance(0.7) ? objects[0]! : dice.pick(objects);
    const keys = Object.keys(object);
    const key = keys.length > 0 && dice.chance(0.7) ? dice.pick(keys) : dice.pick(fields);
    const old = object[key];
    const kind = dice.below(8);
    if (kind === 0) delete object[key];
    else if (kind === 1 && typeof old === "number")
      put(object, key, String(dice.pick([old + 1, old - 1, old * 2, old / 2, -old])));
    else if (kind === 2 && keys.length > 0) object[key] = structuredClone(object[dice.pick(keys)]);
    else if (kind === 3 && Array.isArray(old)) object[key] = dice.chance(0.5) ? old.slice(1) : [...old, ...old];
    else if (kind === 4 && dice.chance(0.2)) copy.text_config = structuredClone(copy);
    else put(object, key, dice.pick(VALUES));
  }
  return JSON.stringify(copy).replace(/"@\d+@"/g, (marker) => markers.get(marker) ?? marker);
}

const SAME_SIZE = Object.entries(SAFETENSORS_DTYPES) as [SafetensorsDtype, { bits: number }][];

/** The tensors with up to five changed: other names, other shapes of as many numbers, other types of the same size, gone or twice. */
export function mutateTensors(tensors: ReadonlyMap<string, TensorInfo>, dice: Dice): Map<string, TensorInfo> {
  const result = new Map(tensors);
  for (let edits = dice.below(6); edits > 0; edits--) {
    const name = dice.pick([...result.keys()]);
    const info = result.get(name)!;
    const kind = dice.below(7);
    if (kind === 0) result.delete(name);
    else if (kind === 1) result.set(dice.pick([...tensors.keys()]), info);
    else if (kind === 2) result.set(renamed(name, dice), info);
    else if (kind === 3) result.set(name, { ...info, shape: info.shape.toReversed() });
    else if (kind === 4) result.set(name, { ...info, shape: reshape(info.shape, dice) });
    else if (kind === 5) {
      const { bits } = SAFETENSORS_DTYPES[info.dtype];
      const [dtype] = dice.pick(SAME_SIZE.filter(([, facts]) => facts.bits === bits));
      result.set(name, { ...info, dtype, mlxDtype: SAFETENSORS_DTYPES[dtype].mlx });
    } else result.set(name, { ...info, ...cut(info, dice) });
    if (result.size === 0) result.set(name, info);
  }
  return result;
}

function renamed(name: string, dice: Dice): string {
  return dice.pick([
    () => name.replace(/\d+/, String(dice.pick([0, 1, 99, 4_294_967_296]))),
    () =>
      name.replace(/weight$/, dice.pick(["scales", "biases", "bias", "weight_scale_inv", "qweight", "weight_packed", "g_idx"])),
    () => name.replace(/^model\./, dice.pick(["", "language_model.", "model.language_model.", "model.model."])),
    () => name.replace(/\.mlp\./, ".mlp.experts.0."),
    () => `${name}_blocks`,
    () => dice.pick(["__proto__", "model.layers.x", "lm_head.weight", "model.layers.0.self_attn.kv_b_proj.weight"]),
  ])();
}

/** The same count of numbers in other axes. */
function reshape(shape: readonly number[], dice: Dice): number[] {
  const axes = [...shape];
  const at = dice.below(axes.length + 1);
  if (dice.chance(0.4) || axes.length === 0) axes.splice(at, 0, 1);
  else if (axes.length > 1 && dice.chance(0.5))
    axes.splice(Math.max(0, at - 2), 2, axes[Math.max(0, at - 2)]! * axes[Math.max(0, at - 2) + 1]!);
  else {
    const axis = Math.min(at, axes.length - 1);
    const divisor = dice.pick([2, 3, 4, 8].filter((n) => axes[axis]! % n === 0).concat(1));
    axes.splice(axis, 1, divisor, axes[axis]! / divisor);
  }
  return axes;
}

/** Fewer rows, down to none. */
function cut({ shape, dtype }: TensorInfo, dice: Dice): Pick<TensorInfo, "shape" | "byteLength"> {
  const [rows = 1, ...rest] = shape;
  const fewer = [dice.below(rows + 1), ...rest];
  const numbers = fewer.reduce((product, size) => product * size, 1);
  const bytes = (numbers * SAFETENSORS_DTYPES[dtype].bits) / 8;
  return { shape: fewer, byteLength: Math.floor(bytes) };
}
