"""What the examples share: layers written over `act` and `act.backward`, optimizers, batches and the digits."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import halfwave as hw
import numpy as np
from halfwave import _picture, init
from halfwave.monitor import Monitor
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from tqdm import tqdm

Array = NDArray[np.float32]
Labels = NDArray[np.int64]

LEARNED = {"prelu": 0.25}  # parameters without a default: their first value, one per unit, learned from there


class Layer(Protocol):
    """What a network asks of a layer. `weights` are updated in place, `gradients` matches them one to one."""

    weights: list[Array]
    gradients: list[Array]

    def forward(self, x: Array) -> Array:
        """Compute the output and keep what the backward pass needs."""

    def backward(self, g: Array) -> Array:
        """From the gradient of the loss in the output, compute those in the weights and return that in the input."""


class Linear:
    """A matrix and a bias, with He's initial weights; `gain` makes up for the activation whose output comes in."""

    def __init__(self, inputs: int, outputs: int, rng: np.random.Generator, gain: float = 1.0) -> None:
        matrix = init.he((inputs, outputs), rng, gain=gain, out_axis=1, in_axis=0)
        self.weights: list[Array] = [matrix, np.zeros(outputs, np.float32)]
        self.gradients: list[Array] = []

    def forward(self, x: Array) -> Array:
        """Return x @ matrix + bias."""
        self.x = x
        matrix, bias = self.weights
        y: Array = x @ matrix + bias
        return y

    def backward(self, g: Array) -> Array:
        """Backpropagate through the product."""
        self.gradients = [self.x.T @ g, g.sum(axis=0)]
        dx: Array = g @ self.weights[0].T
        return dx


class Activation:
    """Any function of halfwave with one operand: `act.backward` is all that there is to know of its derivative."""

    def __init__(self, name: str, units: int, label: str) -> None:
        self.function = hw.functions()[name]
        self.label = label  # what a monitor calls this layer
        self.weights: list[Array] = [np.full(units, LEARNED[name], np.float32)] if name in LEARNED else []
        self.gradients: list[Array] = []

    def forward(self, x: Array) -> Array:
        """Apply the function; learned parameters broadcast along the batch."""
        self.x = x
        y: Array = self.function(x, *self.weights)
        self.y = y
        return y

    def backward(self, g: Array) -> Array:
        """Backpropagate, and sum the parameters' gradients over the batch."""
        if self.weights:
            assert self.function.parameter_backward is not None
            self.gradients = list(self.function.parameter_backward(g, self.x, *self.weights))
        dx: Array = self.function.backward(g, self.x, *self.weights)
        return dx


class Network:
    """Layers in a row. A monitor that is given as `watch` sees every activation, forward and backward."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = list(layers)
        self.watch: Monitor | None = None

    def forward(self, x: Array) -> Array:
        """Return the last layer's output."""
        for layer in self.layers:
            x = layer.forward(x)
            if self.watch and isinstance(layer, Activation):
                self.watch.forward(layer.label, layer.function, layer.x, layer.y, *layer.weights)
        return x

    def backward(self, g: Array) -> None:
        """Compute the gradients in all weights."""
        for layer in reversed(self.layers):
            g = layer.backward(g)
            if self.watch and isinstance(layer, Activation):
                self.watch.backward(layer.label, g)

    def accuracy(self, digits: Digits) -> float:
        """Return the share of images whose highest score is their label's."""
        watch, self.watch = self.watch, None
        scores = self.forward(digits.images)
        self.watch = watch
        return float(np.mean(scores.argmax(axis=1) == digits.labels))


def gain(activation: str) -> float:
    """Return the gain of an activation as it is before anything is learned."""
    return init.gain(activation, *([LEARNED[activation]] if activation in LEARNED else []))


def perceptron(
    sizes: Sequence[int], activation: str, rng: np.random.Generator, hidden_gain: float | None = None
) -> Network:
    """Return linear layers of these sizes with an activation between them, by whose gain the weights behind it grow."""
    behind = gain(activation) if hidden_gain is None else hidden_gain
    layers: list[Layer] = []
    for depth, (inputs, outputs) in enumerate(pairwise(sizes), 1):
        layers.append(Linear(inputs, outputs, rng, behind if depth > 1 else 1.0))
        if depth < len(sizes) - 1:
            layers.append(Activation(activation, outputs, f"hidden {depth}"))
    return Network(layers)


