"""Runs the tests of WebAssembly/wasi-testsuite with inn: an adapter for the suite's own runner.

INN names the command to run, with flags if there are any (default: `inn`).
"""

import os
import shlex
import subprocess
from pathlib import Path
from typing import Dict, List, Optional, Tuple, Union

INN = shlex.split(os.getenv("INN", "inn"))


def get_name() -> str:
    return "inn"


def get_version() -> str:
    result = subprocess.run(INN[0:1] + ["--version"], encoding="UTF-8", capture_output=True, check=True)
    return result.stdout.split()[1]


def get_wasi_versions() -> List[str]:
    return ["wasm32-wasip1", "wasm32-wasip3"]


def get_wasi_worlds() -> List[str]:
    return ["wasi:cli/command", "wasi:http/service"]


# The directories of a test: one, which is the guest's root, or in other versions of the runner several with their names.
Directories = Union[Optional[Path], List[Tuple[Path, str]]]

# What a test of sockets is granted: all of the network, of which it uses this machine's own part.
NETWORK = ["connect:*:*", "listen:*:*", "udp:*:*", "udp-bind:*:*", "resolve:*"]


# What a test of HTTP is granted beside the servers that the runner tells it of: a name that is nowhere, by which it tries what is told then.
NOWHERE = "*:http://nonexistent.invalid/*"


def get_timeout_seconds() -> float:
    return float(os.getenv("INN_TIMEOUT", "20"))


def compute_argv(test_path: str,
                 args_env_dirs: Tuple[List[str], Dict[str, str], Directories],
                 proposals: List[str],
                 wasi_world: str,
                 wasi_version: str) -> List[str]:
    args, env, dirs = args_env_dirs
    argv = list(INN)
    if wasi_world == "wasi:http/service":
        argv = serving(argv) + ["--http", NOWHERE]
    for name, value in env.items():
        argv += ["--env", f"{name}={value}"]
        if name.startswith("HTTP_SERVER_"):
            argv += ["--http", f"*:http://{value}/*"]
    if not isinstance(dirs, list):
        dirs = [] if dirs is None else [(dirs, "/")]
    # Two of them do not say that they are about sockets.
    if "sockets" in proposals or Path(test_path).name.startswith("sockets-"):
        for key in NETWORK:
            argv += ["--net", key]
    for host, guest in dirs:
        # The runner leaves links behind that a test has made, and the next one does not expect them.
        for left in Path(host).glob("**/*.cleanup"):
            if left.is_symlink():
                left.unlink()
        argv += ["--dir", f"{host}::{guest}"]
    argv += [test_path] + list(args)
    if test_path.endswith("_wasi_read.wasm"):
        # These tests assume that reading standard input blocks, and the runner closes it at once: they get a pipe that stays open.
        return ["bash", "-c", 'exec "$@" < <(exec sleep 20 2>/dev/null)', "stdin"] + argv
    return argv


def serving(inn: List[str]) -> List[str]:
    """The command that serves, for one that runs: with the same flags."""
    return inn[:1] + ["serve", "--listen", "0"] + inn[1:]
