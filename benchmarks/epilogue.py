"""Compare activations of x + bias with NumPy's addition followed by the activation.

    python benchmarks/epilogue.py [--quick]

All sides write into existing arrays and run in turns, on one thread. Backward, the others add, call the backward
function and sum the columns: with NumPy, in float32, or with `unbroadcast`, in float64 as the fused pass does. Prints a
Markdown table: microseconds, the median of the rounds, and in brackets how many times as long as the fused call.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median

import halfwave as hw
import numpy as np

SHAPES = [(16, 64), (64, 64), (64, 256), (256, 1024), (4096, 1024), (32768, 1024)]

Call = Callable[[], object]


def seconds(calls: list[Call], elements: int) -> list[float]:
    """Time calls in turns; the median of each."""
    repeat = max(1, 20_000 // elements)
    rounds = 7 if elements > 1 << 24 else 30
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, own in zip(calls, times, strict=True):
            start = time.perf_counter()
            for _ in range(repeat):
                call()
            own.append((time.perf_counter() - start) / repeat)
    return [median(own) for own in times]


def forward(name: str, x: np.ndarray, bias: np.ndarray, out: np.ndarray) -> list[Call]:
    """Compute fused, and step by step."""
    f = hw.functions()[name]
    return [
        lambda: hw.bias_activation(x, bias, f, out=out),
        lambda: f(np.add(x, bias, out=out), out=out),
    ]


def backward(name: str, x: np.ndarray, bias: np.ndarray, out: np.ndarray) -> list[Call]:
    """Compute fused, and step by step, with the gradient of the bias."""
    f = hw.functions()[name]
    g = np.ones_like(x)
    total = np.empty_like(bias)

    def steps() -> None:
        np.add(x, bias, out=out)
        f.backward(g, out, out=out)

    def with_numpy() -> None:
        steps()
        np.sum(out, axis=0, out=total)

    def with_unbroadcast() -> None:
        steps()
        hw.unbroadcast(out, bias.shape)

    return [lambda: hw.bias_activation_backward(g, x, bias, f, out=out), with_numpy, with_unbroadcast]


def main() -> None:
    """Print the table."""
    shapes = SHAPES[:-1] if "--quick" in sys.argv else SHAPES
    rng = np.random.default_rng(0)
    print("| shape | function | forward | steps | backward | steps, NumPy's sum | steps, unbroadcast |")
    print("|---|---|---|---|---|---|---|")
    with hw.num_threads(1):
        for shape in shapes:
            x = rng.standard_normal(shape, dtype=np.float32)
            bias = rng.standard_normal(shape[-1:], dtype=np.float32)
            out = np.empty_like(x)
            for name in ("relu", "silu", "gelu"):
                cells = []
                for kind in (forward, backward):
                    fused, *others = seconds(kind(name, x, bias, out), x.size)
                    cells.append(f"{fused * 1e6:.4g}")
                    cells += [f"{other * 1e6:.4g} ({other / fused:.2f})" for other in others]
                print(f"| {shape[0]} x {shape[1]} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
