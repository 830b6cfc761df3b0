"""Makes the small random encoders of test/fixtures/parity-encoder with the vectors that sentence-transformers computes.

Needs the PyPI packages torch 2.15, transformers 5.23 and sentence-transformers 6.2; the tests themselves need only the files.
  python test/models/make_encoders.py
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel, Qwen3Config, Qwen3Model, RobertaConfig, RobertaModel

HERE = Path(__file__).parent
OUT = HERE.parent / "fixtures" / "parity-encoder"
TEXTS = [
    "the quick brown fox",
    "dogs",
    "hello world, hello there: I'm sure that it's don't, can't and won't.",
    "the quick brown fox jumps over the lazy dog and the other dogs, then they both sleep in the brown house over there.",
    "日本語 and ?!",
    "a naïve café in the house " * 4,
]
OLD = "sentence_transformers.models."
NEW = "sentence_transformers.sentence_transformer.modules."


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n")


def make(name, model, tokenizer, pooling, types=OLD, normalize=True, dense=None, prefix="", max_length=None):
    directory = OUT / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    torch.manual_seed(7)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            scale = 0.3 if parameter.ndim > 1 else 0.1
            parameter.copy_(torch.randn_like(parameter) * scale + (1.0 if key.endswith("norm.weight") or "LayerNorm.weight" in key else 0.0))
    state = {prefix + key: value.contiguous() for key, value in model.state_dict().items() if "position_ids" not in key}
    save_file(state, directory / "model.safetensors", metadata={"format": "pt"})
    write(directory / "config.json", {**model.config.to_dict(), "architectures": [type(model).__name__]})
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer, separators=(",", ":")) + "\n")
    special = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"} if "[CLS]" in str(tokenizer) else {}
    write(directory / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<unk>", **special})
    modules = [("", types + "Transformer"), ("1_Pooling", types + "Pooling")]
    write(directory / "1_Pooling" / "config.json", pooling)
    if dense:
        modules.append(("2_Dense", types + "Dense"))
        write(directory / "2_Dense" / "config.json", dense)
        layer = {"linear.weight": torch.randn(dense["out_features"], dense["in_features"]) * 0.3}
        if dense["bias"]:
            layer["linear.bias"] = torch.randn(dense["out_features"]) * 0.1
        save_file(layer, directory / "2_Dense" / "model.safetensors", metadata={"format": "pt"})
    if normalize:
        modules.append(("3_Normalize", types + "Normalize"))
    write(directory / "modules.json", [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(modules)])
    if max_length:
        write(directory / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    encoder = SentenceTransformer(str(directory), device="cpu")
    vectors = encoder.encode(TEXTS, batch_size=len(TEXTS), normalize_embeddings=False)
    lengths = [len(encoder.tokenizer(text)["input_ids"]) for text in TEXTS]
    write(directory / "expected.json", {"texts": TEXTS, "lengths": lengths, "vectors": [[round(float(x), 6) for x in v] for v in vectors]})
    shutil.rmtree(directory / "3_Normalize", ignore_errors=True)
    print(name, vectors.shape, lengths, sum(f.stat().st_size for f in directory.rglob("*") if f.is_file()))


def tokenizer(name):
    return json.loads((HERE.parent / "fixtures" / "tokenizers" / f"{name}.json").read_text())["tokenizer"]


def main():
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "max_position_embeddings": 96}
    bert = tokenizer("bert-uncased")
    count = len(bert["model"]["vocab"])
    old = {"word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False}
    make("bert", BertModel(BertConfig(vocab_size=count, **sizes), add_pooling_layer=True), bert, old, max_length=80)
    make("bert-dense", BertModel(BertConfig(vocab_size=count, hidden_act="gelu_new", **{**sizes, "num_hidden_layers": 1}), add_pooling_layer=False), bert,
         {"word_embedding_dimension": 32, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True},
         normalize=False, prefix="bert.",
         dense={"in_features": 96, "out_features": 24, "bias": True, "activation_function": "torch.nn.modules.activation.Tanh"})
    gpt2 = tokenizer("gpt2")
    roberta = RobertaConfig(vocab_size=420, type_vocab_size=1, pad_token_id=0, layer_norm_eps=1e-5, **{**sizes, "max_position_embeddings": 130})
    make("roberta", RobertaModel(roberta, add_pooling_layer=False), gpt2, {"embedding_dimension": 32, "pooling_mode": "cls", "include_prompt": True}, types=NEW)
    # A decoder as Qwen3-Embedding is published: the inner model's names, and an end token after each text, whose state is taken.
    qwen = tokenizer("qwen")
    qwen["post_processor"] = {
        "type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}}}
    causal = Qwen3Config(vocab_size=422, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                         head_dim=16, max_position_embeddings=512, tie_word_embeddings=True, rope_theta=10000.0)
    make("qwen3", Qwen3Model(causal), qwen, {"word_embedding_dimension": 32, "pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": False}, types=OLD)
    distil = DistilBertConfig(vocab_size=count, dim=32, n_layers=1, n_heads=2, hidden_dim=48, max_position_embeddings=96)
    make("distilbert", DistilBertModel(distil), bert,
         {"word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": False, "pooling_mode_lasttoken": True,
          "pooling_mode_weightedmean_tokens": True})


if __name__ == "__main__":
    main()
