#!/bin/sh
# The peers of `make bench`. Where they cannot be installed the benchmark leaves them out and says so.
set -u
sh "$(dirname "$0")/install_system.sh" fping iproute2 iputils-ping irtt sockperf tshark ||
    echo "不能安装对照软件（需要 apt 与 root）：缺的不比" >&2
# A peer that must not share our packages has a folder of its own below the interpreter that runs the benchmark.
folder="${VENV:-.venv}"
[ -x "$folder/peers/bin/python" ] || { "$folder/bin/python" -m venv "$folder/peers" && "$folder/peers/bin/pip" install --quiet web3; } ||
    echo "不能安装 web3.py：缺的不比" >&2
