#!/usr/bin/env bash
# Runs the cases of guests.cases with inn and compares stdout, exit code and the files left behind with
# guests/expected/, byte by byte. Where wasmtime is found, it runs each case too and must give the same.
#
#   tests/guests.sh [CASE...]           runs the cases named, or all
#   tests/guests.sh --bless [CASE...]   writes the expected outputs anew: what wasmtime gives
#   tests/guests.sh --replay [...]      as without, and each case is recorded and then replayed, which must print the same
#   tests/guests.sh --component FOLDER [CASE...]   runs the guests as components, FOLDER/NAME.wasm, which
#       `cargo run -p innkeeper-cli --example components FOLDER` makes of them; left out are calls of a module's
#       functions, and what opens more files at once than the adapter in such components can
#
# INN       the inn to test (default: target/release/inn)
# INN_FLAGS flags that stand after `run` in each case, for inn alone
# WASMTIME  the wasmtime to compare with (default: the one in PATH; empty or not there: only inn runs)
# TIMEOUT   seconds a case may take (default: 60)
set -u
export LC_ALL=C
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
inn=$(realpath -m "${INN:-$top/target/release/inn}")
wasmtime=${WASMTIME-$(command -v wasmtime)}
guests=$top/guests
replaying=
if [ "${1:-}" = --replay ]; then
  replaying=yes
  shift
fi
components=
if [ "${1:-}" = --component ]; then
  components=$(realpath -m "${2:?the folder with the components}")
  shift 2
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# run RUNTIME ROOM: runs the case in the folder ROOM, which it makes: ROOM/{stdout,stderr,code,work}.
run() {
  local room=$2
  mkdir -p "$room/work"
  [ "$input" = - ] || cp -RP "$guests/inputs/$input/." "$room/work"
  echo 'not granted' >"$room/secret"
  local -a host_flags=() guest_words=()
  eval "guest_words=($guest)"
  [ "$flags" = - ] || eval "host_flags=($flags)"
  local module=$guests/${guest_words[0]}/${guest_words[0]}.wasm
  [ -z "$components" ] || module=$components/${guest_words[0]}.wasm
  # shellcheck disable=SC2206
  [ "$1" != "$inn" ] || host_flags=(${INN_FLAGS:-} "${host_flags[@]}")
  local stdin_file=/dev/null
  [ "$stdin" = - ] || stdin_file=work/$stdin
  (
    cd "$room" || exit
    timeout "${TIMEOUT:-60}" "$1" run "${host_flags[@]}" "$module" "${guest_words[@]:1}" \
      <"$stdin_file" >stdout 2>stderr
    echo $? >code
  )
}

# The tree that the case must leave: the expected one, or the input where the case leaves it as it was.
expected_tree() {
  if [ -d "$expected/work" ]; then echo "$expected/work"
  elif [ "$input" = - ]; then echo "$scratch/empty"
  else echo "$guests/inputs/$input"
  fi
}

same_tree() {
  diff -r --no-dereference "$1" "$2" >/dev/null 2>&1
}

# complaints ROOM: what differs from the expected outputs, one line each.
complaints() {
  local code line
  code=$(cat "$1/code")
  case $exit_code in
    !) [ "$code" != 0 ] || echo "exit code 0, wanted another" ;;
    *) [ "$code" = "$exit_code" ] || echo "exit code $code, wanted $exit_code" ;;
  esac
  cmp -s "$1/stdout" "$expected/stdout" || echo "stdout differs from ${expected#"$top"/}/stdout"
  same_tree "$1/work" "$(expected_tree)" || echo "files differ: $(diff -rq --no-dereference "$(expected_tree)" "$1/work" | head -n 1)"
  [ "$(cat "$1/secret")" = 'not granted' ] || echo "a file outside the grants was changed"
  [ "$(cd "$1" && echo *)" = 'code secret stderr stdout work' ] || echo "a file outside the grants was made"
  [ "$stderr" = - ] || grep -Eq -- "$stderr" "$1/stderr" || echo "no line of stderr matches $stderr"
  [ "$code" = "$exit_code" ] || while read -r line; do echo "  stderr: $line"; done < <(head -n 5 "$1/stderr")
}