class Optimizer(Protocol):
    """Moves the weights of layers against their gradients."""

    def step(self) -> None:
        """Move every weight."""


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
        for (weight, gradient), (mean, square) in zip(trained(self.layers), self.moments, strict=True):
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient * gradient - square)
            weight -= np.float32(rate) * mean / (np.sqrt(square) + 1e-8)


class GradientDescent:
    """Stochastic gradient descent with momentum."""

    def __init__(self, layers: Sequence[Layer], rate: float, momentum: float = 0.9) -> None:
        self.layers = layers
        self.rate, self.momentum = np.float32(rate), np.float32(momentum)
        self.velocities = [np.zeros_like(w) for layer in layers for w in layer.weights]

    def step(self) -> None:
        """Move every weight along its velocity."""
        for (weight, gradient), velocity in zip(trained(self.layers), self.velocities, strict=True):
            velocity *= self.momentum
            velocity -= self.rate * gradient
            weight += velocity


def trained(layers: Sequence[Layer]) -> Iterator[tuple[Array, Array]]:
    """Yield every weight with its gradient."""
    for layer in layers:
        yield from zip(layer.weights, layer.gradients, strict=True)


def cross_entropy(scores: Array, labels: Labels) -> tuple[float, Array]:
    """Return the mean loss of the softmax of the scores, and its gradient in the scores."""
    rows = np.arange(len(labels))
    shifted = scores - scores.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    totals = exponentials.sum(axis=1, keepdims=True)
    loss = float(np.mean(np.log(totals[:, 0]) - shifted[rows, labels]))
    gradient = exponentials / totals
    gradient[rows, labels] -= 1
    return loss, gradient / np.float32(len(labels))


@dataclass
class Digits:
    """Images of handwritten digits, 8 by 8 pixels from 0 to 1 in a row, and what they show."""

    images: Array
    labels: Labels

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Digits]:
        """Yield all of them, in batches of a random order."""
        order = rng.permutation(len(self.labels))
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            yield Digits(self.images[chosen], self.labels[chosen])


def digits(rng: np.random.Generator) -> tuple[Digits, Digits]:
    """Return four fifths of the digits that come with scikit-learn, to train with, and the rest, held out."""
    images, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(labels))
    images, labels = (images[order] / 16).astype(np.float32), labels[order]
    held_out = len(labels) // 5
    return Digits(images[held_out:], labels[held_out:]), Digits(images[:held_out], labels[:held_out])


def step(network: Network, optimizer: Optimizer, batch: Digits) -> float:
    """Learn from one batch, and return the loss that it had before."""
    loss, gradient = cross_entropy(network.forward(batch.images), batch.labels)
    network.backward(gradient)
    optimizer.step()
    return loss


def training(
    network: Network,
    optimizer: Optimizer,
    data: Digits,
    epochs: int,
    rng: np.random.Generator,
    *,
    batch: int = 32,
    quiet: bool = False,
    title: str | None = None,
) -> Iterator[float]:
    """Train, and yield the mean loss after every epoch."""
    for _ in tqdm(range(epochs), title, unit="epoch", disable=quiet or None):
        yield float(np.mean([step(network, optimizer, chosen) for chosen in data.batches(batch, rng)]))


def choices() -> list[str]:
    """Return the activations that need nothing but x, and those whose parameters are learned here."""
    return [
        name
        for name, function in hw.functions().items()
        if function.backward_gate is None
        and (name in LEARNED or all(p.default is not None for p in function.parameters))
    ]


# Okabe and Ito's colours, which people with any kind of colour vision can tell apart, and as many kinds of lines.
COLOURS = (_picture.BLUE, _picture.VERMILION, _picture.GREEN, _picture.PURPLE, _picture.ORANGE, _picture.SKY)
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)))


@contextmanager
def picture(file: str, width: float, height: float) -> Iterator[Any]:
    """An empty figure in the style of `python -m halfwave plot`; saved at the end."""
    with _picture.style():
        figure = _picture.figure(width, height)
        yield figure
        _picture.save(figure, file, dots_per_inch=130)
    print(f"wrote {file}")


def parser(description: str | None, epochs: int) -> argparse.ArgumentParser:
    """Return a parser with the options that the examples share."""
    result = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    result.add_argument("--epochs", type=int, default=epochs, help=f"default: {epochs}")
    result.add_argument("--plot", metavar="FILE", help="draw the result, to a .png, .svg or .pdf file")
    result.add_argument("--quiet", action="store_true", help="no progress bars")
    return result
