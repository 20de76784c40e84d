"""What watching costs: a training step of the network of examples/digits.py, with a monitor and without.

    python benchmarks/monitor.py

Steps with and without take turns; the medians are compared.
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


def main() -> None:
    """Print the cost of each setting, as a share of a step's time."""
    parser = argparse.ArgumentParser(description="Time a training step with a monitor and without.")
    parser.add_argument("--activation", default="relu", choices=common.choices(), metavar="NAME", help="default: relu")
    parser.add_argument("--batch", type=int, default=32, help="default: 32")
    parser.add_argument("--hidden", type=int, nargs="+", default=SIZES[1:-1], help="default: 128 64")
    parser.add_argument("--rounds", type=int, default=300, help="steps of each setting, default: 300")
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    network = common.perceptron((SIZES[0], *options.hidden, SIZES[-1]), options.activation, rng)
    optimizer = common.Adam(network.layers, rate=1e-6)
    batch = next(common.digits(rng)[0].batches(options.batch, rng))
    monitors = {0: None, **{every: Monitor(every=every) for every in (1, 2, 4, 8)}}
    times: dict[int, list[float]] = {every: [] for every in monitors}
    for _ in range(options.rounds):
        for every, network.watch in monitors.items():
            # Eight steps, so that each round of a setting has its share of batches that are looked at.
            start = time.perf_counter()
            for _ in range(8):
                common.step(network, optimizer, batch)
            times[every].append((time.perf_counter() - start) / 8)
    base = float(np.median(times[0]))
    print(f"a step without a monitor: {base * 1e6:.0f} µs")
    for every in filter(None, monitors):
        cost = float(np.median(np.array(times[every]) - times[0]))
        print(f"Monitor(every={every}): {cost * 1e6:5.1f} µs more, {cost / base:.1%}")


if __name__ == "__main__":
    main()
