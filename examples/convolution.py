"""A convolutional network with any activation: two convolutions as matrix products (im2col), a pooling, a linear layer.

python examples/convolution.py --activation hardswish --plot docs/images/convolution.png
"""

from __future__ import annotations

from collections.abc import Sequence

import common
import numpy as np
from halfwave import init
from numpy.lib.stride_tricks import sliding_window_view


class Image:
    """Rows of pixels become (images, height, width, channels), one channel."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.weights: list[common.Array] = []
        self.gradients: list[common.Array] = []

    def forward(self, x: common.Array) -> common.Array:
        """Reshape."""
        return x.reshape(-1, self.side, self.side, 1)

    def backward(self, g: common.Array) -> common.Array:
        """Reshape back."""
        return g.reshape(len(g), -1)


class Convolution:
    """A convolution over images (images, height, width, channels), zero outside: the same height and width come out.

    Each window of the input becomes a row of a matrix (im2col), so that all windows meet all kernels in one product.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, rng: np.random.Generator, gain: float = 1.0) -> None:
        shape = (inputs, kernel, kernel, outputs)
        self.kernel = kernel
        weight = init.he(shape, rng, gain=gain, in_axis=0, out_axis=-1)
        self.weights: list[common.Array] = [weight, np.zeros(outputs, np.float32)]
        self.gradients: list[common.Array] = []

    def forward(self, x: common.Array) -> common.Array:
        """Multiply every window by every kernel."""
        weight, bias = self.weights
        y: common.Array = self._windows(x) @ weight.reshape(-1, weight.shape[-1]) + bias
        self.shape = x.shape
        return y.reshape(*x.shape[:-1], weight.shape[-1])

    def backward(self, g: common.Array) -> common.Array:
        """Backpropagate through the product, and add up what overlapping windows return."""
        weight, (images, height, width, channels), k = self.weights[0], self.shape, self.kernel
        rows = g.reshape(-1, g.shape[-1])
        self.gradients = [(self.columns.T @ rows).reshape(weight.shape), rows.sum(axis=0)]
        windows = (rows @ weight.reshape(-1, weight.shape[-1]).T).reshape(images, height, width, channels, k, k)
        padded = np.zeros((images, height + k - 1, width + k - 1, channels), g.dtype)
        for row in range(k):
            for column in range(k):
                padded[:, row : row + height, column : column + width] += windows[..., row, column]
        edge = k // 2
        return padded[:, edge : edge + height, edge : edge + width]

    def _windows(self, x: common.Array) -> common.Array:
        edge = self.kernel // 2
        padded = np.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
        windows = sliding_window_view(padded, (self.kernel, self.kernel), axis=(1, 2))
        self.columns = np.ascontiguousarray(windows).reshape(-1, x.shape[-1] * self.kernel**2)
        return self.columns


class MeanPool:
    """The mean of every square of 2 by 2 pixels; what comes out is one row per image."""

    def __init__(self) -> None:
        self.weights: list[common.Array] = []
        self.gradients: list[common.Array] = []

    def forward(self, x: common.Array) -> common.Array:
        """Take means."""
        images, height, width, channels = self.shape = x.shape
        means: common.Array = x.reshape(images, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))
        return means.reshape(images, -1)

    def backward(self, g: common.Array) -> common.Array:
        """Give each of the four pixels a fourth."""
        images, height, width, channels = self.shape
        quarter = (g * np.float32(0.25)).reshape(images, height // 2, width // 2, channels)
        return quarter.repeat(2, axis=1).repeat(2, axis=2)


def network(activation: str, rng: np.random.Generator) -> common.Network:
    """Return the network: 8 and 16 kernels of 3 by 3."""
    gain = common.gain(activation)
    return common.Network(
        [
            Image(8),
            Convolution(1, 8, 3, rng),
            common.Activation(activation, 8, "convolution 1"),
            Convolution(8, 16, 3, rng, gain),
            common.Activation(activation, 16, "convolution 2"),
            MeanPool(),
            common.Linear(4 * 4 * 16, 10, rng, gain),
        ]
    )


def draw(net: common.Network, digits: common.Digits, accuracies: list[float], activation: str, file: str) -> None:
    """Draw accuracy over time, and what the first convolution makes of a digit."""
    net.forward(digits.images[:1])
    first = next(layer for layer in net.layers if isinstance(layer, common.Activation))
    kernels = net.layers[1].weights[0][0]
    with common.picture(file, 11, 3.9) as figure:
        left, right = figure.subfigures(1, 2, width_ratios=(1, 2.4))
        ax = left.subplots()
        ax.plot(np.arange(1, len(accuracies) + 1), accuracies, "o-", color=common.COLOURS[0], markersize=3)
        ax.set(title=f"Accuracy, {activation}", xlabel="epoch", ylim=(min(0.8, *accuracies), 1.005))
        ax.locator_params(axis="x", integer=True)
        right.suptitle("First convolution: positive red, negative blue")
        panels = right.subplots(3, 9)
        for row, images in enumerate((kernels, first.x[0], first.y[0])):
            largest = np.abs(images).max()
            for panel, image in zip(panels[row, 1:], np.moveaxis(images, -1, 0), strict=True):
                panel.imshow(image, cmap="RdBu_r", vmin=-largest, vmax=largest)
        panels[1, 0].imshow(digits.images[0].reshape(8, 8), cmap="gray_r")
        for row, label in ((0, "kernels"), (1, "a digit and\nits outputs"), (2, f"behind\n{activation}")):
            y = 0.5 if row != 1 else 1.25
            panels[row, 0].text(0.5, y, label, ha="center", va="center", transform=panels[row, 0].transAxes)
        for panel in panels.ravel():
            panel.set_axis_off()


def main(argv: Sequence[str] | None = None) -> float:
    """Train, print and draw what happened, and return the accuracy on digits that were held out."""
    parser = common.parser(__doc__, epochs=15)
    parser.add_argument("--activation", default="relu", choices=common.choices(), metavar="NAME", help="default: relu")
    options = parser.parse_args(argv)
    rng = np.random.default_rng(0)
    seen, held_out = common.digits(rng)
    net = network(options.activation, rng)
    optimizer = common.Adam(net.layers, rate=0.003)
    losses = common.training(net, optimizer, seen, options.epochs, rng, quiet=options.quiet, title=options.activation)
    accuracies = [net.accuracy(held_out) for _ in losses]
    print(f"{options.activation}: {accuracies[-1]:.2%} of {len(held_out.labels)} held-out digits read correctly")
    if options.plot:
        draw(net, held_out, accuracies, options.activation, options.plot)
    return accuracies[-1]


if __name__ == "__main__":
    main()
