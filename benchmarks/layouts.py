"""Compare calls on strided, broadcast and masked arrays with NumPy's on the same arrays.

    python benchmarks/layouts.py

Both sides write into an existing array and run in turns, on one thread. Prints a Markdown table: billions of float32
elements per second, the median of the rounds, and the ratio to np.negative (np.multiply, where there are two arrays).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median

import halfwave as hw
import numpy as np

ROUNDS = 60
SIDE = 1024

Call = Callable[[], object]


def seconds(calls: list[Call]) -> list[float]:
    """Time calls in turns; the median of each."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, own in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            own.append(time.perf_counter() - start)
    return [median(own) for own in times]


def row(name: str, size: int, calls: list[Call]) -> str:
    """Make a row of the table of our calls and, at last, NumPy's."""
    *ours, numpy = seconds(calls)
    cells = [f"{size / t * 1e-9:.2f} | {numpy / t:.2f}" for t in ours]
    return f"| {name} | {' | '.join(cells)} | {size / numpy * 1e-9:.2f} |"


def layouts() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray | bool]]:
    """Make inputs, outputs and masks."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((SIDE, SIDE), dtype=np.float32)
    y = np.empty_like(x)
    random = rng.random(x.shape) < 0.5
    runs = np.repeat(rng.random((SIDE, SIDE // 64)) < 0.5, 64, axis=1)
    return {
        "contiguous": (x, y, True),
        "every second row": (x[::2], y[::2], True),
        "every second column": (x[:, ::2], y[:, ::2], True),
        "half of each row": (x[:, : SIDE // 2], y[:, : SIDE // 2], True),
        "Fortran order": (x.T, y.T, True),
        "transposed into C order": (x.T, y, True),
        "backwards": (x[::-1, ::-1], y, True),
        "random mask": (x, y, random),
        "mask in runs of 64": (x, y, runs),
    }


def pointwise(x: np.ndarray, y: np.ndarray, where: np.ndarray | bool) -> list[Call]:
    """Call relu, silu and np.negative."""
    return [partial(f, x, out=y, where=where) for f in (hw.relu, hw.silu, np.negative)]


def broadcast() -> dict[str, list[Call]]:
    """Make calls on two arrays: a slope for each column or each row, and the halves of a packed gated unit."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((SIDE, SIDE), dtype=np.float32)
    packed = rng.standard_normal((SIDE, 2 * SIDE), dtype=np.float32)
    weight = rng.random(SIDE, dtype=np.float32)
    y = np.empty_like(x)

    def pair(ours: np.ufunc, a: np.ndarray, b: np.ndarray) -> list[Call]:
        return [lambda: ours(a, b, out=y), lambda: np.multiply(a, b, out=y)]

    return {
        "prelu, a slope per column": pair(hw.prelu, x, weight),
        "prelu, a slope per row": pair(hw.prelu, x, weight[:, None]),
        "swiglu, halves of rows": pair(hw.swiglu, packed[:, :SIDE], packed[:, SIDE:]),
        "swiglu, interleaved": pair(hw.swiglu, packed[:, ::2], packed[:, 1::2]),
    }


def main() -> None:
    """Print both tables."""
    with hw.num_threads(1):
        print("| layout | relu | ratio | silu | ratio | np.negative |\n|---|---|---|---|---|---|")
        for name, (x, y, where) in layouts().items():
            print(row(name, x.size, pointwise(x, y, where)))
        print("\n| call | halfwave | ratio | np.multiply |\n|---|---|---|---|")
        for name, calls in broadcast().items():
            print(row(name, SIDE * SIDE, calls))


if __name__ == "__main__":
    main()
