"""Sparse activations: how many outputs are exactly 0 while a network learns, and what that saves.

    python examples/sparsity.py --plot docs/images/sparsity.png

All that ReLU's backward pass needs of its input is one bit per element: whether it was positive. The last network keeps
nothing else, and ends with the same weights, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import common
import halfwave as hw
import numpy as np
from halfwave.monitor import Monitor

ACTIVATIONS = ("relu", "squared_relu", "softshrink", "leaky_relu", "silu")
SIZES = (64, 256, 256, 10)


class MaskedRelu(common.Activation):
    """ReLU that keeps a bit per element between the passes, where the input would take 32."""

    def __init__(self, units: int, label: str) -> None:
        super().__init__("relu", units, label)

    def forward(self, x: common.Array) -> common.Array:
        """Apply ReLU, and pack what was positive."""
        y, self.mask = hw.relu_with_mask(x)
        return y

    def backward(self, g: common.Array) -> common.Array:
        """Let the gradient through where the bit is set."""
        return hw.relu_backward_from_mask(g, self.mask)


class Run(NamedTuple):
    """Each hidden layer's sparsity in each epoch, the final accuracy, and the final weights."""

    sparsity: list[list[float]]
    accuracy: float
    weights: list[common.Array]


def train(activation: str, epochs: int, quiet: bool, masked: bool = False) -> Run:
    """Train one network."""
    rng = np.random.default_rng(0)
    seen, held_out = common.digits(rng)
    network = common.perceptron(SIZES, activation, rng)
    if masked:
        network.layers = [
            MaskedRelu(SIZES[1], layer.label) if isinstance(layer, common.Activation) else layer
            for layer in network.layers
        ]
    optimizer = common.Adam(network.layers, rate=0.001)
    sparsity = []
    watch = network.watch = None if masked else Monitor()
    title = activation + (", masked" if masked else "")
    for _ in common.training(network, optimizer, seen, epochs, rng, quiet=quiet, title=title):
        if watch:
            sparsity.append([layer.sparsity for layer in watch.layers.values()])
            watch = network.watch = Monitor()
    weights = [weight for layer in network.layers for weight in layer.weights]
    return Run(sparsity, network.accuracy(held_out), weights)


def kept_bytes(batch: int) -> dict[str, int]:
    """Return what the activations of one batch take until the backward pass, kept in several ways."""
    elements = batch * sum(SIZES[1:-1])
    return {"input, float32": 4 * elements, "input, float16": 2 * elements, "mask, 1 bit": -(-elements // 8)}


def draw(runs: dict[str, Run], batch: int, file: str) -> None:
    """Draw sparsity over time, and memory."""
    with common.picture(file, 10, 3.7) as figure:
        zeros, memory = figure.subplots(1, 2, width_ratios=(2, 1))
        for k, (name, run) in enumerate(runs.items()):
            epochs = np.arange(1, len(run.sparsity) + 1)
            for layer, (shares, width) in enumerate(zip(zip(*run.sparsity, strict=True), (2.4, 1.2), strict=True)):
                label = f"{name}, {run.accuracy:.1%}" if layer == 0 else None
                style = {"linestyle": common.DASHES[k], "color": common.COLOURS[k]}
                zeros.plot(epochs, shares, linewidth=width, label=label, **style)
        zeros.set(
            title="Outputs that are exactly 0 (thin: second layer)", xlabel="epoch", ylim=(-0.02, 0.8), ylabel="share"
        )
        zeros.legend(loc="upper left", bbox_to_anchor=(1, 1), handlelength=3, title="accuracy at the end")
        kept = kept_bytes(batch)
        bars = memory.bar(range(len(kept)), [n / 1024 for n in kept.values()], color=common.COLOURS[0], width=0.6)
        memory.bar_label(bars, fmt="{:.0f} KiB", padding=2)
        memory.set_xticks(range(len(kept)), [name.replace(", ", "\n") for name in kept])
        memory.set(title="Kept for backward", ylabel=f"KiB, batch of {batch}", ylim=(0, 72))
        memory.grid(visible=False, axis="x")


def main(argv: Sequence[str] | None = None) -> tuple[dict[str, Run], Run]:
    """Train with each activation and with the mask, print and draw what happened, and return it."""
    options = common.parser(__doc__, epochs=30).parse_args(argv)
    runs = {name: train(name, options.epochs, options.quiet) for name in ACTIVATIONS}
    masked = train("relu", options.epochs, options.quiet, masked=True)
    print("activation    zeros in the first epoch  in the last  accuracy")
    for name, run in runs.items():
        print(f"{name:<14}{np.mean(run.sparsity[0]):24.1%}{np.mean(run.sparsity[-1]):13.1%}{run.accuracy:10.1%}")
    same = all(np.array_equal(a, b) for a, b in zip(runs["relu"].weights, masked.weights, strict=True))
    print(f"from the mask: {'the same weights' if same else 'OTHER weights'} as from the input")
    for name, count in kept_bytes(batch=32).items():
        print(f"kept as {name}: {count} bytes per batch")
    if options.plot:
        draw(runs, 32, options.plot)
    return runs, masked


if __name__ == "__main__":
    main()
