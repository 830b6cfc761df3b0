"""Makes the parity cases of test/fixtures/parity that its README names: small random checkpoints with mlx-lm's logits.

    python3 -m venv venv && venv/bin/pip install "mlx[cpu]==0.32.4" "mlx-lm==0.32.2"
    venv/bin/python test/parity/make_case.py NAME...        # all without a name

The cases themselves stand in cases.py. Same versions, same bytes. No GPU and no network are needed.
"""

import json
import re
import shutil
import sys
import types
import zlib
from importlib.metadata import version
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import _get_classes, load_model, quantize_model

from cases import CASES

# olmo.py asks for this package and uses nothing of it.
sys.modules.setdefault("hf_olmo", types.ModuleType("hf_olmo"))

OUT = Path(__file__).resolve().parents[1] / "fixtures/parity"
LENGTHS, DECODE, KEEP_LAST = (5, 17, 40), 6, 4
TOLERANCE = 2e-4  # relative to the largest logit
SENSITIVITY = 5  # a mistake must exceed the tolerance this many times
SIZE_LIMIT = 300_000


def initial(name, shape, rng, case):
    """Random weights that keep activations near 1, and norms and biases far from what ignoring them would give."""
    n = rng.standard_normal(shape)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "weight" and len(shape) > 1 and re.search(r"embed|wte|wpe", name):
        return 0.15 * n
    if leaf == "weight" and re.search(r"layernorm\.norms|[qk]_norm", name):
        return 1.0 + 0.2 * n
    if leaf == "weight" and len(shape) == 1:
        return 0.2 * n + (0.0 if case.get("zero_centred_norms") else 1.0)
    if leaf == "bias":
        return 0.2 * n
    if leaf in ("alpha_p", "alpha_n"):
        return 0.5 * n
    if leaf == "weight":
        gain = 1.5 if re.search(r"q_proj|k_proj|qkv|att|head|output", name) else 1.2
        return gain / np.sqrt(shape[-1]) * n
    return None  # as the model sets it


def write_checkpoint(case, path, rng):
    config = case["config"]
    model_class, args_class = _get_classes(dict(config))
    model = model_class(args_class.from_dict(json.loads(json.dumps(config))))
    drawn = {k: initial(k, v.shape, rng, case) for k, v in tree_flatten(model.parameters())}
    model.load_weights([(k, mx.array(v.astype(np.float32))) for k, v in drawn.items() if v is not None], strict=False)
    if "quantize" in case:
        model, config = quantize_model(model, dict(config), **case["quantize"])
    weights = dict(tree_flatten(model.parameters()))
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    on_disk = case["disk"](weights) if "disk" in case else weights
    mx.save_safetensors(str(path / "model.safetensors"), on_disk, {"format": "mlx"})


def load(path, patch=None):
    model, _ = load_model(path, model_config=patch or None)
    model.eval()
    return model


def run(model, sequences):
    """Logits of the recorded positions, one sequence at a time, the decoded tokens one by one."""
    out = {}
    for i, s in enumerate(sequences):
        cache = make_prompt_cache(model)
        one_by_one = lambda ids: mx.stack([model(mx.array([[t]]), cache=cache)[0, -1] for t in ids])
        # olmo.py cannot take several tokens at once.
        whole = model.model_type != "olmo"
        prefill = model(mx.array([s["prompt"]]), cache=cache)[0] if whole else one_by_one(s["prompt"])
        mx.eval(prefill)
        out[f"seq{i}.prefill"] = np.array(prefill[s["prefill_first_row"] :])
        out[f"seq{i}.decode"] = np.array(one_by_one(s["decode"]))
    return out


def difference(a, b):
    return max(float(np.abs(a[k] - b[k]).max()) for k in a)


def sensitivity(case, path, sequences, expected, top):
    """What the mistakes of the case, and an epsilon 100 times as large, do to the logits, in tolerances."""
    mistakes = {label: run(load(path, patch), sequences) for label, patch in case.get("mistakes", {}).items()}
    if case.get("eps_is_fixed"):
        return {label: difference(expected, got) / (TOLERANCE * top) for label, got in mistakes.items()}
    model = load(path)
    for module in model.modules():
        if isinstance(getattr(module, "eps", None), float):
            module.eps *= 100
    mistakes["norm_eps_x100"] = run(model, sequences)
    return {label: difference(expected, got) / (TOLERANCE * top) for label, got in mistakes.items()}


def build(name, case):
    path = OUT / name
    shutil.rmtree(path, ignore_errors=True)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    write_checkpoint(case, path, rng)
    vocab = case.get("vocab") or case["config"].get("vocab_size") or case["config"]["text_config"]["vocab_size"]
    ids = [rng.integers(0, vocab, n + DECODE).tolist() for n in LENGTHS]
    sequences = [
        {"prompt": x[:n], "decode": x[n:], "prefill_first_row": 0 if n <= 32 else n - KEEP_LAST}
        for x, n in zip(ids, LENGTHS)
    ]
    expected = run(load(path), sequences)
    mx.save_safetensors(str(path / "expected.safetensors"), {k: mx.array(v) for k, v in expected.items()})
    top = max(float(np.abs(v).max()) for v in expected.values())
    effects = sensitivity(case, path, sequences, expected, top)
    info = {
        "name": name,
        "model_type": case["config"]["model_type"],
        "about": case["about"],
        "versions": {p: version(p) for p in ("mlx", "mlx-lm")},
        "sequences": sequences,
        "max_abs_logit": top,
        "tolerance": {"relative_to_max_abs_logit": TOLERANCE, "max_abs_diff": TOLERANCE * top},
        "sensitivity": {k: {"times_tolerance": float(f"{v:.3g}")} for k, v in effects.items()},
    }
    text = re.sub(r"\[\s+(\d+(?:,\s+\d+)*)\s+\]", lambda m: "[" + re.sub(r"\s+", " ", m[1]) + "]", json.dumps(info, indent=1))
    (path / "case.json").write_text(text + "\n")
    size = sum(f.stat().st_size for f in path.iterdir())
    weak = {k: round(v, 1) for k, v in effects.items() if not v >= SENSITIVITY}
    problems = [f"weak {weak}"] * bool(weak) + [f"{size} bytes"] * (size > SIZE_LIMIT) + ["not finite"] * (not np.isfinite(top))
    print(f"{name:24s} {size / 1000:4.0f} kB  max {top:6.2f}  {effects}  {problems or ''}", flush=True)
    return not problems


if __name__ == "__main__":
    mx.set_default_device(mx.cpu)
    mx.disable_compile()
    names = sys.argv[1:] or list(CASES)
    sys.exit(not all([build(name, CASES[name]) for name in names]))
