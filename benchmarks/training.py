"""A step of training: forward, backward and update of a small network, in halfwave with NumPy, NumPy alone and PyTorch.

The network is that of the digits, 64-256-256-10, on batches of 128. All three start from the same weights and see the
same batch; the matrix products are NumPy's in two of them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .cells import Cell
from .data import NUMPY_NAMES
from .formulas import FORMULAS, Unsupported
from .peers import Call

Array = NDArray[np.float32]

SIZES = (64, 256, 256, 10)
RATE = np.float32(0.01)


class Activation(Protocol):
    """A function and its derivative times g."""

    def forward(self, x: Array) -> Array:
        """Return the function of x."""

    def backward(self, g: Array, x: Array) -> Array:
        """Return g times the derivative at x."""


class Ours:
    """An activation of halfwave."""

    def __init__(self, name: str) -> None:
        import halfwave as hw

        function: Any = hw.functions()[name]
        self.forward: Callable[[Array], Array] = function
        self.backward: Callable[[Array, Array], Array] = function.backward


class Composed:
    """The same in NumPy."""

    def __init__(self, name: str) -> None:
        formula = FORMULAS["gelu_tanh" if name == "gelu" else name]  # NumPy has no erf; what one writes instead
        self.forward: Callable[[Array], Array] = eval(f"lambda x: {formula.forward}", NUMPY_NAMES)
        self.backward: Callable[[Array, Array], Array] = eval(f"lambda g, x: g * ({formula.derivative})", NUMPY_NAMES)


def batch(size: int) -> tuple[list[Array], list[Array], Array, NDArray[np.int64]]:
    """Return matrices, biases, images and labels."""
    rng = np.random.default_rng(0)
    matrices = [rng.standard_normal((m, n), dtype=np.float32) * np.float32(np.sqrt(2 / m)) for m, n in pairwise(SIZES)]
    biases = [np.zeros(n, np.float32) for n in SIZES[1:]]
    return matrices, biases, rng.random((size, SIZES[0]), dtype=np.float32), rng.integers(0, SIZES[-1], size)


def numpy_step(activation: Activation, size: int) -> Callable[[], Array]:
    """Return the step in NumPy, which returns the loss."""
    matrices, biases, images, labels = batch(size)
    rows = np.arange(size)

    def step() -> Array:
        x, inputs, sums = images, [], []
        for matrix, bias in zip(matrices, biases, strict=True):
            inputs.append(x)
            sums.append(x @ matrix + bias)
            x = activation.forward(sums[-1]) if matrix is not matrices[-1] else sums[-1]
        e = np.exp(x - x.max(axis=1, keepdims=True))
        g = e / e.sum(axis=1, keepdims=True)
        loss: Array = -np.log(g[rows, labels]).mean()
        g[rows, labels] -= 1
        g /= np.float32(size)
        for k in reversed(range(len(matrices))):
            if k < len(matrices) - 1:
                g = activation.backward(g, sums[k])
            dm, db = inputs[k].T @ g, g.sum(axis=0)
            g = g @ matrices[k].T if k else g
            matrices[k] -= RATE * dm
            biases[k] -= RATE * db
        return loss

    return step


def torch_step(torch: Any, name: str, size: int) -> Callable[[], Any]:
    """Return the step in PyTorch as one writes it: modules, autograd, SGD."""
    matrices, biases, images, labels = batch(size)
    nn = torch.nn
    layers: list[Any] = []
    for matrix, bias in zip(matrices, biases, strict=True):
        linear = nn.Linear(*matrix.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(matrix.T.copy()))
            linear.bias.copy_(torch.from_numpy(bias))
        layers += [linear, {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU}[name]()]
    network = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(network.parameters(), lr=float(RATE))
    x, target = torch.from_numpy(images), torch.from_numpy(labels)

    def step() -> Any:
        with torch.enable_grad():
            loss = nn.functional.cross_entropy(network(x), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.detach()

    return step


def training_call(peer: Any, cell: Cell) -> Call:
    """Return the step of a library."""
    name = cell.function.removeprefix("train_")
    if peer.name == "torch":
        return Call("step()", {"step": torch_step(peer.library, name, cell.size)})
    if peer.name not in ("halfwave", "numpy"):
        raise Unsupported("no training step written for it")
    activation = Ours(name) if peer.name == "halfwave" else Composed(name)
    return Call("step()", {"step": numpy_step(activation, cell.size)})
