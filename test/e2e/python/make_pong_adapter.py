"""Trains the LoRA adapter with which the embedded model can say what it is told to, as `trustedrouter-provider-check` asks it to.

python make_pong_adapter.py MODEL DIR   (needs mlx-lm 0.32.2; about a minute)
"""

import json
import pathlib
import sys

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_flatten
from mlx_lm import load
from mlx_lm.tuner.utils import linear_to_lora_layers

KEYS = ["self_attn.v_proj", "self_attn.o_proj", "mlp.down_proj"]
LORA = {"rank": 2, "scale": 8.0, "dropout": 0.0, "keys": KEYS}
LAYERS = 2
WORDS = ["PONG", "PING", "Paris", "yes", "hello", "blue"]


def main(model_path: str, directory: str) -> None:
    mx.random.seed(0)
    model, tokenizer = load(model_path)
    model.set_dtype(mx.float32)
    model.freeze()
    linear_to_lora_layers(model, LAYERS, LORA)
    batch = [example(tokenizer, f"reply exactly {word}", word) for word in WORDS]
    # What it could say before it still can.
    batch.append(example(tokenizer, "What is the capital of France?", "The capital of France is Paris."))
    optimizer = optim.Adam(learning_rate=2e-3)
    step = nn.value_and_grad(model, loss_of)
    for number in range(150):
        loss, gradients = step(model, batch)
        optimizer.update(model, gradients)
        mx.eval(loss, model.parameters(), optimizer.state)
        if number % 50 == 0:
            print(number, loss.item())
    target = pathlib.Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    weights = {name: value.astype(mx.float16) for name, value in tree_flatten(model.trainable_parameters())}
    mx.save_safetensors(str(target / "adapters.safetensors"), weights)
    config = {"fine_tune_type": "lora", "num_layers": LAYERS, "lora_parameters": LORA}
    (target / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")


def example(tokenizer, question: str, answer: str) -> tuple[mx.array, int]:
    """Token ids, and where the answer begins."""
    messages = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True)
    full = prompt + tokenizer.encode(answer, add_special_tokens=False) + [tokenizer.eos_token_id]
    return mx.array(full), len(prompt)


def loss_of(model, batch) -> mx.array:
    total = mx.array(0.0)
    for ids, start in batch:
        logits = model(ids[None, :-1])[0]
        total = total + nn.losses.cross_entropy(logits[start - 1 :], ids[start:]).mean()
    return total / len(batch)


if __name__ == "__main__":
    main(*sys.argv[1:])
