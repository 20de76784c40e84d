"""A SwiGLU block as in LLaMA-style models, forward and backward, in float32 against a reference in float64.

    python examples/swiglu.py --plot docs/images/swiglu.png

    block(x) = (silu(x @ gate) * (x @ up)) @ down

The same block is computed three times from the same weights, on digits: in float32 through halfwave, in float32 in
plain NumPy as it is usually written, and in float64 in plain NumPy, which is the reference.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import common
import halfwave as hw
import numpy as np
from halfwave import init
from numpy.typing import NDArray

Gate = Callable[[Any, Any], Any]
Backward = Callable[[Any, Any, Any], tuple[Any, Any]]


class Result(NamedTuple):
    """The output, and the gradients in the input and in the weights."""

    y: NDArray[Any]
    dx: NDArray[Any]
    dgate: NDArray[Any]
    dup: NDArray[Any]
    ddown: NDArray[Any]


class Block(NamedTuple):
    """The weights, for rows of inputs; all of one dtype."""

    gate: NDArray[Any]
    up: NDArray[Any]
    down: NDArray[Any]

    def run(self, x: NDArray[Any], g: NDArray[Any], swiglu: Gate, swiglu_backward: Backward) -> Result:
        """Return the output for x, and all gradients for the gradient g of the output."""
        gate, up = x @ self.gate, x @ self.up
        hidden = swiglu(gate, up)
        dgate, dup = swiglu_backward(g @ self.down.T, gate, up)
        dx = dgate @ self.gate.T + dup @ self.up.T
        return Result(hidden @ self.down, dx, x.T @ dgate, x.T @ dup, hidden.T @ g)


def plain(gate: Any, up: Any) -> Any:
    """SwiGLU as NumPy users write it: exp overflows from -88 down, with a warning that is switched off here."""
    with np.errstate(over="ignore"):
        return gate / (1 + np.exp(-gate)) * up


def plain_backward(g: Any, gate: Any, up: Any) -> tuple[Any, Any]:
    """Backpropagate through it."""
    with np.errstate(over="ignore"):
        sigmoid = 1 / (1 + np.exp(-gate))
    return g * up * sigmoid * (1 + gate * (1 - sigmoid)), g * gate * sigmoid


def make(rng: np.random.Generator, width: int = 64, hidden: int = 176) -> Block:
    """Return a block in float32; LLaMA's hidden layer is 8/3 as wide as its input, rounded up."""
    axes: dict[str, Any] = {"out_axis": 1, "in_axis": 0}
    shapes = ((width, hidden), (width, hidden), (hidden, width))
    return Block(*(init.lecun(shape, rng, gain=1 + k // 2, **axes) for k, shape in enumerate(shapes)))


def compare() -> dict[str, dict[str, float]]:
    """Return the greatest errors of each way in float32, relative to the greatest magnitude of each result."""
    rng = np.random.default_rng(0)
    x = common.digits(rng)[0].images[:256] - np.float32(0.3)
    block, g = make(rng), rng.standard_normal((256, 64), dtype=np.float32)
    wide = Block(*(weight.astype(np.float64) for weight in block))
    reference = wide.run(x.astype(np.float64), g.astype(np.float64), plain, plain_backward)
    ways = {
        "halfwave": block.run(x, g, hw.swiglu, hw.swiglu_backward),
        "plain NumPy": block.run(x, g, plain, plain_backward),
    }
    return {
        name: {
            field: float(np.abs(ours - exact).max() / np.abs(exact).max())
            for field, ours, exact in zip(Result._fields, result, reference, strict=True)
        }
        for name, result in ways.items()
    }


def tails() -> tuple[NDArray[Any], dict[str, tuple[NDArray[Any], NDArray[Any]]]]:
    """Return gates from -100 to 20, and each way's relative errors there: of the output and of the gate's gradient."""
    gate = np.linspace(-100, 20, 1200, dtype=np.float32)
    one = np.ones_like(gate)
    wide, exact_one = gate.astype(np.float64), one.astype(np.float64)
    exact = plain(wide, exact_one), plain_backward(exact_one, wide, exact_one)[0]
    ways = {
        "halfwave": (hw.swiglu(gate, one), hw.swiglu_backward(one, gate, one)[0]),
        "plain NumPy": (plain(gate, one), plain_backward(one, gate, one)[0]),
    }
    return gate, {
        name: (np.abs(result[0] / exact[0] - 1), np.abs(result[1] / exact[1] - 1)) for name, result in ways.items()
    }


def draw(errors: dict[str, dict[str, float]], file: str) -> None:
    """Draw the errors of the block, and those of the gate along its range."""
    gate, relative = tails()
    with common.picture(file, 11, 3.7) as figure:
        panels = figure.subplots(1, 3, width_ratios=(1.2, 1, 1))
        for k, (name, found) in enumerate(errors.items()):
            panels[0].bar(np.arange(5) + 0.4 * (k - 0.5), found.values(), 0.36, label=name, color=common.COLOURS[k])
        panels[0].set_xticks(range(5), ["output", "d input", "d gate", "d up", "d down"])
        panels[0].set(title="Whole block in float32", ylabel="greatest error / greatest value")
        panels[0].grid(visible=False, axis="x")
        for ax, title, side in zip(panels[1:], ("silu(gate) * up", "gradient in gate"), (0, 1), strict=True):
            for k, (name, both) in enumerate(relative.items()):
                shown = np.clip(both[side], 1e-9, 1)
                ax.semilogy(gate, shown, ".", markersize=3, color=common.COLOURS[k], label=name, zorder=3 - k)
            ax.set(title=title, xlabel="gate", ylim=(5e-10, 3))
        panels[1].set_ylabel("relative error in float32")
        handles, labels = panels[1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, markerscale=4)


def main(argv: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Compare, print, draw and return the errors."""
    parser = argparse.ArgumentParser(description="Check a SwiGLU block in float32 against one in float64.")
    parser.add_argument("--plot", metavar="FILE", help="draw the errors, to a .png, .svg or .pdf file")
    options = parser.parse_args(argv)
    errors = compare()
    print(f"greatest error, relative to the greatest value (float32 has {np.finfo(np.float32).eps:.1e}):")
    print(" " * 12 + "".join(f"{field:>10}" for field in Result._fields))
    for name, found in errors.items():
        print(f"{name:<12}" + "".join(f"{error:10.1e}" for error in found.values()))
    if options.plot:
        draw(errors, options.plot)
    return errors


if __name__ == "__main__":
    main()
