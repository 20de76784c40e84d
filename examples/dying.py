"""Dying ReLU: too high a rate or negative biases push units where they never fire, and what brings them back.

    python examples/dying.py --plot docs/images/dying.png

A unit that is off for every input gets no gradient, and stays so. Leaky ReLU, PReLU with a learned slope and ELU let a
gradient through on that side: their units live, and come back, the sooner the steeper they are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import common
import numpy as np
from halfwave.monitor import Monitor

ACTIVATIONS = ("relu", "leaky_relu", "prelu", "elu")
RATE = 0.05  # one that does no harm, with momentum 0.9


class Run(NamedTuple):
    """After each epoch, the first before any: the share of units alive, of those positive on some image, accuracy."""

    alive: list[float]
    positive: list[float]
    accuracies: list[float]


def state(network: common.Network, digits: common.Digits) -> tuple[float, float]:
    """Return the share of hidden units that are alive, and that of units which are positive on some image."""
    network.watch = watch = Monitor()
    network.forward(digits.images)
    network.watch = None
    hidden = [layer for layer in network.layers if isinstance(layer, common.Activation)]
    return (
        float(np.mean(np.concatenate([~seen.dead for seen in watch.layers.values()]))),
        float(np.mean(np.concatenate([(layer.x > 0).any(axis=0) for layer in hidden]))),
    )


def train(activation: str, rate: float, bias: float, epochs: int, quiet: bool) -> Run:
    """Train one network, and count after every epoch."""
    rng = np.random.default_rng(0)
    seen, held_out = common.digits(rng)
    network = common.perceptron((64, 128, 128, 10), activation, rng)
    for layer in network.layers[:-1]:
        if isinstance(layer, common.Linear):
            layer.weights[1] += np.float32(bias)
    optimizer = common.GradientDescent(network.layers, rate)
    states, accuracies = [state(network, seen)], [network.accuracy(held_out)]
    for _ in common.training(network, optimizer, seen, epochs, rng, quiet=quiet, title=activation):
        states.append(state(network, seen))
        accuracies.append(network.accuracy(held_out))
    alive, positive = zip(*states, strict=True)
    return Run(list(alive), list(positive), accuracies)


def draw(fast: dict[str, Run], biased: dict[str, Run], file: str) -> None:
    """Draw units and accuracy over time."""
    panels = (
        ("Rate too high: units alive", fast, "alive"),
        ("Biases too low: units ever positive", biased, "positive"),
        ("Biases too low: accuracy", biased, "accuracies"),
    )
    with common.picture(file, 11, 3.7) as figure:
        for ax, (title, runs, field) in zip(figure.subplots(1, 3, sharey=True), panels, strict=True):
            for k, (name, run) in enumerate(runs.items()):
                ax.plot(getattr(run, field), linestyle=common.DASHES[k], color=common.COLOURS[k], label=name, lw=2)
            ax.set(title=title, xlabel="epoch", ylim=(0, 1.03))
        handles, labels = ax.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), handlelength=3)


def main(argv: Sequence[str] | None = None) -> tuple[dict[str, Run], dict[str, Run]]:
    """Train with each activation, with too high a rate and with too low biases, and print, draw and return the runs."""
    parser = common.parser(__doc__, epochs=30)
    parser.add_argument("--rate", type=float, default=0.13, help="the rate that is too high, default: 0.13")
    parser.add_argument("--bias", type=float, default=-1.0, help="the biases that are too low, default: -1")
    options = parser.parse_args(argv)
    fast, biased = (
        {name: train(name, rate, bias, options.epochs, options.quiet) for name in ACTIVATIONS}
        for rate, bias in ((options.rate, 0.0), (RATE, options.bias))
    )
    for title, runs in ((f"rate {options.rate}", fast), (f"biases {options.bias}", biased)):
        print(f"{title:<12}  alive: start, end  ever positive: start, end  accuracy")
        for name, run in runs.items():
            shares = (run.alive[0], run.alive[-1], run.positive[0], run.positive[-1], run.accuracies[-1])
            print(f"  {name:<12}{{:12.0%}}{{:6.0%}}{{:20.0%}}{{:6.0%}}{{:10.1%}}".format(*shares))
    if options.plot:
        draw(fast, biased, options.plot)
    return fast, biased


if __name__ == "__main__":
    main()
