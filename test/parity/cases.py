"""What make_case.py makes. A case: `config` as published ones of the family have it, `about`, and as needed
`mistakes` (config fields that a wrong implementation would overlook or misread), `zero_centred_norms` (norms multiply by
1 + weight), `quantize` (arguments of mlx_lm's quantize_model), `disk` (mlx-lm's names and shapes to the publisher's),
`eps_is_fixed` (the norms' epsilon is no field), `vocab` (ids stay below it)."""


import re


def common(model_type, **fields):
    config = {
        "model_type": model_type,
        "hidden_size": 32,
        "intermediate_size": 48,
        "max_position_embeddings": 2048,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "vocab_size": 96,
    }
    return {**config, **fields}


def without(config, *names):
    return {k: v for k, v in config.items() if k not in names}


def hunyuan(**fields):
    scaling = {"alpha": 1000.0, "factor": 1.0, "type": "dynamic", "mscale": 1.0, "beta_fast": 32, "beta_slow": 1}
    return common("hunyuan_v1_dense", head_dim=12, use_qk_norm=True, rope_scaling=scaling, **fields)


def stablelm(**fields):
    return without(
        common("stablelm", layer_norm_eps=1e-5, use_qkv_bias=True, partial_rotary_factor=0.5, **fields),
        "rms_norm_eps", "tie_word_embeddings",
    )


def nas_block(heads_in_group, ffn_mult):
    def part(value, field):
        return {"no_op": value is None, "replace_with_linear": value == "linear", field: value if value != "linear" else None}

    return {"attention": part(heads_in_group, "n_heads_in_group"), "ffn": part(ffn_mult, "ffn_mult")}


def gpt_neox_names(weights):
    names = {k: k.replace("model.h.", "gpt_neox.layers.").replace("model.embed_out", "embed_out") for k in weights}
    return {
        **{re.sub(r"^model\.", "gpt_neox.", name): weights[k] for k, name in names.items()},
        "gpt_neox.layers.0.attention.rotary_emb.inv_freq": weights["model.final_layer_norm.bias"],
    }


