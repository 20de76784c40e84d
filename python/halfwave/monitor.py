"""Watch a training: which units fire, which are dead or saturated, and how large the gradients are, layer by layer.

    watch = monitor.Monitor()
    watch.forward("hidden", "relu", x, y)  # with each batch; after it watch.backward("hidden", dx)
    print(watch.report())

docs/training.md defines the terms, which hold for every activation:

- A unit *fires* on an example where the activation's derivative is not 0, so that a gradient can pass.
- A unit is *dead* if it has fired on none of the examples seen.
- A unit is *saturated* on an example where the derivative's magnitude is at most 1e-3 (`saturation`).
- The *sparsity* is the share of outputs that are exactly 0.
- A layer's gradient *vanishes* if its norm is below 1e-3 (`vanishing`) of that of the last layer, on the mean of the
  batches, and *explodes* above 1e3 (`exploding`) of it, or where a norm is not finite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from ._names import BoundActivation, resolve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Layer", "Monitor", "Norms"]

Activation = str | np.ufunc | BoundActivation

_COUNTED = (np.dtype(np.float32), np.dtype(np.float64))

# The upstream gradient at which a backward pass gives the derivative.
_ONE = {dtype: np.ones((), dtype) for dtype in map(np.dtype, (np.float16, np.float32, np.float64))}


@dataclass
class Norms:
    """The norms of a layer's gradients, one per batch.

    `count`, `mean`, `least` and `greatest` are those of the finite ones, `not_finite` is the number of the others.
    """

    count: int = 0
    mean: float = 0.0
    least: float = math.inf
    greatest: float = 0.0
    not_finite: int = 0

    def add(self, norm: float) -> None:
        """Count one batch's norm in."""
        if not math.isfinite(norm):
            self.not_finite += 1
            return
        self.count += 1
        self.mean += (norm - self.mean) / self.count
        self.least, self.greatest = min(self.least, norm), max(self.greatest, norm)

    def merge(self, other: Norms) -> None:
        """Count another's batches in."""
        self.count += other.count
        self.mean += (other.mean - self.mean) * other.count / self.count if self.count else 0.0
        self.least, self.greatest = min(self.least, other.least), max(self.greatest, other.greatest)
        self.not_finite += other.not_finite


@dataclass
class Layer:
    """What has been seen of one layer. In a convolution each position of an example counts as an example of its own."""

    activation: str
    units: int
    examples: int = 0
    passed: NDArray[np.int64] = field(init=False, repr=False)  # examples on which each unit fired; was not saturated
    zeros: int = 0
    mean: NDArray[np.float64] = field(init=False, repr=False)
    squares: NDArray[np.float64] = field(init=False, repr=False)  # the sum of squared deviations from the mean
    gradient: Norms = field(default_factory=Norms)

    def __post_init__(self) -> None:
        self.passed = np.zeros((2, self.units), np.int64)
        self.mean, self.squares = np.zeros(self.units), np.zeros(self.units)

    @property
    def firing_rate(self) -> NDArray[np.float64]:
        """Each unit's share of examples on which it fired."""
        rate: NDArray[np.float64] = self.passed[0] / max(self.examples, 1)
        return rate

    @property
    def saturation(self) -> NDArray[np.float64]:
        """Each unit's share of examples on which it was saturated."""
        rate: NDArray[np.float64] = (self.examples - self.passed[1]) / max(self.examples, 1)
        return rate

    @property
    def dead(self) -> NDArray[np.bool_]:
        """Which units have fired on no example; none before there was one."""
        dead: NDArray[np.bool_] = (self.passed[0] == 0) & (self.examples > 0)
        return dead

    @property
    def sparsity(self) -> float:
        """The share of outputs that were exactly 0."""
        return self.zeros / max(self.examples * self.units, 1)

    @property
    def variance(self) -> NDArray[np.float64]:
        """Each unit's variance, that of the examples themselves: divided by their number."""
        return self.squares / max(self.examples, 1)

    def add(self, derivative: NDArray[Any], y: NDArray[Any], saturation: float) -> None:
        """Count a batch in: derivatives and outputs, one row per example."""
        self.zeros += _core.observe(derivative, y, saturation, self.examples, self.passed, self.mean, self.squares)
        self.examples += len(y)

    def merge(self, other: Layer) -> None:
        """Count in what another process has seen of this layer."""
        self.passed += other.passed
        self.zeros += other.zeros
        self._merge_moments(other.examples, other.mean, other.squares)
        self.gradient.merge(other.gradient)

    def _merge_moments(self, count: int, mean: NDArray[Any], squares: NDArray[Any]) -> None:
        """Chan's formula: exact but for rounding, however the examples are split."""
        before, self.examples = self.examples, self.examples + count
        if not count:
            return
        delta = mean - self.mean
        self.mean += delta * (count / self.examples)
        delta *= delta
        self.squares += delta * (before * count / self.examples)
        self.squares += squares


