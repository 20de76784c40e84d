"""`python -m halfwave`: what is installed here; `functions` and `plot` after it: what each function computes and is."""

from __future__ import annotations

import argparse
from typing import Any

from . import __version__, _plot, functions, get_num_threads, instruction_set, instruction_sets


def main() -> None:
    """Do what the command says; without one, print the version, instruction sets, threads and functions."""
    parser = argparse.ArgumentParser(prog="python -m halfwave", description="Tell what is installed.")
    parser.set_defaults(run=_about)
    commands = parser.add_subparsers(title="commands")
    listing = commands.add_parser("functions", help="list the functions with what they compute")
    listing.set_defaults(run=_functions)
    plot = commands.add_parser("plot", help="draw functions and their derivatives")
    _plot.add_arguments(plot)
    plot.set_defaults(run=_plot.run)
    arguments = parser.parse_args()
    arguments.run(arguments)


def _functions(_: argparse.Namespace) -> None:
    print("\n\n".join(map(_described, functions().values())))


def _about(_: argparse.Namespace) -> None:
    names = list(functions())
    print(f"halfwave         {__version__}")
    print(f"instruction set  {instruction_set()} (available: {', '.join(instruction_sets())})")
    print(f"threads          {get_num_threads()}")
    print(f"functions        {len(names)}: {', '.join(names)}")


def _described(function: Any) -> str:
    parameters = "".join(
        f", {p.name}" + ("" if p.default is None else f"={p.default:.6g}") for p in function.parameters
    )
    gated = function.backward_gate is not None
    needs = "gate and up" if gated else "x or y" if function.backward_from_output else "x"
    forward, backward = (_bounds(f.error_bound) for f in (function, function.backward))
    return (
        f"{function.__name__}({'gate, up' if gated else 'x'}{parameters})\n"
        f"  forward         {function.formula}\n"
        f"  derivative      {function.derivative}\n"
        f"  backward needs  {needs}\n"
        f"  error bound     forward {forward}, backward {backward}"
    )


def _bounds(bounds: dict[str, float]) -> str:
    return f"{bounds['float32']:g} / {bounds['float64']:g} ULP in float32 / float64"


if __name__ == "__main__":
    main()
