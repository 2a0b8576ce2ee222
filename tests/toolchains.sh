#!/usr/bin/env bash
# Builds a program of Python (componentize-py) and one of JavaScript (componentize-js) as components of WASI 0.2, which are too
# large to be kept, and runs them with inn; where wasmtime is found, it runs them too and must print the same. Says how long the
# first run took, and the most memory it held.
#
#   tests/toolchains.sh FOLDER   what is fetched and built stays in FOLDER for the next time
#
# INN       the inn to test (default: target/release/inn)
# WASMTIME  the wasmtime to compare with (default: the one in PATH; empty or not there: only inn runs)
# JavaScript programs import HTTP, which wasmtime has to be asked for.
# Wanted are python3 with venv, node with npm, and access to their registries.
set -eu
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${1:?name a folder for what is fetched and built}
mkdir -p "$folder"
folder=$(realpath "$folder")
inn=$(realpath -m "${INN:-$top/target/release/inn}")
wasmtime=${WASMTIME-$(command -v wasmtime || true)}
cd "$folder"

mkdir -p wit/deps/cli
cat >wit/deps/cli/run.wit <<'WIT'
package wasi:cli@0.2.0;
interface run { run: func() -> result; }
WIT
cat >wit/program.wit <<'WIT'
package test:program;
world program { export wasi:cli/run@0.2.0; }
WIT
echo 'a line of the file' >text

if [ ! -e python.wasm ]; then
  [ -d venv ] || { python3 -m venv venv && venv/bin/pip install -q componentize-py==0.25.1; }
  cat >app.py <<'PYTHON'
import sys
from wit_world import exports

class Run(exports.Run):
    def run(self) -> None:
        print("Hello from Python", sys.argv[1:])
        for name in sys.argv[1:]:
            with open(name) as file:
                sys.stdout.write(file.read())
PYTHON
  venv/bin/componentize-py -d wit -w program componentize app -o python.wasm
fi
if [ ! -e javascript.wasm ]; then
  [ -d node_modules ] || npm install --silent @bytecodealliance/componentize-js@0.23.0
  cat >build.mjs <<'JAVASCRIPT'
import { componentize } from '@bytecodealliance/componentize-js';
import { writeFile } from 'node:fs/promises';
const source = 'export const run = { run() { console.log("Hello from JavaScript"); } };';
const { component } = await componentize(source, { witPath: 'wit', worldName: 'program' });
await writeFile('javascript.wasm', component);
JAVASCRIPT
  node build.mjs
fi

# measured NAME COMMAND...: runs it, with its output in NAME.out, and says what it took.
measured() {
  local name=$1
  shift
  /usr/bin/time -f "$name: %e s, %U s of processor time, %M KiB" "$@" >"$name.out"
}

differ=
for program in 'python --dir .::/work python.wasm /work/text' 'javascript javascript.wasm'; do
  read -r name words <<<"$program"
  # shellcheck disable=SC2086
  measured "inn-$name" "$inn" run --cache off $words
  if [ -n "$wasmtime" ]; then
    # shellcheck disable=SC2086
    measured "wasmtime-$name" "$wasmtime" run -C cache=n -S http $words
    cmp "inn-$name.out" "wasmtime-$name.out" || differ=yes
  fi
done
cat inn-python.out inn-javascript.out
[ -z "$differ" ]
