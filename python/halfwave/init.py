"""Initial weights, scaled for the activation that follows, so that signals keep their size from layer to layer.

    weight = init.he((256, 784), rng, gain="silu")  # a matrix (out, in), or a convolution's (out, in, *kernel)

`he` (also `kaiming`), `glorot` (also `xavier`), `lecun` and `orthogonal` draw weights; `gain` is the factor that makes
up for what an activation takes from a signal. Biases begin at zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ._names import BoundActivation, resolve

__all__ = ["gain", "glorot", "he", "kaiming", "lecun", "orthogonal", "scaled", "xavier"]

Activation = str | np.ufunc | BoundActivation
Mode = Literal["fan_in", "fan_out", "fan_avg"]
Distribution = Literal["normal", "uniform", "truncated_normal"]

_REACH = 38.0  # beyond, the normal density is subnormal or zero
_DTYPES = ("float16", "bfloat16", "float32", "float64")


def gain(activation: Activation, /, *parameters: float, **named: float) -> float:
    """The factor that makes up for what an activation does to the size of a signal.

        gain = 1 / sqrt(E[f(z)**2]),  z standard normal

    Weights of variance gain**2 / fan_in give a layer behind `f` outputs of the mean square that f's own inputs had, if
    those were normal with variance 1. Some values: `identity` 1, `relu` sqrt(2), `tanh` 1.5925, `silu` 1.6765. A gated
    unit's `gate` and `up` are taken as independent.

    The mean square 1 is what is kept. Where `f` is not homogeneous, others drift: back to 1 behind `tanh` and `elu`,
    slowly away from it behind `gelu` and `silu`, which need a normalisation if there are more than about ten in a row.

    PyTorch's `calculate_gain` has other values for some: docs/training.md has a table of both, and the reasons.

    Parameters
    ----------
    activation : str, numpy.ufunc or BoundActivation
        A function of the catalogue, a name that `halfwave.get` knows, or what `halfwave.get` returns.
    *parameters, **named : float
        The activation's parameters, where they are not its defaults.

    Returns
    -------
    float
        To about 1e-13 of its value, by Gauss-Legendre quadrature on intervals that are halved until both halves
        confirm the whole, so that kinks and jumps do no harm.

    Raises
    ------
    TypeError
        If this is no activation, or a parameter is missing or unknown.
    ValueError
        If a parameter is not a number or outside the function's domain, or E[f(z)**2] is zero or infinite.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, Delving deep into rectifiers, ICCV 2015, arXiv:1502.01852, has the argument and
    the values of ReLU and its leaky form.
    """
    function = resolve(activation, "gain")
    for value in (*parameters, *named.values()):
        if np.ndim(value):
            raise ValueError(f"gain: parameters must be numbers, got an array of shape {np.shape(value)}")

    def output(*data: Any) -> Any:
        return function(*data, *parameters, **named)

    if function.backward_gate is None:
        square = _mean_square(output)
    else:  # a product a(gate) * b(up), so that E[f**2] = E[a**2] E[b**2]
        one = np.float64(1)
        square = _mean_square(lambda z: output(z, one)) * _mean_square(lambda z: output(one, z)) / output(one, one) ** 2
    if not 0 < square < math.inf:
        raise ValueError(f"gain: E[f(z)**2] of {function.__name__} must be positive and finite, it is {square}")
    # Divided by the same sum for the identity: the rounding of the rule cancels, and the identity's gain is exactly 1.
    return math.sqrt(_mean_square(lambda z: z) / square)


def _mean_square(function: Callable[[Any], Any]) -> float:
    """E[function(z)**2], z standard normal: the rule on each interval is kept once both of its halves confirm it."""
    nodes, weights = _rule()

    def integrals(low: Any, high: Any) -> Any:
        half = (high - low) / 2
        z = (low + half)[:, np.newaxis] + half[:, np.newaxis] * nodes
        values = function(z) * np.exp(-z * z / 4)  # half of the exponent each, so that the square is not squared first
        return values**2 @ weights * half / math.sqrt(2 * math.pi)

    edges = np.arange(-_REACH, _REACH + 0.5, 0.5)
    low, high = edges[:-1], edges[1:]
    total = 0.0
    with np.errstate(all="ignore"):
        whole = integrals(low, high)
        for _ in range(60):
            middle = low + (high - low) / 2
            left, right = integrals(low, middle), integrals(middle, high)
            open_ = np.abs(left + right - whole) > 1e-15 * (total + float(whole.sum()))
            total += float((left + right)[~open_].sum())
            low, high = np.concatenate([low[open_], middle[open_]]), np.concatenate([middle[open_], high[open_]])
            whole = np.concatenate([left[open_], right[open_]])
            if not len(whole):
                break
        return total + float(whole.sum())


@cache
def _rule() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    nodes, weights = np.polynomial.legendre.leggauss(20)
    return nodes, weights


def scaled(
    shape: Sequence[int],
    rng: np.random.Generator,
    *,
    gain: float | Activation = 1.0,
    mode: Mode = "fan_in",
    distribution: Distribution = "normal",
    dtype: Any = np.float32,
    out_axis: int = 0,
    in_axis: int = 1,
) -> NDArray[Any]:
    """Independent weights of mean 0 and variance gain**2 / fan: what `he`, `glorot` and `lecun` are cases of.

    Parameters
    ----------
    shape : sequence of ints
        The weights' shape: (out, in) for a matrix, (out, in, *kernel) for a convolution; see `out_axis` and `in_axis`.
    rng : numpy.random.Generator
        The source of the draws.
    gain : float, str, numpy.ufunc or BoundActivation
        The factor, or the activation whose `gain` it is.
    mode : {"fan_in", "fan_out", "fan_avg"}
        `fan_in`, in * kernel elements, is how many weights one output sums over: it keeps the size of signals.
        `fan_out`, out * kernel elements, keeps the size of gradients; `fan_avg` is the mean of both.
    distribution : {"normal", "uniform", "truncated_normal"}
        "uniform" reaches sqrt(3) standard deviations. "truncated_normal" is a normal cut at two of its standard
        deviations, and widened so that the variance is still that above, as in JAX and Keras.
    dtype : dtype
        float16, float32, float64, or the bfloat16 of ml_dtypes. Draws are made in float64 and rounded, so that all of
        them give the same weights, as far as they can hold them.
    out_axis, in_axis : int
        Where `shape` has the layer's outputs and inputs; the other axes are the kernel. ``out_axis=1, in_axis=0`` is
        for matrices in ``x @ weight``, ``out_axis=-1, in_axis=-2`` for JAX's and Keras's convolutions. A grouped
        convolution has in / groups on its `in_axis`.

    Returns
    -------
    ndarray
        In `shape` and `dtype`, C-contiguous.

    Raises
    ------
    TypeError
        If `rng` is not a Generator, or `dtype` or `gain` is not one of those above.
    ValueError
        If `shape` has fewer than two axes or one that is not positive, an axis does not exist or is used twice, `mode`
        or `distribution` is not known, or `gain` is not positive and finite.
    """
    return _weights("scaled", shape, rng, gain, mode, distribution, dtype, out_axis, in_axis)


def he(
    shape: Sequence[int],
    rng: np.random.Generator,
    *,
    gain: float | Activation = "relu",
    mode: Mode = "fan_in",
    distribution: Distribution = "normal",
    dtype: Any = np.float32,
    out_axis: int = 0,
    in_axis: int = 1,
) -> NDArray[Any]:
    """He's weights, also Kaiming's: variance gain**2 / fan_in, by default 2 / fan_in, for ReLU.

    Give the activation as `gain`, and its signals keep their size too. Parameters, result and errors are those of
    `scaled`.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, Delving deep into rectifiers: surpassing human-level performance on ImageNet
    classification, ICCV 2015, arXiv:1502.01852.
    """
    return _weights("he", shape, rng, gain, mode, distribution, dtype, out_axis, in_axis)


def glorot(
    shape: Sequence[int],
    rng: np.random.Generator,
    *,
    gain: float | Activation = 1.0,
    mode: Mode = "fan_avg",
    distribution: Distribution = "normal",
    dtype: Any = np.float32,
    out_axis: int = 0,
    in_axis: int = 1,
) -> NDArray[Any]:
    """Glorot's weights, also Xavier's: variance gain**2 / ((fan_in + fan_out) / 2), for functions like tanh.

    A compromise between the size of signals and that of gradients. Parameters, result and errors are those of `scaled`.

    References
    ----------
    X. Glorot and Y. Bengio, Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010.
    """
    return _weights("glorot", shape, rng, gain, mode, distribution, dtype, out_axis, in_axis)


def lecun(
    shape: Sequence[int],
    rng: np.random.Generator,
    *,
    gain: float | Activation = 1.0,
    mode: Mode = "fan_in",
    distribution: Distribution = "normal",
    dtype: Any = np.float32,
    out_axis: int = 0,
    in_axis: int = 1,
) -> NDArray[Any]:
    """LeCun's weights: variance gain**2 / fan_in, by default 1 / fan_in, which SELU is made for.

    Parameters, result and errors are those of `scaled`.

    References
    ----------
    Y. LeCun, L. Bottou, G. Orr and K.-R. Müller, Efficient backprop, in Neural networks: tricks of the trade, Springer
    1998. G. Klambauer, T. Unterthiner, A. Mayr and S. Hochreiter, Self-normalizing neural networks, NeurIPS 2017,
    arXiv:1706.02515.
    """
    return _weights("lecun", shape, rng, gain, mode, distribution, dtype, out_axis, in_axis)


kaiming = he
xavier = glorot


def orthogonal(
    shape: Sequence[int],
    rng: np.random.Generator,
    *,
    gain: float | Activation = 1.0,
    dtype: Any = np.float32,
    out_axis: int = 0,
    in_axis: int = 1,
) -> NDArray[Any]:
    """A random orthogonal matrix times `gain`: no direction is stretched or lost.

    Seen as a matrix of out rows and in * kernel columns, its rows are orthogonal, or its columns where there are fewer
    of them. Every such matrix is equally likely: Q of the QR decomposition of normal draws, its columns' signs chosen
    so that R's diagonal is positive. The last bits depend on the LAPACK that NumPy was built with.

    Parameters, result and errors are those of `scaled`.

    References
    ----------
    A. M. Saxe, J. L. McClelland and S. Ganguli, Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks, ICLR 2014, arXiv:1312.6120.
    """
    layout = _Layout("orthogonal", shape, rng, dtype, out_axis, in_axis)
    factor = _factor("orthogonal", gain)
    rows, columns = layout.shape[layout.out], math.prod(layout.shape) // layout.shape[layout.out]
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
    matrix = q if rows >= columns else q.T
    rest = [n for axis, n in enumerate(layout.shape) if axis != layout.out]
    weights = np.moveaxis((matrix * factor).reshape(rows, *rest), 0, layout.out)
    return np.ascontiguousarray(weights.astype(layout.dtype))


class _Layout:
    """The checked shape, axes and dtype of weights, and their fans."""

    def __init__(
        self, caller: str, shape: Sequence[int], rng: np.random.Generator, dtype: Any, out_axis: int, in_axis: int
    ) -> None:
        if not isinstance(rng, np.random.Generator):
            raise TypeError(f"{caller}: rng must be a numpy.random.Generator, got {type(rng).__name__}")
        if not isinstance(shape, Sequence) or isinstance(shape, str) or len(shape) < 2:
            raise ValueError(f"{caller}: shape must be (out, in, *kernel), two axes or more, got {shape!r}")
        if not all(isinstance(n, int | np.integer) and n > 0 for n in shape):
            raise ValueError(f"{caller}: shape must consist of positive integers, got {shape!r}")
        self.shape = tuple(int(n) for n in shape)
        self.out = self._axis(caller, "out_axis", out_axis)
        self.in_ = self._axis(caller, "in_axis", in_axis)
        if self.out == self.in_:
            raise ValueError(f"{caller}: out_axis and in_axis must differ, both are axis {self.out}")
        self.dtype = np.dtype(dtype)
        if self.dtype.name not in _DTYPES:
            raise TypeError(f"{caller}: dtype must be one of {', '.join(_DTYPES)}, got {self.dtype}")

    def _axis(self, caller: str, name: str, axis: int) -> int:
        if not -len(self.shape) <= axis < len(self.shape):
            raise ValueError(f"{caller}: {name} must be an axis of shape {self.shape}, got {axis}")
        return axis % len(self.shape)

    def fan(self, caller: str, mode: Mode) -> float:
        size = math.prod(self.shape)
        inputs, outputs = size // self.shape[self.out], size // self.shape[self.in_]
        fans = {"fan_in": inputs, "fan_out": outputs, "fan_avg": (inputs + outputs) / 2}
        if mode not in fans:
            raise ValueError(f"{caller}: mode must be one of {', '.join(fans)}, got {mode!r}")
        return fans[mode]


def _weights(
    caller: str,
    shape: Sequence[int],
    rng: np.random.Generator,
    gain: float | Activation,
    mode: Mode,
    distribution: Distribution,
    dtype: Any,
    out_axis: int,
    in_axis: int,
) -> NDArray[Any]:
    layout = _Layout(caller, shape, rng, dtype, out_axis, in_axis)
    if distribution not in _DRAWS:
        raise ValueError(f"{caller}: distribution must be one of {', '.join(_DRAWS)}, got {distribution!r}")
    deviation = _factor(caller, gain) / math.sqrt(layout.fan(caller, mode))
    return (_DRAWS[distribution](rng, layout.shape) * deviation).astype(layout.dtype)


_gain = gain


def _factor(caller: str, gain: float | Activation) -> float:
    if not isinstance(gain, int | float | np.number):
        return _gain(resolve(gain, caller))
    if not 0 < gain < math.inf:
        raise ValueError(f"{caller}: gain must be positive and finite, or an activation, got {gain}")
    return float(gain)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return rng.standard_normal(shape)


def _uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return rng.uniform(-math.sqrt(3), math.sqrt(3), shape)


def _truncated_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Draw again what lies outside of [-2, 2], about one in 22, until nothing does; then make the variance 1."""
    draws = rng.standard_normal(shape)
    outside = np.flatnonzero(np.abs(draws) > 2)
    while len(outside):
        draws.flat[outside] = rng.standard_normal(len(outside))
        outside = outside[np.abs(draws.flat[outside]) > 2]
    return draws / _TRUNCATED_DEVIATION


# Of a standard normal variable that is cut at -2 and 2: 1 - 4 * pdf(2) / (2 * cdf(2) - 1) is its variance.
_TRUNCATED_DEVIATION = math.sqrt(1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2)))

_DRAWS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]] = {
    "normal": _normal,
    "uniform": _uniform,
    "truncated_normal": _truncated_normal,
}
