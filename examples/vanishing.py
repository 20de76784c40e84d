"""Vanishing and exploding gradients: ten hidden layers, four activations, and weights from too small to too large.

    python examples/vanishing.py --plot docs/images/vanishing.png

With weights uniform in +-1/sqrt(inputs), as was usual before 2010, every layer passes on a smaller gradient than it
gets. With the activation's gain (He et al. 2015, `halfwave.init.gain`) that ends, except for the sigmoid, whose
derivative is 1/4 at most: it would need weights four times as large, with which gradients explode behind the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import common
import numpy as np
from halfwave.monitor import Monitor

ACTIVATIONS = ("sigmoid", "tanh", "relu", "silu")
OLD_GAIN = 3**-0.5  # the variance of a uniform distribution in +-1 is 1/3
TOO_MUCH = 4.0


def norms(activation: str, hidden_gain: float, depth: int) -> Monitor:
    """Watch one pass of all digits through a network that has learned nothing yet."""
    rng = np.random.default_rng(0)
    seen, _ = common.digits(rng)
    network = common.perceptron((64, *[64] * depth, 10), activation, rng, hidden_gain)
    network.watch = watch = Monitor()
    network.backward(common.cross_entropy(network.forward(seen.images), seen.labels)[1])
    return watch


def train(activation: str, hidden_gain: float, depth: int, epochs: int, quiet: bool) -> list[float]:
    """Train a network, and return the accuracy after each epoch."""
    rng = np.random.default_rng(0)
    seen, held_out = common.digits(rng)
    network = common.perceptron((64, *[64] * depth, 10), activation, rng, hidden_gain)
    optimizer = common.GradientDescent(network.layers, rate=0.02)
    losses = common.training(network, optimizer, seen, epochs, rng, quiet=quiet, title=activation)
    return [network.accuracy(held_out) for _ in losses]


class Result(NamedTuple):
    """By activation: what the monitor saw at the start, and the accuracy after each epoch if it was trained."""

    watched: dict[str, Monitor]
    accuracies: dict[str, list[float]]


def draw(results: dict[str, Result], file: str) -> None:
    """Draw gradient norms layer by layer, and what was learned."""
    with common.picture(file, 13, 3.8) as figure:
        *panels, learned = figure.subplots(1, 4)
        for ax, (title, result) in zip(panels, results.items(), strict=True):
            ax.sharey(panels[0])
            for k, (name, watch) in enumerate(result.watched.items()):
                sizes = [layer.gradient.mean for layer in watch.layers.values()]
                layers = np.arange(1, len(sizes) + 1)
                style = {"linestyle": common.DASHES[k], "color": common.COLOURS[k]}
                ax.semilogy(layers, sizes, "o", markersize=4, label=name, **style)
                if result.accuracies:
                    epochs = np.arange(1, len(result.accuracies[name]) + 1)
                    learned.plot(epochs, result.accuracies[name], alpha=0.3 if title == "old" else 1, **style)
            ax.set(title=f"Gradients, {title} weights", xlabel="hidden layer (1: at the input)", xticks=layers[::3])
        panels[0].set_ylabel("gradient norm at the start")
        learned.set(title="Accuracy (faint: old weights)", xlabel="epoch", ylim=(0, 1.01))
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), handlelength=3)


def main(argv: Sequence[str] | None = None) -> dict[str, Result]:
    """Compare the weights, train with those that are not too large, print, draw and return what happened."""
    parser = common.parser(__doc__, epochs=30)
    parser.add_argument("--depth", type=int, default=10, help="hidden layers, default: 10")
    options = parser.parse_args(argv)
    right = {name: common.gain(name) for name in ACTIVATIONS}
    results = {}
    for weights, gains in (
        ("old", dict.fromkeys(ACTIVATIONS, OLD_GAIN)),
        ("scaled", right),
        ("too large", {name: TOO_MUCH * gain for name, gain in right.items()}),
    ):
        watched = {name: norms(name, gain, options.depth) for name, gain in gains.items()}
        learned = {
            name: train(name, gain, options.depth, options.epochs, options.quiet)
            for name, gain in gains.items()
            if weights != "too large"
        }
        results[weights] = Result(watched, learned)
    print("weights    activation  gradient of layer 1 / last  what the monitor says  accuracy")
    for weights, result in results.items():
        for name, watch in result.watched.items():
            flags = ", ".join(flag for flag in watch.flags("hidden 1") if flag != "dead units")
            accuracy = f"{result.accuracies[name][-1]:.1%}" if result.accuracies else ""
            print(f"{weights:<11}{name:<12}{watch.ratio('hidden 1'):26.1e}{flags:>23}{accuracy:>10}")
    if options.plot:
        draw(results, options.plot)
    return results


if __name__ == "__main__":
    main()