# bless ROOM: makes what wasmtime gave the expected output. A variant must give what the first one gave.
bless() {
  if [ -n "${blessed[$expected]:-}" ]; then
    complaints "$1"
    return
  fi
  rm -rf "$expected"
  mkdir -p "$expected"
  cp "$1/stdout" "$expected/stdout"
  same_tree "$1/work" "$(expected_tree)" || cp -RP "$1/work" "$expected/work"
  complaints "$1"
}

# replay ROOM: what is wrong with the replay of the case, which was recorded beside its room, one line each. Its files are gone then.
replay() {
  mv "$1/work" "$1/moved"
  (cd "$1" && timeout "${TIMEOUT:-60}" "$inn" replay "../record" >replayed 2>replay-stderr) || {
    echo "replay: $(grep -E '^error' "$1/replay-stderr" | tail -n 1)"
  }
  cmp -s "$1/stdout" "$1/replayed" || echo "replay: stdout differs"
  mv "$1/moved" "$1/work"
  rm -f "$1/replayed" "$1/replay-stderr"
}

check() {
  mkdir -p "$scratch/$name"
  [ -z "$replaying" ] || INN_FLAGS="${INN_FLAGS:-} --record $scratch/$name/record"
  run "$inn" "$scratch/$name/inn"
  [ -z "$replaying" ] || replay "$scratch/$name/inn"
  complaints "$scratch/$name/inn"
  if [ -n "$wasmtime" ]; then
    run "$wasmtime" "$scratch/$name/wasmtime"
    complaints "$scratch/$name/wasmtime" | sed 's/^/wasmtime: /'
  fi
}

if [ -n "$wasmtime" ]; then
  wasmtime=$(realpath -m "$wasmtime")
  [ -x "$wasmtime" ] || { echo "guests.sh: there is no $wasmtime: mend WASMTIME, or leave it empty" >&2; exit 2; }
fi

blessing=
if [ "${1:-}" = --bless ]; then
  blessing=yes
  shift
  [ -n "$wasmtime" ] || { echo "guests.sh: --bless wants wasmtime: put it in PATH or name it in WASMTIME" >&2; exit 2; }
elif [ ! -x "$inn" ]; then
  echo "guests.sh: there is no $inn: build it (cargo build --release) or name it in INN" >&2
  exit 2
fi

wanted=" $* "
passed=0 failed=0
declare -A blessed=()
mkdir "$scratch/empty"
while IFS= read -r row; do
  case $row in '' | '#'*) continue ;; esac
  IFS=$'\x1f' read -r name input flags guest stdin exit_code stderr < <(sed -E 's/ +\| +/\x1f/g' <<<"$row")
  if [ -n "$components" ]; then
    [[ $flags != *--invoke* && $name != fdstress ]] || continue
    # WASI 0.2 has one code for failure for whoever does not know of another, as the adapter does not.
    case $exit_code in 0 | 134 | '!') ;; *) exit_code=1 ;; esac
  fi
  [ "$wanted" = '  ' ] || [[ $wanted == *" $name "* ]] || continue
  expected=$guests/expected/${name%@*}
  if [ -n "$blessing" ]; then
    run "$wasmtime" "$scratch/$name/wasmtime"
    found=$(bless "$scratch/$name/wasmtime")
    blessed[$expected]=yes
  else
    found=$(check)
  fi
  if [ -z "$found" ]; then
    passed=$((passed + 1))
    echo "ok    $name"
  else
    failed=$((failed + 1))
    echo "FAIL  $name: ${found//$'\n'/; }"
  fi
  rm -rf "${scratch:?}/$name"
done <"$top/tests/guests.cases"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
