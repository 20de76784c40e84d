"""`python -m halfwave`: what is installed here, and commands about it."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

# Each module has `add_arguments(parser)` and `run(options)`, which returns the exit status.
COMMANDS = {
    "info": ("._info", "tell the version, the instruction set in use and the names (the default)"),
    "functions": ("._described", "list the functions with what they compute"),
    "plot": ("._plot", "draw functions and their derivatives"),
    "verify": (".verify.command", "measure the errors of the results against exact values"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command."""
    parser = argparse.ArgumentParser(prog="python -m halfwave", description="The ReLU family for NumPy.")
    subparsers = parser.add_subparsers(metavar="COMMAND")
    for name, (module, summary) in COMMANDS.items():
        command = importlib.import_module(module, __package__)
        subparser = subparsers.add_parser(name, help=summary, description=command.__doc__)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    parser.set_defaults(run=importlib.import_module(COMMANDS["info"][0], __package__).run)
    options = parser.parse_args(arguments)
    status: int = options.run(options)
    return status


if __name__ == "__main__":
    sys.exit(main())
