#!/usr/bin/env bash
# Rebuilds the programs: benches/programs/build.sh [NAME...], all of them where none is named. WASI_CC is a C compiler for
# WASI and its first arguments, as in guests/README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

: "${WASI_CC:=clang --target=wasm32-wasip1}"

[ $# -gt 0 ] || for source in *.c; do set -- "$@" "${source%.c}"; done
for name in "$@"; do
  options=()
  case $name in *-simd) options+=(-msimd128) ;; esac
  # WASI_CC is a command with its first arguments, so it is split into words.
  # shellcheck disable=SC2086
  $WASI_CC -std=c11 -D_GNU_SOURCE -Wall -Wextra -O2 -s "${options[@]}" "$name.c" -o "$name.wasm"
  printf '%8d  %s\n' "$(wc -c <"$name.wasm")" "$name.wasm"
done
