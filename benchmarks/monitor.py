"""What watching costs: a training step of the network of examples/digits.py, with a monitor and without.

    python benchmarks/monitor.py

Steps with and without take turns; the fastest rounds are compared, so that what else the machine does hits neither.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from halfwave.monitor import Monitor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))

import common

SIZES = (64, 128, 64, 10)
EVERY = (1, 4, 16)


def main() -> None:
    """Print the cost of each setting, as a share of a step's time."""
    parser = argparse.ArgumentParser(description="Time a training step with a monitor and without.")
    parser.add_argument("--activation", default="relu", choices=common.choices(), metavar="NAME", help="default: relu")
    parser.add_argument("--batch", type=int, default=32, help="default: 32")
    parser.add_argument("--hidden", type=int, nargs="+", default=SIZES[1:-1], help="default: 128 64")
    parser.add_argument("--rounds", type=int, default=100, help="of 16 steps of each setting, default: 100")
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    network = common.perceptron((SIZES[0], *options.hidden, SIZES[-1]), options.activation, rng)
    batch = next(common.digits(rng)[0].batches(options.batch, rng))
    monitors = {0: None, **{every: Monitor(every=every) for every in EVERY}}
    times: dict[int, list[float]] = {every: [] for every in monitors}
    for _ in range(options.rounds):
        for every, network.watch in monitors.items():
            # A new optimizer: on one batch again and again, Adam's means of zero gradients become slow subnormals.
            optimizer = common.Adam(network.layers, rate=1e-6)
            # So many steps that each round of a setting has its share of batches that are looked at.
            start = time.perf_counter()
            for _ in range(EVERY[-1]):
                common.step(network, optimizer, batch)
            times[every].append((time.perf_counter() - start) / EVERY[-1])
    base = min(times[0])
    print(f"a step without a monitor: {base * 1e6:.0f} µs")
    for every in filter(None, monitors):
        cost = min(times[every]) - base
        print(f"Monitor(every={every:<2}): {cost * 1e6:5.1f} µs more, {cost / base:.1%}")


if __name__ == "__main__":
    main()
