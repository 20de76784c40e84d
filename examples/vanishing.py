"""Vanishing gradients: ten hidden layers, four activations, weights as they were before 2010 and with the right gain.

    python examples/vanishing.py --plot docs/images/vanishing.png

With weights uniform in +-1/sqrt(inputs), as was usual, every layer passes on a smaller gradient than it gets. With the
activation's gain (He et al. 2015, `halfwave.init.gain`) that ends, except for the sigmoid, whose derivative is 1/4 at
most: no weights help a signal and a gradient that shrink alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import common
import numpy as np
from halfwave.monitor import Monitor

ACTIVATIONS = ("sigmoid", "tanh", "relu", "silu")
OLD_GAIN = 3**-0.5  # the variance of a uniform distribution in +-1 is 1/3


class Run(NamedTuple):
    """What came of one training: the mean gradient norm of each layer in the first epoch, accuracy after each epoch."""

    norms: list[float]
    accuracies: list[float]


def train(activation: str, hidden_gain: float | None, depth: int, epochs: int, quiet: bool) -> Run:
    """Train one network, and watch its first epoch."""
    rng = np.random.default_rng(0)
    seen, held_out = common.digits(rng)
    network = common.perceptron((64, *[64] * depth, 10), activation, rng, hidden_gain)
    optimizer = common.GradientDescent(network.layers, rate=0.02)
    watch = network.watch = Monitor()
    accuracies = []
    for _ in common.training(network, optimizer, seen, epochs, rng, quiet=quiet, title=activation):
        network.watch = None
        accuracies.append(network.accuracy(held_out))
    return Run([layer.gradient.mean for layer in watch.layers.values()], accuracies)


def draw(old: dict[str, Run], new: dict[str, Run], file: str) -> None:
    """Draw gradient norms layer by layer, and what was learned."""
    with common.picture(file, 11, 3.7) as figure:
        before, after, learned = figure.subplots(1, 3)
        before.sharey(after)
        for ax, runs in ((before, old), (after, new)):
            for k, (name, run) in enumerate(runs.items()):
                layers = np.arange(1, len(run.norms) + 1)
                ax.semilogy(layers, run.norms, "o", linestyle=common.DASHES[k], color=common.COLOURS[k], label=name)
            ax.set(xlabel="hidden layer (1 is next to the input)", xticks=layers[::3])
        for k, (name, run) in enumerate(new.items()):
            epochs = np.arange(1, len(run.accuracies) + 1)
            learned.plot(epochs, run.accuracies, linestyle=common.DASHES[k], color=common.COLOURS[k], label=name)
            learned.plot(epochs, old[name].accuracies, linestyle=common.DASHES[k], color=common.COLOURS[k], alpha=0.3)
        before.set(title="Old weights", ylabel="gradient norm, first epoch")
        after.set(title="Weights with gain")
        learned.set(title="Accuracy (faint: old weights)", xlabel="epoch", ylim=(0, 1))
        handles, labels = after.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), handlelength=3)


def main(argv: Sequence[str] | None = None) -> tuple[dict[str, Run], dict[str, Run]]:
    """Train with old and with new weights, print and draw what happened, and return it."""
    parser = common.parser(__doc__, epochs=30)
    parser.add_argument("--depth", type=int, default=10, help="hidden layers, default: 10")
    options = parser.parse_args(argv)
    old, new = (
        {name: train(name, gain, options.depth, options.epochs, options.quiet) for name in ACTIVATIONS}
        for gain in (OLD_GAIN, None)
    )
    print("weights    activation  gradient of layer 1 relative to the last  accuracy")
    for weights, runs in (("old", old), ("with gain", new)):
        for name, run in runs.items():
            print(f"{weights:<11}{name:<12}{run.norms[0] / run.norms[-1]:41.1e}{run.accuracies[-1]:10.1%}")
    if options.plot:
        draw(old, new, options.plot)
    return old, new


if __name__ == "__main__":
    main()
