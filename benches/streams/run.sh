#!/usr/bin/env bash
# What programs of WASI 0.2 do most with the system, side by side: benches/streams/run.sh [ROUNDS]. Each round runs both hosts once,
# in turn; shown is the median of all rounds, in seconds of processor time, and of each round's ratio. A run that does nothing is
# taken off what it took.
#
# INN, WASMTIME  the commands to compare (default: target/release/inn, and the wasmtime in PATH)
# PRINTS, BYTES, POLLS  how much of each (default: a million lines to a pipe, a file of 1 GiB, 10,000 waits for 1,000 pollables)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
read -ra inn <<<"${INN:-$here/../../target/release/inn}"
read -ra wasmtime <<<"${WASMTIME:-wasmtime}"
rounds=${1:-7}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
head -c "${BYTES:-1073741824}" /dev/zero >file
cat file >/dev/null

# took NAME COMMAND...: runs it with its output to a pipe, and notes the processor time.
took() {
  local name=$1 TIMEFORMAT='%U %S'
  shift
  { time "$@" 2>/dev/null >fifo; } 2>time
  awk -v name="$name" '{ print name, $1 + $2 }' time >>times
}

mkfifo fifo
# The other end of the pipe, for all runs.
cat fifo >/dev/null &
exec 9>fifo
for ((round = 0; round < rounds; round++)); do
  for case in "nothing lines 1" "lines lines ${PRINTS:-1000000}" "read read file" "poll poll 1000 ${POLLS:-10000}"; do
    read -r name words <<<"$case"
    # shellcheck disable=SC2086
    took "$round $name inn" "${inn[@]}" run --dir . "$here/streams.wasm" $words
    # shellcheck disable=SC2086
    took "$round $name wasmtime" "${wasmtime[@]}" run --dir . "$here/streams.wasm" $words
  done
done
exec 9>&-
awk '
  { took[$1, $2, $3] = $4; if ($1 + 1 > rounds) rounds = $1 + 1 }
  function median(list, i, j, swap) {
    for (i = 0; i < rounds; i++) for (j = i + 1; j < rounds; j++) if (list[j] < list[i]) { swap = list[i]; list[i] = list[j]; list[j] = swap }
    return list[int(rounds / 2)]
  }
  END {
    printf "%-8s %10s %10s %8s\n", "", "inn (s)", "wasmtime", "ratio"
    split("lines read poll", cases, " ")
    for (c = 1; c <= 3; c++) {
      for (i = 0; i < rounds; i++) {
        a[i] = took[i, cases[c], "inn"] - took[i, "nothing", "inn"]; b[i] = took[i, cases[c], "wasmtime"] - took[i, "nothing", "wasmtime"]
        ratio[i] = b[i] > 0 ? a[i] / b[i] : 0
      }
      printf "%-8s %10.3f %10.3f %8.2f\n", cases[c], median(a), median(b), median(ratio)
    }
  }' times
