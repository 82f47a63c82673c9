#!/bin/sh
# The peers of `make bench`. Where they cannot be installed the benchmark leaves them out and says so.
set -u
sh "$(dirname "$0")/install_system.sh" fping iproute2 iputils-ping irtt sockperf tshark ||
    echo "不能安装对照软件（需要 apt 与 root）：缺的不比" >&2
