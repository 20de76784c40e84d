"""Tell what is installed."""

from __future__ import annotations

import argparse

import halfwave


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There are none."""


def run(options: argparse.Namespace) -> int:
    """Print the version, instruction sets, threads and functions."""
    names = list(halfwave.functions())
    print(f"halfwave         {halfwave.__version__}")
    print(f"instruction set  {halfwave.instruction_set()} (available: {', '.join(halfwave.instruction_sets())})")
    print(f"threads          {halfwave.get_num_threads()}")
    print(f"functions        {len(names)}: {', '.join(names)}")
    return 0
