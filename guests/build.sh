#!/usr/bin/env bash
# Rebuilds the guests: guests/build.sh [GUEST...], all of them where none is named. README.md beside this file
# says which tools are wanted and what each variable means.
set -euo pipefail
guests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

: "${WASI_CC:=clang --target=wasm32-wasip1}"
: "${CARGO:=cargo}"
: "${RUST_BUILD_STD:=}"
: "${NODE_MODULES:=}"
: "${WAT2WASM:=wat2wasm}"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
: "${CARGO_TARGET_DIR:=$scratch/target}"
export CARGO_TARGET_DIR

build_c() {
  # WASI_CC is a command with its first arguments, so it is split into words.
  # shellcheck disable=SC2086
  $WASI_CC -std=c11 -D_GNU_SOURCE -Wall -Wextra -O2 -s "$1/$1.c" -o "$1/$1.wasm"
}

# The paths of this machine are kept out of the binary: panics name the files of the crates they come from.
build_rust() {
  (
    cd "$1"
    options=(--release --locked --target "$2")
    if [ -n "$RUST_BUILD_STD" ]; then
      export RUSTC_BOOTSTRAP=1
      options+=("-Zbuild-std=std,panic_abort")
    fi
    "$CARGO" fetch --quiet --locked
    rustflags="--remap-path-prefix=$("${RUSTC:-rustc}" --print sysroot)/lib/rustlib/src/rust=/rust"
    rustflags+=$'\x1f'"--remap-path-prefix=$PWD=/$1"
    for sources in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
      rustflags+=$'\x1f'"--remap-path-prefix=$sources=/crates"
    done
    CARGO_ENCODED_RUSTFLAGS=$rustflags "$CARGO" build --quiet "${options[@]}"
  )
  cp "$CARGO_TARGET_DIR/$2/release/$1.wasm" "$1/$1.wasm"
  chmod 644 "$1/$1.wasm"
}

build_assemblyscript() {
  local room=$scratch/$1
  mkdir "$room"
  cp "$1"/*.ts "$1"/*.json "$room"
  if [ -n "$NODE_MODULES" ]; then
    ln -s "$NODE_MODULES" "$room/node_modules"
  else
    (cd "$room" && npm install --silent)
  fi
  (cd "$room" && node node_modules/assemblyscript/bin/asc.js "$1.ts" -o "$1.wasm" --target release)
  cp "$room/$1.wasm" "$1/$1.wasm"
}

build_wat() {
  "$WAT2WASM" --debug-names "$1/$1.wat" -o "$1/$1.wasm"
}

cd "$guests"
if [ $# -eq 0 ]; then
  for folder in */; do
    [ -f "$folder${folder%/}.wasm" ] && set -- "$@" "${folder%/}"
  done
fi
for guest in "$@"; do
  if [ -f "$guest/$guest.c" ]; then build_c "$guest"
  elif grep -qs '^wasip2 = ' "$guest/Cargo.toml"; then build_rust "$guest" wasm32-wasip2
  elif [ -f "$guest/Cargo.toml" ]; then build_rust "$guest" wasm32-wasip1
  elif [ -f "$guest/$guest.ts" ]; then build_assemblyscript "$guest"
  elif [ -f "$guest/$guest.wat" ]; then build_wat "$guest"
  else
    echo "build.sh: there is no guest named $guest" >&2
    exit 1
  fi
  printf '%8d  %s\n' "$(wc -c <"$guest/$guest.wasm")" "$guest/$guest.wasm"
done
