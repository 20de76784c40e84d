"""Train a small network to read handwritten digits, every activation forward and backward through halfwave.

    python examples/digits.py
    python examples/digits.py --activation prelu --epochs 50

The network is 64-128-64-10 in float32, trained with Adam on the 8 by 8 digits that come with scikit-learn. Repeated
runs print the same numbers.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Protocol

import halfwave as hw
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from tqdm import tqdm

Array = NDArray[np.float32]

SIZES = (64, 128, 64, 10)
BATCH = 32
LEARNED = {"prelu": 0.25}  # parameters without a default: their first value, one per unit, learned from there


class Layer(Protocol):
    """What the network asks of a layer. `weights` are updated in place, `gradients` matches them one to one."""

    weights: list[Array]
    gradients: list[Array]

    def forward(self, x: Array) -> Array:
        """Compute the output and keep what the backward pass needs."""

    def backward(self, g: Array) -> Array:
        """From the gradient of the loss in the output, compute those in the weights and return that in the input."""


class Linear:
    """A matrix and a bias, with He's initial values: normal with variance 2 / inputs, so that no signal dies out."""

    def __init__(self, inputs: int, outputs: int, rng: np.random.Generator) -> None:
        scale = np.float32(np.sqrt(2 / inputs))
        matrix = rng.standard_normal((inputs, outputs), dtype=np.float32) * scale
        self.weights: list[Array] = [matrix, np.zeros(outputs, np.float32)]
        self.gradients: list[Array] = []

    def forward(self, x: Array) -> Array:
        """Return x @ matrix + bias."""
        self.x = x
        matrix, bias = self.weights
        return x @ matrix + bias

    def backward(self, g: Array) -> Array:
        """Backpropagate through the product."""
        self.gradients = [self.x.T @ g, g.sum(axis=0)]
        return g @ self.weights[0].T


class Activation:
    """Any function of halfwave with one operand: `act.backward` is all that there is to know of its derivative."""

    def __init__(self, name: str, units: int) -> None:
        self.function = hw.functions()[name]
        self.weights: list[Array] = [np.full(units, LEARNED[name], np.float32)] if name in LEARNED else []
        self.gradients: list[Array] = []

    def forward(self, x: Array) -> Array:
        """Apply the function; learned parameters broadcast along the batch."""
        self.x = x
        y: Array = self.function(x, *self.weights)
        return y

    def backward(self, g: Array) -> Array:
        """Backpropagate, and sum the parameters' gradients over the batch."""
        if self.weights:
            assert self.function.parameter_backward is not None
            self.gradients = list(self.function.parameter_backward(g, self.x, *self.weights))
        dx: Array = self.function.backward(g, self.x, *self.weights)
        return dx


class Network:
    """Linear layers with an activation between them."""

    def __init__(self, activation: str, rng: np.random.Generator) -> None:
        self.layers: list[Layer] = []
        for inputs, outputs in pairwise(SIZES[:-1]):
            self.layers += [Linear(inputs, outputs, rng), Activation(activation, outputs)]
        self.layers.append(Linear(*SIZES[-2:], rng))

    def forward(self, x: Array) -> Array:
        """Return the scores of the ten digits."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, g: Array) -> None:
        """Compute the gradients in all weights."""
        for layer in reversed(self.layers):
            g = layer.backward(g)

    def accuracy(self, x: Array, labels: NDArray[np.int64]) -> float:
        """Return the share of inputs whose highest score is their label's."""
        return float(np.mean(self.forward(x).argmax(axis=1) == labels))


class Adam:
    """Adam with its usual constants."""

    def __init__(self, layers: Sequence[Layer], rate: float) -> None:
        self.layers = layers
        self.rate = rate
        self.steps = 0
        self.moments = [(np.zeros_like(w), np.zeros_like(w)) for layer in layers for w in layer.weights]

    def step(self) -> None:
        """Move every weight against its gradient."""
        self.steps += 1
        rate = self.rate * np.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        pairs = [pair for layer in self.layers for pair in zip(layer.weights, layer.gradients, strict=True)]
        for (weight, gradient), (mean, square) in zip(pairs, self.moments, strict=True):
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient * gradient - square)
            weight -= np.float32(rate) * mean / (np.sqrt(square) + 1e-8)


def cross_entropy(scores: Array, labels: NDArray[np.int64]) -> tuple[float, Array]:
    """Return the mean loss of the softmax of the scores, and its gradient in the scores."""
    rows = np.arange(len(labels))
    shifted = scores - scores.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    totals = exponentials.sum(axis=1, keepdims=True)
    loss = float(np.mean(np.log(totals[:, 0]) - shifted[rows, labels]))
    gradient = exponentials / totals
    gradient[rows, labels] -= 1
    return loss, gradient / np.float32(len(labels))


def batches(count: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield the indices of one epoch's batches."""
    order = rng.permutation(count)
    for start in range(0, count, BATCH):
        yield order[start : start + BATCH]


def choices() -> list[str]:
    """Return the activations that need nothing but x, and those whose parameters are learned here."""
    return [
        name
        for name, function in hw.functions().items()
        if function.backward_gate is None
        and (name in LEARNED or all(p.default is not None for p in function.parameters))
    ]


def main(argv: Sequence[str] | None = None) -> float:
    """Train, print the accuracy on digits that were held out, and return it."""
    parser = argparse.ArgumentParser(description="Train a small network to read handwritten digits.")
    parser.add_argument("--activation", default="silu", choices=choices(), metavar="NAME", help="default: silu")
    parser.add_argument("--epochs", type=int, default=30, help="default: 30")
    parser.add_argument("--quiet", action="store_true", help="print the final accuracy only")
    options = parser.parse_args(argv)

    rng = np.random.default_rng(0)
    images, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(labels))
    images, labels = (images[order] / 16).astype(np.float32), labels[order]
    held_out = len(labels) // 5
    train_x, train_labels = images[held_out:], labels[held_out:]
    test_x, test_labels = images[:held_out], labels[:held_out]

    network = Network(options.activation, rng)
    optimizer = Adam(network.layers, rate=0.001)
    with tqdm(range(options.epochs), unit="epoch", disable=options.quiet or None) as progress:
        for epoch in progress:
            losses = []
            for batch in batches(len(train_labels), rng):
                loss, gradient = cross_entropy(network.forward(train_x[batch]), train_labels[batch])
                network.backward(gradient)
                optimizer.step()
                losses.append(loss)
            if not options.quiet:
                accuracy = network.accuracy(train_x, train_labels)
                progress.write(f"epoch {epoch + 1:3d}  loss {np.mean(losses):.4f}  accuracy {accuracy:.2%}")

    accuracy = network.accuracy(test_x, test_labels)
    print(f"{options.activation}: {accuracy:.2%} of {held_out} held-out digits read correctly")
    return accuracy


if __name__ == "__main__":
    main()