CASES = {
    "seed_oss": {
        "about": "biases of q, k and v but not of the output, head_dim of its own",
        "config": common("seed_oss", attention_bias=True, attention_out_bias=False, head_dim=12, rope_theta=1e7),
        "mistakes": {"rope_theta": {"rope_theta": 1e6}},
    },
    "ernie4_5": {
        "about": "rotated in pairs, tied head, no GQA",
        "config": common("ernie4_5", use_bias=False, head_dim=16, rope_theta=500000.0, tie_word_embeddings=True),
        "mistakes": {"rope_theta": {"rope_theta": 10000.0}},
    },
    "hunyuan_v1_dense": {
        "about": "norms of q and k after the rotation, a base enlarged by alpha",
        "config": hunyuan(tie_word_embeddings=True),
        "mistakes": {"scaling_ignored": {"rope_scaling": None}},
    },
    "cohere-qk-norm": {
        "about": "layer norms of each head with weights of its own, biases in the layer norms",
        "config": without(
            common("cohere", layer_norm_eps=1e-5, logit_scale=0.25, use_qk_norm=True, layer_norm_bias=True, rope_theta=8e6),
            "rms_norm_eps", "tie_word_embeddings"),
        "mistakes": {"logit_scale": {"logit_scale": 0.26}, "rope_theta": {"rope_theta": 1e6}},
    },
    "starcoder2": {
        "about": "layer norms, biases everywhere, exact gelu without a gate, tied head",
        "config": without(
            common("starcoder2", norm_epsilon=1e-5, use_bias=True, sliding_window=16, tie_word_embeddings=True),
            "rms_norm_eps"),
        "mistakes": {"rope_theta": {"rope_theta": 100000.0}},
    },
    "stablelm": {
        "about": "layer norms, half of the head rotated, biases of q, k and v",
        "config": stablelm(),
        "mistakes": {"partial": {"partial_rotary_factor": 0.25}},
    },
    "stablelm-parallel": {
        "about": "both parts side by side, a layer norm of each head stored as a tensor of its own",
        "config": stablelm(use_parallel_residual=True, qk_layernorm=True),
        "mistakes": {"partial": {"partial_rotary_factor": 0.25}},
    },
    "phi": {
        "about": "both parts side by side, biases even in the head, part of the head rotated",
        "config": without(
            common("phi", layer_norm_eps=1e-5, partial_rotary_factor=0.5, num_key_value_heads=4, hidden_act="gelu_new"),
            "rms_norm_eps", "tie_word_embeddings"),
        "mistakes": {"partial": {"partial_rotary_factor": 1.0}},
    },
    "gemma": {
        "about": "norms of 1 + weight, exact gelu, embeddings times sqrt(hidden)",
        "config": without(common("gemma", head_dim=16, num_key_value_heads=1), "tie_word_embeddings"),
        "mistakes": {"rope_theta": {"rope_theta": 9000.0}},
        "zero_centred_norms": True,
    },
    "olmo": {
        "about": "layout of hf_olmo: norms without weights, fused matrices with the gate second",
        "config": {
            "model_type": "olmo", "d_model": 32, "n_layers": 3, "n_heads": 4, "mlp_hidden_size": 96, "vocab_size": 90,
            "embedding_size": 96, "max_sequence_length": 2048, "rope_theta": 10000.0, "weight_tying": False,
        },
        "mistakes": {"rope_theta": {"rope_theta": 9000.0}},
        "vocab": 90,
    },
    "internlm2": {
        "about": "q, k and v in one matrix ordered by key head, names of its own",
        "config": common("internlm2", bias=False, num_key_value_heads=2, rope_scaling={"factor": 2.0, "type": "dynamic"}),
        "mistakes": {"rope_theta": {"rope_theta": 9000.0}},
    },
    "internlm3": {
        "about": "biases around attention, none in the MLP",
        "config": common("internlm3", bias=False, qkv_bias=True, rope_scaling={"factor": 6.0, "rope_type": "dynamic"}),
        "mistakes": {"rope_theta": {"rope_theta": 9000.0}},
    },
    "minicpm": {
        "about": "factors of embeddings, residuals and logits, no head in the file",
        "config": common("minicpm", dim_model_base=16, scale_depth=1.4, scale_emb=2),
        "mistakes": {"scale_depth": {"scale_depth": 1.5}, "scale_emb": {"scale_emb": 1}, "logits": {"dim_model_base": 32}},
        "disk": lambda weights: without(weights, "lm_head.weight"),
    },
    "helium": {
        "about": "rotated in pairs, no biases",
        "config": common("helium", attention_bias=False, mlp_bias=False, head_dim=8, rope_theta=100000.0),
        "mistakes": {"rope_theta": {"rope_theta": 90000.0}},
    },
    "mimo": {
        "about": "biases of q, k and v, layers for further tokens to be ignored",
        "config": common("mimo", num_nextn_predict_layers=1, rope_theta=640000.0),
        "mistakes": {"rope_theta": {"rope_theta": 10000.0}},
        "disk": lambda weights: {**weights, "model.mtp_layers.0.input_proj.weight": weights["model.norm.weight"]},
    },
    "nemotron": {
        "about": "layer norms of 1 + weight, squared relu, half of the head rotated",
        "config": without(
            common("nemotron", hidden_act="relu2", norm_eps=1e-5, partial_rotary_factor=0.5, head_dim=16),
            "rms_norm_eps"),
        "mistakes": {"partial": {"partial_rotary_factor": 1.0}},
        "zero_centred_norms": True,
    },
    "apertus": {
        "about": "xIELU with learned slopes stored as lists of one, norms of q and k, llama3 scaling",
        "config": common(
            "apertus", attention_bias=False, mlp_bias=False, post_norm=False, qk_norm=True,
            rope_scaling={"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                          "original_max_position_embeddings": 32, "rope_type": "llama3"}),
        "mistakes": {"scaling_ignored": {"rope_scaling": None}},
        "disk": lambda weights: {k: v.reshape(1) if "alpha" in k else v for k, v in weights.items()},
    },
    "phi3-q4": {
        "about": "the fused matrices quantized with 4 bits in groups of 32",
        "config": common("phi3", hidden_size=64, intermediate_size=64, rope_scaling=None),
        "mistakes": {"partial": {"partial_rotary_factor": 0.5}},
        "quantize": {"group_size": 32, "bits": 4},
    },
    "glm": {
        "about": "fused gate and up, rotated in pairs, tied head",
        "config": common("glm", head_dim=12, attention_bias=True, tie_word_embeddings=True),
        "mistakes": {"rope_theta": {"rope_theta": 9000.0}},
    },
    "telechat3": {
        "about": "llama whose yarn has a name of its own",
        "config": common(
            "telechat3", attention_bias=False, mlp_bias=False,
            rope_scaling={"type": "telechat3-yarn", "factor": 4.0, "original_max_position_embeddings": 16,
                          "beta_fast": 32.0, "beta_slow": 1.0, "attention_factor": 1.2}),
        "mistakes": {"scaling_ignored": {"rope_scaling": None}},
    },
    "gpt_neox": {
        "about": "q, k and v of each head in turn, two norms side by side, the publisher's names, masks to be ignored",
        "config": without(
            common("gpt_neox", rotary_emb_base=10000, rotary_pct=0.5, layer_norm_eps=1e-5, use_parallel_residual=True,
                   num_key_value_heads=4),
            "rms_norm_eps", "rope_theta", "tie_word_embeddings", "intermediate_size"),
        "mistakes": {"partial": {"rotary_pct": 0.25}, "parallel": {"use_parallel_residual": False}},
        "disk": gpt_neox_names,
    },
    "nanochat": {
        "about": "norms without weights, squared relu, the rotation reversed, capped logits",
        "config": without(common("nanochat", num_key_value_heads=4), "rms_norm_eps", "tie_word_embeddings"),
        "mistakes": {"rope_theta": {"rope_theta": 9000.0}},
        "eps_is_fixed": True,
    },
    "gpt2": {
        "about": "learned positions, the publisher's matrices with the inputs first, masks to be ignored",
        "config": {
            "model_type": "gpt2", "n_ctx": 64, "n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": 64,
            "layer_norm_epsilon": 1e-5, "vocab_size": 96,
        },
        "disk": lambda weights: {
            **{k.removeprefix("model."): v.T if re.search(r"c_\w+\.weight$", k) else v for k, v in weights.items()},
            "h.0.attn.bias": weights["model.wpe.weight"][None, None],
        },
    },
    "gpt_bigcode": {
        "about": "learned positions, one key head, exact gelu, tied head",
        "config": {
            "model_type": "gpt_bigcode", "n_embd": 32, "n_head": 4, "n_inner": 64, "n_layer": 2, "n_positions": 64,
            "layer_norm_epsilon": 1e-5, "vocab_size": 96, "multi_query": True, "attention_softmax_in_fp32": True,
        },
    },
    "qwen2_vl": {
        "about": "fields of vision and language side by side, mrope, the publisher's newer names",
        "config": common(
            "qwen2_vl", rope_theta=1e6, rope_scaling={"type": "mrope", "mrope_section": [1, 1, 2]},
            vision_config={"depth": 1, "embed_dim": 8}, tie_word_embeddings=False),
        "mistakes": {"rope_theta": {"rope_theta": 10000.0}},
        "disk": lambda weights: {
            **{re.sub("^language_model.model", "model.language_model", k).replace("language_model.lm_head", "lm_head"): v
               for k, v in weights.items()},
            "model.visual.patch_embed.proj.weight": weights["language_model.model.norm.weight"],
        },
    },
    "qwen3_vl": {
        "about": "text_config, tied head, vision tensors to be ignored",
        "config": {
            "model_type": "qwen3_vl",
            "text_config": common(
                "qwen3_vl_text", head_dim=12, rope_theta=5e6, tie_word_embeddings=True,
                rope_scaling={"mrope_interleaved": True, "mrope_section": [2, 2, 2], "rope_type": "default"}),
            "vision_config": {"depth": 1, "hidden_size": 8},
        },
        "disk": lambda weights: {**weights, "vision_tower.blocks.0.norm1.weight": weights["language_model.model.norm.weight"]},
    },
    "exaone": {
        "about": "llama under other names, llama3 scaling",
        "config": without(
            common(
                "exaone", num_layers=2, layer_norm_epsilon=1e-5, activation_function="silu", rope_theta=1e6,
                rope_scaling={"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                              "original_max_position_embeddings": 32, "rope_type": "llama3"}),
            "rms_norm_eps", "num_hidden_layers"),
        "mistakes": {"scaling_ignored": {"rope_scaling": None}},
    },
    "nemotron-nas": {
        "about": "layers of different shapes: key heads and widths of their own, a linear layer or nothing in place of a part",
        "config": without(
            common(
                "nemotron-nas", num_hidden_layers=4, hidden_act="silu", rope_scaling={
                    "factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                    "original_max_position_embeddings": 32, "rope_type": "llama3"},
                block_configs=[nas_block(1, 0.5), nas_block(4, 0.25), nas_block(None, None), nas_block("linear", "linear")]),
            "intermediate_size", "num_key_value_heads"),
        "mistakes": {"scaling_ignored": {"rope_scaling": None}},
    },
}