class Monitor:
    """Statistics of the layers of a network, fed batch by batch.

    Parameters
    ----------
    saturation : float, default 1e-3
        The magnitude of the derivative up to which a unit counts as saturated.
    vanishing, exploding : float, default 1e-3 and 1e3
        The mean gradient norm, relative to the last layer's, below and above which a layer is flagged.
    every : int, default 1
        Look at one batch of a layer in so many only, the first included; the others cost next to nothing.

    Attributes
    ----------
    layers : dict of str to Layer
        What has been seen, in the order in which layers were first met.

    Raises
    ------
    ValueError
        If a threshold is negative or NaN, or `every` is not a positive integer.

    Notes
    -----
    A monitor can be pickled, and `merge` counts in another's, so that each process of a parallel training may have its
    own. It holds a few numbers per unit, whatever the number of batches; means and variances are updated by the formula
    of T. F. Chan, G. H. Golub and R. J. LeVeque, Updating formulae and a pairwise algorithm for computing sample
    variances, Stanford 1979. ``python benchmarks/monitor.py`` measures what it costs.
    """

    def __init__(
        self, *, saturation: float = 1e-3, vanishing: float = 1e-3, exploding: float = 1e3, every: int = 1
    ) -> None:
        for name, value in (("saturation", saturation), ("vanishing", vanishing), ("exploding", exploding)):
            if not value >= 0:
                raise ValueError(f"Monitor: {name} must not be negative, got {value}")
        if not isinstance(every, int) or every < 1:
            raise ValueError(f"Monitor: every must be a positive integer, got {every!r}")
        self.saturation, self.vanishing, self.exploding, self.every = saturation, vanishing, exploding, every
        self.layers: dict[str, Layer] = {}
        self._forward_calls: dict[str, int] = {}
        self._backward_calls: dict[str, int] = {}

    def forward(
        self,
        layer: str,
        activation: Activation,
        x: ArrayLike,
        y: ArrayLike | None = None,
        /,
        *parameters: ArrayLike,
        unit_axis: int = -1,
        **named: ArrayLike,
    ) -> None:
        """Count in a batch of a layer's forward pass.

        Parameters
        ----------
        layer : str
            The layer's name.
        activation : str, numpy.ufunc or BoundActivation
            The layer's activation, of one operand.
        x : array_like
            The activation's input, float16, float32 or float64.
        y : array_like, optional
            Its output, in the shape of `x`; computed from `x` if it is None.
        *parameters, **named : array_like
            The activation's parameters, where they are not its defaults; they broadcast against `x`.
        unit_axis : int, default -1
            The axis of the units, of the channels of a convolution. All other axes are examples.

        Raises
        ------
        TypeError
            If `activation` is none, or `x` is not of a supported dtype.
        ValueError
            If `activation` is a gated unit (watch its gate by the activation inside), `x` has no axes, `y` has another
            shape, or the layer had another activation or number of units.
        """
        if self._skipped(self._forward_calls, layer):
            return
        function = resolve(activation, "Monitor.forward")
        if function.backward_gate is not None:
            name = function.__name__
            raise ValueError(f"Monitor.forward: {name} is gated; watch its gate, by the activation inside of it")
        x = np.asarray(x)
        if x.ndim == 0:
            raise ValueError("Monitor.forward: x must have an axis of units, got a number")
        y = np.asarray(function(x, *parameters, **named) if y is None else y)
        if y.shape != x.shape:
            raise ValueError(f"Monitor.forward: y must have the shape of x, {x.shape}, got {y.shape}")
        derivative = function.backward(_ONE.get(x.dtype, 1), x, *parameters, **named)
        derivative, y = _rows(derivative, unit_axis), _rows(y, unit_axis)
        if derivative.dtype != y.dtype:
            derivative, y = derivative.astype(np.float64), y.astype(np.float64)
        self._layer(layer, function.__name__, y.shape[1]).add(derivative, y, self.saturation)

    def backward(self, layer: str, gradient: ArrayLike) -> None:
        """Count in a batch's gradient at a layer, which must have been met in a forward pass.

        Parameters
        ----------
        layer : str
            The layer's name.
        gradient : array_like
            The gradient of the loss in the layer's input, output or weights: the same in every layer, as the norms are
            compared.

        Raises
        ------
        ValueError
            If the layer is not known.
        """
        if layer not in self.layers:
            raise ValueError(f"Monitor.backward: layer {layer!r} has not been met in a forward pass")
        if not self._skipped(self._backward_calls, layer):
            self.layers[layer].gradient.add(_norm(np.asarray(gradient)))

    def merge(self, other: Monitor) -> Monitor:
        """Count in what another monitor has seen, and return this one.

        Raises
        ------
        TypeError
            If `other` is not a Monitor.
        ValueError
            If its `saturation` is another, or a layer of the same name has another activation or number of units.
        """
        if not isinstance(other, Monitor):
            raise TypeError(f"Monitor.merge: other must be a Monitor, got {type(other).__name__}")
        if self.saturation != other.saturation:
            raise ValueError(f"Monitor.merge: saturation must agree, got {self.saturation} and {other.saturation}")
        for name, theirs in other.layers.items():
            self._check(name, theirs.activation, theirs.units)
        for name, theirs in other.layers.items():
            self._layer(name, theirs.activation, theirs.units).merge(theirs)
        return self

    def ratio(self, layer: str) -> float:
        """The mean gradient norm of a layer relative to the last layer's that has one; NaN where there is none."""
        norms = [seen.gradient.mean for seen in self.layers.values() if seen.gradient.count]
        ours = self.layers[layer].gradient
        if not ours.count:
            return math.nan
        return ours.mean / norms[-1] if norms[-1] else math.nan if ours.mean == 0 else math.inf

    def flags(self, layer: str) -> list[str]:
        """What is wrong with a layer, nothing as a rule.

        "dead units"; "vanishing" or "exploding" of its gradients; "not finite" of its outputs.
        """
        seen, ratio = self.layers[layer], self.ratio(layer)
        conditions = {
            "dead units": bool(seen.dead.any()),
            "vanishing": ratio < self.vanishing,
            "exploding": ratio > self.exploding or seen.gradient.not_finite > 0,
            "not finite": not np.isfinite(seen.mean).all(),
        }
        return [name for name, holds in conditions.items() if holds]

    def report(self) -> str:
        """A table for people: one line per layer."""
        header = [
            "layer",
            "activation",
            "units",
            "examples",
            "dead",
            "fires",
            "saturated",
            "zeros",
            "mean",
            "deviation",
        ]
        rows = [[*header, "gradient", "ratio", ""]]
        for name, seen in self.layers.items():
            shares = (seen.firing_rate.mean(), seen.saturation.mean(), seen.sparsity)
            # The deviation of all outputs of the layer: within units, and between them.
            deviation = math.sqrt(seen.variance.mean() + seen.mean.var())
            gradient = [f"{seen.gradient.mean:.2e}", f"{self.ratio(name):.2g}"] if seen.gradient.count else ["", ""]
            rows.append(
                [name, seen.activation, str(seen.units), str(seen.examples), str(seen.dead.sum())]
                + [f"{share:.1%}" for share in shares]
                + [f"{seen.mean.mean():.3g}", f"{deviation:.3g}", *gradient, ", ".join(self.flags(name))]
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        left = (0, 1, len(header) + 2)
        return "\n".join(
            "  ".join(
                cell.ljust(width) if k in left else cell.rjust(width)
                for k, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as numbers, strings, lists and dicts, ready for JSON; each unit's numbers in lists."""
        return {
            "saturation": self.saturation,
            "vanishing": self.vanishing,
            "exploding": self.exploding,
            "layers": {
                name: {
                    "activation": seen.activation,
                    "units": seen.units,
                    "examples": seen.examples,
                    "dead": np.flatnonzero(seen.dead).tolist(),
                    "firing_rate": seen.firing_rate.tolist(),
                    "saturation": seen.saturation.tolist(),
                    "sparsity": seen.sparsity,
                    "mean": seen.mean.tolist(),
                    "variance": seen.variance.tolist(),
                    "gradient": {**vars(seen.gradient), "least": seen.gradient.least if seen.gradient.count else None},
                    "flags": self.flags(name),
                }
                for name, seen in self.layers.items()
            },
        }

    def plot(self, file: str | None = None) -> Figure:
        """A picture: how often units fire, how many are dead or saturated, and the gradients, layer by layer.

        Parameters
        ----------
        file : str, optional
            Where to save it, as PNG, SVG or PDF by its ending.

        Returns
        -------
        matplotlib.figure.Figure
            The picture; a notebook shows it.

        Raises
        ------
        ImportError
            If matplotlib is not installed: ``pip install "halfwave[plot]"``.
        ValueError
            If nothing has been seen.
        """
        from ._picture import monitored

        if not self.layers:
            raise ValueError("Monitor.plot: nothing has been seen yet")
        return monitored(self, file)

    def _skipped(self, calls: dict[str, int], layer: str) -> bool:
        count = calls[layer] = calls.get(layer, -1) + 1
        return count % self.every != 0

    def _layer(self, name: str, activation: str, units: int) -> Layer:
        self._check(name, activation, units)
        if name not in self.layers:
            self.layers[name] = Layer(activation, units)
        return self.layers[name]

    def _check(self, name: str, activation: str, units: int) -> None:
        known = self.layers.get(name)
        if known is not None and (known.activation, known.units) != (activation, units):
            raise ValueError(
                f"Monitor: layer {name!r} had {known.units} units of {known.activation}, got {units} of {activation}"
            )


def _rows(values: NDArray[Any], unit_axis: int) -> NDArray[Any]:
    """One row per example with its units side by side, in float32 at least."""
    if values.ndim != 2 or unit_axis not in (-1, 1):
        values = np.moveaxis(values, unit_axis, -1)
        values = values.reshape(math.prod(values.shape[:-1]), values.shape[-1])
    if values.dtype not in _COUNTED:
        values = values.astype(np.float64 if values.dtype.itemsize > 4 else np.float32)
    return values if values.flags.carray else np.require(values, requirements=("C", "A"))


def _norm(gradient: NDArray[Any]) -> float:
    """The Euclidean norm; squares that could underflow or overflow are scaled first."""
    values = gradient.ravel()
    if values.dtype not in _COUNTED:
        values = values.astype(np.float64)
    square = float(np.vdot(values, values))
    if 1e-20 < square < 1e20:
        return math.sqrt(square)
    with np.errstate(all="ignore"):
        largest = float(np.max(np.abs(values), initial=0))
        if largest == 0 or not math.isfinite(largest):
            return largest
        scaled = values.astype(np.float64) / largest
        return largest * math.sqrt(float(np.vdot(scaled, scaled)))
