"""Train a small network to read handwritten digits, every activation forward and backward through halfwave.

    python examples/digits.py
    python examples/digits.py --activation prelu --epochs 50

The network is 64-128-64-10 in float32, trained with Adam on the 8 by 8 digits that come with scikit-learn; its layers
are in common.py. Repeated runs print the same numbers. `--watch` prints what a monitor saw in the last epoch.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import common
import numpy as np
from halfwave.monitor import Monitor
from tqdm import tqdm

SIZES = (64, 128, 64, 10)


def main(argv: Sequence[str] | None = None) -> float:
    """Train, print the accuracy on digits that were held out, and return it."""
    parser = argparse.ArgumentParser(description="Train a small network to read handwritten digits.")
    parser.add_argument("--activation", default="silu", choices=common.choices(), metavar="NAME", help="default: silu")
    parser.add_argument("--epochs", type=int, default=30, help="default: 30")
    parser.add_argument("--watch", action="store_true", help="print what a monitor of the hidden layers saw")
    parser.add_argument("--plot", metavar="FILE", help="draw what it saw, to a .png, .svg or .pdf file")
    parser.add_argument("--quiet", action="store_true", help="print the final accuracy only")
    options = parser.parse_args(argv)

    rng = np.random.default_rng(0)
    seen, held_out = common.digits(rng)
    network = common.perceptron(SIZES, options.activation, rng)
    optimizer = common.Adam(network.layers, rate=0.001)
    network.watch = Monitor() if options.watch or options.plot else None
    losses = common.training(network, optimizer, seen, options.epochs, rng, quiet=options.quiet)
    for epoch, loss in enumerate(losses, 1):
        if not options.quiet:
            tqdm.write(f"epoch {epoch:3d}  loss {loss:.4f}  accuracy {network.accuracy(seen):.2%}")
        if network.watch and epoch < options.epochs:
            network.watch = Monitor()
    if network.watch and options.watch:
        print(network.watch.report())
    if network.watch and options.plot:
        network.watch.plot(options.plot)

    accuracy = network.accuracy(held_out)
    print(f"{options.activation}: {accuracy:.2%} of {len(held_out.labels)} held-out digits read correctly")
    return accuracy


if __name__ == "__main__":
    main()
