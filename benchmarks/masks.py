"""Compare the passes with a mask of one bit per element with those that keep the input, and with NumPy's packbits.

    python benchmarks/masks.py

All write into existing arrays and run in turns. Prints Markdown tables: billions of elements per second, the median of
the rounds and the fastest one, and what a call keeps for the backward pass.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import halfwave as hw
import numpy as np

SIZES = {"16k": 1 << 14, "256k": 1 << 18, "4M": 1 << 22, "32M": 1 << 25}
DTYPES = {"float16": np.float16, "float32": np.float32, "float64": np.float64}
FUNCTIONS = ("relu", "leaky_relu", "relu6")
ELEMENTS = 1 << 27  # of all rounds of a call; there are at least LEAST of them
LEAST, MOST = 9, 400

Call = Callable[[], object]


def calls(name: str, dtype: str, size: int) -> dict[str, Call]:
    """Make the calls that are compared, by what they are called in the table."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(size, dtype=np.float32).astype(DTYPES[dtype])
    g, y, mask = x[::-1].copy(), np.empty_like(x), np.empty(-(-size // 8), np.uint8)
    function: Any = hw.functions()[name]
    function.with_mask(x, out=(y, mask))
    made = {
        "forward": lambda: function(x, out=y),
        "with mask": lambda: function.with_mask(x, out=(y, mask)),
        "backward": lambda: function.backward(g, x, out=y),
        "from mask": lambda: function.backward_from_mask(g, mask, out=y),
    }
    if name == "relu":
        made["NumPy: packbits"] = lambda: (np.maximum(x, 0, out=y), np.packbits(x > 0, bitorder="little"))
        made["NumPy: unpackbits"] = lambda: np.multiply(
            g, np.unpackbits(mask, count=size, bitorder="little").view(bool), out=y
        )
    return made


def seconds(compared: dict[str, Call], rounds: int) -> dict[str, list[float]]:
    """Time calls in turns."""
    times: dict[str, list[float]] = {name: [] for name in compared}
    for call in compared.values():
        call()
    for _ in range(rounds):
        for name, call in compared.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return times


def row(label: str, size: int, times: dict[str, list[float]], columns: list[str]) -> str:
    """Make a row of the table, and what of the passes' time those with a mask take."""
    rate = [f"{size / median(t) * 1e-9:.2f} ({size / min(t) * 1e-9:.2f})" for t in times.values()]
    rate += [""] * (len(columns) - len(rate))
    forward = median(times["with mask"]) / median(times["forward"])
    backward = median(times["from mask"]) / median(times["backward"])
    return f"| {label} | {' | '.join(rate)} | {forward:.2f} | {backward:.2f} |"


def main() -> None:
    """Print a table for each dtype."""
    parser = argparse.ArgumentParser(description="Time the passes with a mask of one bit per element.")
    parser.add_argument("--dtypes", nargs="+", default=["float32"], choices=DTYPES)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=SIZES)
    parser.add_argument("--threads", type=int, default=1, help="default: 1")
    options = parser.parse_args()
    columns = ["forward", "with mask", "backward", "from mask", "NumPy: packbits", "NumPy: unpackbits"]
    ratios = ["time, forward = 1", "time, backward = 1"]
    with hw.num_threads(options.threads):
        for dtype in options.dtypes:
            print(f"\n{dtype}, {hw.instruction_set()}, {options.threads} thread(s)\n")
            print(f"| | {' | '.join(columns + ratios)} |\n|{'---|' * (1 + len(columns + ratios))}")
            for size, name in ((s, n) for s in options.sizes for n in FUNCTIONS):
                rounds = min(MOST, max(LEAST, ELEMENTS // SIZES[size]))
                times = seconds(calls(name, dtype, SIZES[size]), rounds)
                print(row(f"{name}, {size}", SIZES[size], times, columns))


if __name__ == "__main__":
    main()
