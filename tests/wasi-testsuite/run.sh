#!/usr/bin/env bash
# Runs the tests of a checkout of WebAssembly/wasi-testsuite, interpreted and compiled: tests/wasi-testsuite/run.sh CHECKOUT [DIRECTORY OF TESTS]...
# INN names the command to run (default: the release build), PYTHON a Python of 3.12 or newer. Fails where a test fails that known-failures.toml does not name, or one passes that it names.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
inn=${INN:-$here/../../target/release/inn}
suite=$(cd "$1" && pwd)
shift
if [ $# = 0 ]; then
    # All that have a manifest.
    mapfile -t tests < <(cd "$suite" && find tests -name manifest.json -printf '%h\n' | sort)
else
    tests=("$@")
fi
failed=0
for tier in interpreter compiled; do
    echo "--tier $tier"
    # The suite's own runner. Its other entry, `run-tests`, takes the same adapter, and runs all tests.
    (cd "$suite" && INN="$inn --tier $tier" PYTHONPATH=test-runner${PYTHONPATH:+:$PYTHONPATH} "${PYTHON:-python3}" -m wasi_test_runner --disable-colors \
        --test-suite "${tests[@]}" --expectations "$here/known-failures.toml" --runtime-adapter "$here/inn.py") || failed=1
done
exit $failed
