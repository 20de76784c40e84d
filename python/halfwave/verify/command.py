"""Measure the errors of results, in units in the last place (ULP), against an independent reference.

By default at a sample of inputs that seeks the hard ones, and in 16-bit formats at all; exit status 1 if a bound is
exceeded. `--exhaustive` takes all 2^32 numbers of float32. With `--json` or `--state`, what is done when Ctrl-C is
pressed is kept, and the same command goes on from it.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="NAME", help="functions, default all")
    parser.add_argument("--dtype", action="append", default=[], help="a format, can be repeated; default all")
    parser.add_argument("--role", action="append", default=[], help="a direction, can be repeated; default all")
    parser.add_argument("--exhaustive", action="store_true", help="all numbers, in float32 by default")
    parser.add_argument(
        "--between", nargs=2, type=float, metavar=("LOW", "HIGH"), help="of them only those in an interval"
    )
    parser.add_argument("--parameters", type=float, nargs="+", metavar="P", help="of one function, instead of defaults")
    parser.add_argument("--isa", metavar="NAME", help="the instruction set, default the one in use")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there too")
    parser.add_argument(
        "--state",
        type=Path,
        metavar="FILE",
        help="what is done so far, to go on from; default the --json FILE + .state",
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes, default one per processor")


def run(options: argparse.Namespace) -> int:
    """Measure, print the table, and tell by the status whether all bounds hold."""
    try:
        from . import session
    except ImportError as error:
        print(f'verify needs {error.name}: pip install "halfwave[verify]"', file=sys.stderr)
        return 2
    try:
        return session.run(options)
    except session.Mistake as error:
        print(f"python -m halfwave verify: error: {error}", file=sys.stderr)
        return 2
