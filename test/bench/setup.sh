#!/usr/bin/env bash
# Sets up what `bun run bench` measures against, under $BENCH_DIR (default ~/.cache/mlx-cb-bench): peers in venvs, models, OpenBLAS.
#   setup.sh            mlx_lm.server, the models, OpenBLAS: enough for the main comparison
#   setup.sh all        also vllm-mlx, rapid-mlx, mlx-openai-server and the outside load generator aiperf (20 minutes, 22 GB)
set -euo pipefail
code=$(cd "$(dirname "$0")" && pwd)
dir=${BENCH_DIR:-$HOME/.cache/mlx-cb-bench}
mkdir -p "$dir"/{venvs,models,results,logs,home,openblas}

venv() { # name packages…; one that cannot be installed is left out
  local name=$1; shift
  [ -x "$dir/venvs/$name/bin/python" ] || python3 -m venv "$dir/venvs/$name"
  "$dir/venvs/$name/bin/pip" install -q "$@" || { echo "not installed: $name" >&2; return 1; }
}

if [ "$(uname)" = Linux ]; then backend=cpu; else backend=metal; fi
venv mlxlm 'mlx==0.32.4' "mlx-$backend==0.32.4" 'mlx-lm==0.32.2'
python="$dir/venvs/mlxlm/bin/python"
[ -f "$dir/models/prompts.txt" ] || "$python" "$code/make_models.py" "$dir/models"
[ -d "$dir/models/llama-60m-4bit" ] ||
  "$python" -m mlx_lm convert --hf-path "$dir/models/llama-60m" --mlx-path "$dir/models/llama-60m-4bit" -q --q-bits 4 --q-group-size 64
if [ $backend = cpu ] && [ ! -e "$dir/openblas/root" ]; then
  (cd "$dir/openblas" && apt-get update -qq && apt-get download -qq libopenblas0-pthread libgfortran5 && for f in *.deb; do dpkg-deb -x "$f" root; done)
fi
if [ "${1:-}" = all ]; then
  extra=mlx; [ $backend = cpu ] && extra='mlx[cpu]'
  venv vllm-mlx 'vllm-mlx==0.6.0' "$extra" || true
  venv rapid-mlx 'rapid-mlx==0.16.10' "$extra" || true
  venv mlx-openai-server mlx-openai-server "$extra" || true
  # One of its dependencies wants MLX with CUDA, an older one; the server itself runs without.
  [ $backend = metal ] || venv mlx-openai-server --no-deps 'mlx-openai-server==1.8.1' 'mlx==0.32.4' 'mlx-cpu==0.32.4' || true
  venv aiperf 'aiperf==0.13.0' || true
fi
echo "ready: $dir"
