"""Feed-forward blocks as three kinds of model have them, whose gate and up are one matrix product, in three layouts.

    python examples/packed.py

    block(x) = act(gate) * up @ down,  gate and up packed into x @ weight

LLaMA-style code has the gate in the first half of the product, torch's glu in the second, gpt-oss has it at every
second place, with its operands clamped. Each block is computed in float32 from each layout of the same weights, forward
and backward, and compared with one in float64 in plain NumPy, whose gate and up are separate. At last each block's
weights are read in a layout that is not theirs: nothing fails, and all of it is wrong.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import halfwave as hw
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Plain = Callable[[Array, Array], tuple[Array, Array, Array]]
LAYOUTS = ("gate_first", "gate_last", "interleaved")


class Result(NamedTuple):
    """The output, and the gradients in the input and in the weights."""

    y: Array
    dx: Array
    dgate: Array
    dup: Array
    ddown: Array


class Weights(NamedTuple):
    """Those of a block, for rows of inputs."""

    gate: Array
    up: Array
    down: Array


def swish(x: Array, beta: float) -> tuple[Array, Array]:
    """Return x * sigmoid(beta * x) and its derivative."""
    s = 1 / (1 + np.exp(-beta * x))
    return x * s, s * (1 + beta * x * (1 - s))


def plain_glu(gate: Array, up: Array) -> tuple[Array, Array, Array]:
    """Return the value of a gated unit and its derivatives in both operands; torch's here."""
    s = 1 / (1 + np.exp(-gate))
    return s * up, s * (1 - s) * up, s


def plain_swiglu(gate: Array, up: Array) -> tuple[Array, Array, Array]:
    """Return the same of LLaMA's."""
    value, slope = swish(gate, 1)
    return value * up, slope * up, value


def plain_clamped(gate: Array, up: Array) -> tuple[Array, Array, Array]:
    """Return the same of gpt-oss'."""
    value, slope = swish(np.minimum(gate, 7), 1.702)
    factor = np.clip(up, -7, 7) + 1
    return value * factor, np.where(gate < 7, slope, 0) * factor, value * (np.abs(up) < 7)


class Style(NamedTuple):
    """A gated unit, the layout that its models have, and its formula in NumPy."""

    unit: Any
    layout: str
    plain: Plain


STYLES = {
    "LLaMA": Style(hw.swiglu, "gate_first", plain_swiglu),
    "torch glu": Style(hw.glu, "gate_last", plain_glu),
    "gpt-oss": Style(hw.swiglu_clamped, "interleaved", plain_clamped),
}


def pack(gate: Array, up: Array, layout: str) -> Array:
    """Put the columns of two matrices into one."""
    if layout == "interleaved":
        return np.stack((gate, up), axis=-1).reshape(len(gate), -1)
    return np.concatenate((gate, up) if layout == "gate_first" else (up, gate), axis=1)


def unpack(packed: Array, layout: str) -> tuple[Array, Array]:
    """Return the two matrices again."""
    if layout == "interleaved":
        return packed[:, ::2], packed[:, 1::2]
    first, last = np.split(packed, 2, axis=1)
    return (first, last) if layout == "gate_first" else (last, first)


def reference(weights: Weights, x: Array, g: Array, plain: Plain) -> Result:
    """Compute the block from separate matrices, in the dtype of its operands."""
    hidden, in_gate, in_up = plain(x @ weights.gate, x @ weights.up)
    down = g @ weights.down.T
    dgate, dup = down * in_gate, down * in_up
    dx = dgate @ weights.gate.T + dup @ weights.up.T
    return Result(hidden @ weights.down, dx, x.T @ dgate, x.T @ dup, hidden.T @ g)


def block(weights: Weights, x: Array, g: Array, unit: Any, layout: str, read_as: str) -> Result:
    """Compute the block from weights that are packed in one layout and read in one that should be the same."""
    weight = pack(weights.gate, weights.up, layout)
    packed = x @ weight
    hidden = unit.packed(packed, layout=read_as)
    dpacked = unit.packed_backward(g @ weights.down.T, packed, layout=read_as, out=packed)
    return Result(hidden @ weights.down, dpacked @ weight.T, *unpack(x.T @ dpacked, layout), hidden.T @ g)


def error(result: Result, exact: Result) -> float:
    """Return the greatest error of all results, each relative to its greatest magnitude."""
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(result, exact, strict=True))


def compare(width: int = 64, hidden: int = 176, rows: int = 256) -> dict[str, dict[str, float]]:
    """Return the errors of each style in each layout, and of the one that is read in another's."""
    rng = np.random.default_rng(0)
    scale = 4 / np.sqrt(width)  # so that some operands are clamped
    weights = Weights(*(scale * rng.standard_normal(s) for s in ((width, hidden), (width, hidden), (hidden, width))))
    x, g = rng.standard_normal((rows, width)), rng.standard_normal((rows, width))
    weights, x, g = Weights(*(w.astype(np.float32) for w in weights)), x.astype(np.float32), g.astype(np.float32)
    wide = Weights(*(w.astype(np.float64) for w in weights))
    errors: dict[str, dict[str, float]] = {}
    for name, (unit, own, plain) in STYLES.items():
        exact = reference(wide, x.astype(np.float64), g.astype(np.float64), plain)
        errors[name] = {layout: error(block(weights, x, g, unit, layout, layout), exact) for layout in LAYOUTS}
        other = LAYOUTS[LAYOUTS.index(own) - 1]
        errors[name]["misread"] = error(block(weights, x, g, unit, own, other), exact)
    return errors


def main(argv: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Compare, print and return the errors."""
    parser = argparse.ArgumentParser(description="Check blocks of packed gated units in float32 against float64.")
    parser.parse_args(argv)
    errors = compare()
    print(f"greatest error, relative to the greatest value (float32 has {np.finfo(np.float32).eps:.1e}):")
    print(" " * 10 + "".join(f"{column:>13}" for column in (*LAYOUTS, "misread")))
    for name, found in errors.items():
        print(f"{name:<10}" + "".join(f"{value:13.1e}" for value in found.values()))
    return errors


if __name__ == "__main__":
    main()
