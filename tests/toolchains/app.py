"""Prints its arguments and the files that they name."""

import sys

from wit_world import exports


class Run(exports.Run):
    def run(self) -> None:
        print("Hello from Python", sys.argv[1:])
        for name in sys.argv[1:]:
            with open(name) as file:
                sys.stdout.write(file.read())
