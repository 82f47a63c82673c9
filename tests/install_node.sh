#!/bin/sh
# Chains that the tests drive for real and only npm has, into the folder named. Does nothing where they are there already; where
# they cannot be installed the tests that need them are skipped.
set -eu
folder="$1"
packages="@foundry-rs/anvil@1.7.1 @ethereumjs/client@0.10.5"
[ -f "$folder/.installed" ] && [ "$(cat "$folder/.installed")" = "$packages" ] && exit 0
command -v npm >/dev/null 2>&1 || sh "$(dirname "$0")/install_system.sh" nodejs npm
command -v npm >/dev/null 2>&1 || exit 0
mkdir -p "$folder"
# shellcheck disable=SC2086
npm install --prefix "$folder" --ignore-scripts --no-audit --no-fund --no-save --silent $packages
echo "$packages" >"$folder/.installed"
