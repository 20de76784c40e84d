"""Compare the 16-bit floats with float32, and integers with a copy.

    python -m benchmarks.narrow [NAME ...] [--size 64k] [--rounds 60] [--threads 1]

The calls of one function and direction run in turns, in one process, and write into an existing array. Prints two
Markdown tables: billions of float32 elements per second and the pace of float16 and bfloat16 as multiples of that; and
the pace of integers as a multiple of a copy's. All by the best of the rounds. Then it says how many are below the share
that `--least` gives. `HALFWAVE_ISA=avx2` holds all of it to an instruction set.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import halfwave as hw
import ml_dtypes
import numpy as np
from halfwave.verify.cases import Case, cases, defaults

from .__main__ import size

NARROW = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))
INTEGERS = tuple(map(np.dtype, ("int8", "int16", "int32", "int64")))

Array = np.ndarray[Any, Any]
Call = Callable[[], object]


def best(calls: list[Call], rounds: int) -> list[float]:
    """Time calls in turns; the least seconds of each."""
    least = [float("inf")] * len(calls)
    for _ in range(rounds):
        for k, call in enumerate(calls):
            start = time.perf_counter()
            call()
            least[k] = min(least[k], time.perf_counter() - start)
    return least


def float_call(case: Case, x: Array, g: Array, dtype: np.dtype[Any]) -> Call:
    """Prepare a call in a dtype: `x` is the input or the gate, `g` the upstream gradient or up."""
    named = {"x": x, "gate": x, "g": g, "up": g}
    parameters = defaults(case.ufunc, case.name)
    if "y" in case.data:
        named["y"] = getattr(hw, case.name)(x, *parameters)
    operands = [named[name].astype(dtype) for name in case.data]
    out = tuple(np.zeros(x.size, dtype) for _ in range(case.ufunc.nout))
    return partial(case.ufunc, *operands, *parameters, out=out)


def copy_and(case: Case, dtype: np.dtype[Any], n: int) -> list[Call]:
    """Prepare a copy of integers, and a call on them."""
    x = np.random.default_rng(0).integers(-100, 100, n, dtype=dtype)
    y = np.zeros_like(x)
    return [partial(np.copyto, y, x), partial(case.ufunc, x, *map(round, defaults(case.ufunc, case.name)), out=y)]


def report(names: list[str], table: list[list[float]], dtypes: tuple[np.dtype[Any], ...], least: float) -> None:
    """Print ratios, and how many of each dtype are too small."""
    print(f"| | {' | '.join(d.name for d in dtypes)} |\n|---|{'---|' * len(dtypes)}")
    for name, row in zip(names, table, strict=True):
        print(f"| {name} | {' | '.join(f'{r:.2f}' for r in row)} |")
    for dtype, column in zip(dtypes, zip(*table, strict=True), strict=True):
        print(f"{dtype.name}: {sum(r < least for r in column)} of {len(column)} below {least:g}")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="functions; all of them by default")
    parser.add_argument("--size", type=size, default=1 << 16, metavar="N", help="elements, such as 64k or 16M")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--least", type=float, default=0.8, help="the share of the pace that is enough")
    given = parser.parse_args()
    chosen = [c for c in cases() if not given.names or c.name in given.names]
    keeping = [c for c in chosen if c.role == "forward" and c.reference.keeps_integers]
    rng = np.random.default_rng(0)
    x, g = (rng.standard_normal(given.size, dtype=np.float32) for _ in range(2))
    floats, integers = [], []
    with hw.num_threads(given.threads):
        for case in chosen:
            own, *others = best([float_call(case, x, g, d) for d in (x.dtype, *NARROW)], given.rounds)
            floats.append([given.size / own * 1e-9, *(own / seconds for seconds in others)])
        for case in keeping:
            pairs = [best(copy_and(case, d, given.size), given.rounds) for d in INTEGERS]
            integers.append([copy / seconds for copy, seconds in pairs])
    print(f"{hw.instruction_set()}, {given.size} elements\n")
    report([str(c) for c in chosen], floats, (x.dtype, *NARROW), given.least)
    if keeping:
        print()
        report([str(c) for c in keeping], integers, INTEGERS, given.least)


if __name__ == "__main__":
    main()
