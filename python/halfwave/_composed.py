"""Plain functions that are made of the ufuncs."""

from __future__ import annotations

from typing import Any

import numpy as np


def crelu(x: Any, /, axis: int = -1) -> Any:
    """Concatenated rectified linear unit: relu(x) and relu(-x), side by side along an axis.

        crelu = concatenate((relu(x), relu(-x)), axis)

    Parameters
    ----------
    x : array_like
        The input, of at least one dimension; float16, bfloat16, float32 or float64. Integers become floats as in
        `numpy.exp`, since their negation may not fit.
    axis : int, default -1
        The axis that doubles in length.

    Returns
    -------
    ndarray
        Of the dtype of `x`, exact.

    Raises
    ------
    TypeError
        If `x` is not of a supported dtype.
    ValueError
        If `x` has no such axis (`numpy.exceptions.AxisError`).

    References
    ----------
    W. Shang, K. Sohn, D. Almeida and H. Lee, Understanding and improving convolutional neural networks via concatenated
    rectified linear units, ICML 2016, arXiv:1603.05201.
    """
    from . import identity, relu

    x = np.asanyarray(x)
    x = x.astype(identity.resolve_dtypes((x.dtype, None))[-1], copy=False)
    return np.concatenate((relu(x), relu(np.negative(x))), axis=axis)


def crelu_backward(g: Any, x: Any, /, axis: int = -1) -> Any:
    """Backward pass of `crelu`: g of the first half where x > 0, minus g of the second half where x < 0.

    Parameters
    ----------
    g : array_like
        The upstream gradient, twice as long as `x` along `axis`.
    x : array_like
        The input of `crelu`.
    axis : int, default -1
        The axis given to `crelu`.

    Returns
    -------
    ndarray
        In the shape of `x`; dtype the promotion of those of g and x. The derivative at 0 is 0.

    Raises
    ------
    TypeError
        If an operand is not of a supported dtype.
    ValueError
        If the shape of `g` is not that of `crelu(x, axis)`.
    """
    from . import relu_backward

    g, x = np.asanyarray(g), np.asanyarray(x)
    axis = np.lib.array_utils.normalize_axis_index(axis, x.ndim)
    expected = (*x.shape[:axis], 2 * x.shape[axis], *x.shape[axis + 1 :])
    if g.shape != expected:
        raise ValueError(f"crelu_backward: g has shape {g.shape}; for x of shape {x.shape} it must be {expected}")
    positive, negative = np.split(g, 2, axis=axis)
    return relu_backward(positive, x) - relu_backward(negative, np.negative(x))


def rrelu_sample(
    x: Any, /, lower: float = 1.0 / 8, upper: float = 1.0 / 3, *, rng: np.random.Generator
) -> tuple[Any, Any]:
    """Randomised leaky ReLU as it is applied in training: each element draws its own slope.

        y = x if x > 0 else slope * x,  slope uniform in [lower, upper)

    One number is drawn per element, in C order, whether it is used or not, so that the draws do not depend on the data.
    The backward pass is ``leaky_relu_backward(g, x, slope)``.

    Parameters
    ----------
    x : array_like
        The input, float16, bfloat16, float32 or float64.
    lower, upper : float, default 1/8 and 1/3
        The range of the slopes, lower <= upper.
    rng : numpy.random.Generator
        The source of the draws.

    Returns
    -------
    y, slope : ndarray
        The result, and the slopes (1 where x > 0), both in the shape and dtype of `x`.

    Raises
    ------
    TypeError
        If `x` is not of a supported dtype, or `rng` is not a Generator.
    ValueError
        If lower > upper.

    References
    ----------
    B. Xu, N. Wang, T. Chen and M. Li, Empirical evaluation of rectified activations in convolutional network, 2015,
    arXiv:1505.00853.
    """
    from . import leaky_relu

    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rrelu_sample: rng must be a numpy.random.Generator, got {type(rng).__name__}")
    if not lower <= upper:
        raise ValueError(f"rrelu_sample: lower must be <= upper, got {lower} and {upper}")
    x = np.asarray(x)
    dtype = leaky_relu.resolve_dtypes((x.dtype, np.dtype(np.float64), None))[-1]
    drawn = rng.uniform(lower, upper, size=x.shape).astype(dtype)
    slope = np.where(x > 0, dtype.type(1), drawn)
    return leaky_relu(x, slope), slope
