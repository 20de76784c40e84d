"""List the functions with what they compute."""

from __future__ import annotations

import argparse
from typing import Any

import halfwave


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There are none."""


def run(options: argparse.Namespace) -> int:
    """Print a paragraph for each function."""
    print("\n\n".join(map(_described, halfwave.functions().values())))
    return 0


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
