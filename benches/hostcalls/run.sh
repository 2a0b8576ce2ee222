#!/usr/bin/env bash
# What host calls cost, side by side: benches/hostcalls/run.sh [ROUNDS]. Each round runs every host once, in turn; the least of all rounds is
# shown for each loop, in nanoseconds per call, and inn's share of wasmtime's.
#
# INN, WASMTIME  the commands to compare (default: target/release/inn, and the wasmtime in PATH)
# CALLS          calls in each loop (default: 200000)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
read -ra inn <<<"${INN:-$here/../../target/release/inn}"
read -ra wasmtime <<<"${WASMTIME:-wasmtime}"
rounds=${1:-7}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for ((round = 0; round < rounds; round++)); do
  "${inn[@]}" run --dir . "$here/hostcalls.wasm" "${CALLS:-200000}" | sed 's/^/inn /' >>times
  "${wasmtime[@]}" run --dir . "$here/hostcalls.wasm" "${CALLS:-200000}" | sed 's/^/wasmtime /' >>times
done
awk '
  { key = $1 " " $2; if (!(key in least) || $3 < least[key]) least[key] = $3; if (!($2 in seen)) { seen[$2]; order[n++] = $2 } }
  END {
    printf "%-20s %10s %10s %8s\n", "call", "inn (ns)", "wasmtime", "share"
    for (i = 0; i < n; i++) {
      a = least["inn " order[i]]; b = least["wasmtime " order[i]]
      printf "%-20s %10.1f %10.1f %8.2f\n", order[i], a, b, a / b
    }
  }' times
