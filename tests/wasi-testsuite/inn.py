"""Runs the tests of WebAssembly/wasi-testsuite with inn: an adapter for the suite's own runner.

INN names the command to run, with flags if there are any (default: `inn`).
"""

import os
import shlex
import subprocess
from pathlib import Path
from typing import Dict, List, Tuple

INN = shlex.split(os.getenv("INN", "inn"))


def get_name() -> str:
    return "inn"


def get_version() -> str:
    result = subprocess.run(INN[0:1] + ["--version"], encoding="UTF-8", capture_output=True, check=True)
    return result.stdout.split()[1]


def get_wasi_versions() -> List[str]:
    return ["wasm32-wasip1"]


def get_wasi_worlds() -> List[str]:
    return ["wasi:cli/command"]


def compute_argv(test_path: str,
                 args_env_dirs: Tuple[List[str], Dict[str, str], List[Tuple[Path, str]]],
                 proposals: List[str],
                 wasi_world: str,
                 wasi_version: str) -> List[str]:
    args, env, dirs = args_env_dirs
    argv = list(INN)
    for name, value in env.items():
        argv += ["--env", f"{name}={value}"]
    for host, guest in dirs:
        argv += ["--dir", f"{host}::{guest}"]
    argv += [test_path] + list(args)
    if test_path.endswith("_wasi_read.wasm"):
        # These tests assume that reading standard input blocks, and the runner closes it at once: they get a pipe that stays open.
        return ["bash", "-c", 'exec "$@" < <(exec sleep 20 2>/dev/null)', "stdin"] + argv
    return argv
