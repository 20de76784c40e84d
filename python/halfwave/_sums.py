"""Sums over broadcast axes, by a fixed tree: the same bits whatever the memory layout, the processor or the threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _core

_IDENTITY = next(entry["index"] for entry in _core.catalogue if entry["name"] == "identity")


def parameter_gradients(forward: Any, index: int, g: Any, x: Any, *parameters: Any) -> tuple[Any, ...]:
    """The gradients of all parameters of activation `index`, each in its parameter's shape."""
    _core.check_domain(forward, parameters)
    data = (np.asarray(g), np.asarray(x))
    arrays = tuple(np.asarray(p) for p in parameters)
    # The ufunc knows which dtypes there are, and says so for those that there are not.
    dtype = forward.backward.resolve_dtypes((*(a.dtype for a in (*data, *arrays)), None))[-1]
    operands = np.broadcast_arrays(*(np.asarray(a, _computed(dtype)) for a in (*data, *arrays)))
    return tuple(
        _finish(_core.sum_parameter_terms(index, operands, _summed(operands[0].ndim, a.shape), k), a.shape, dtype)
        for k, a in enumerate(arrays)
    )


def unbroadcast(grad: Any, shape: int | tuple[int, ...]) -> Any:
    """Sum a gradient back to the shape of the operand that was broadcast.

    The counterpart of broadcasting in a backward pass: where an operand of `shape` met a larger one, its gradient has
    the larger shape, and each of its elements collects the gradients of all its copies.

    Parameters
    ----------
    grad : array_like
        The gradient, float16, bfloat16, float32 or float64, of any memory layout.
    shape : int or tuple of ints
        The operand's shape; it must broadcast to that of `grad`.

    Returns
    -------
    ndarray
        The sums, in `shape` and the dtype of `grad`. They are taken in float64 by a fixed tree, in C order, so that
        they do not depend on memory layout, processor or number of threads.

    Raises
    ------
    TypeError
        If `grad` is not of a supported dtype.
    ValueError
        If `shape` does not broadcast to the shape of `grad`.
    """
    array = np.asarray(grad)
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if not _is_kept(array.dtype):
        raise TypeError(
            f"unbroadcast: grad has dtype {array.dtype}; supported are float16, bfloat16, float32 and float64"
        )
    padded = (1,) * (array.ndim - len(shape)) + shape
    if len(padded) != array.ndim or any(p not in (1, n) for p, n in zip(padded, array.shape, strict=True)):
        raise ValueError(f"unbroadcast: shape {shape} does not broadcast to that of grad, {array.shape}")
    total = _core.sum_forward(_IDENTITY, [np.asarray(array, _computed(array.dtype))], _summed(array.ndim, shape))
    return _finish(total, shape, array.dtype)


def _is_kept(dtype: np.dtype[Any]) -> bool:
    """Whether there is a loop for this dtype. (That of bfloat16 cannot be named without importing `ml_dtypes`.)"""
    identity = _core.catalogue[_IDENTITY]["ufuncs"]["forward"]
    try:
        return bool(identity.resolve_dtypes((dtype, None))[-1].type is dtype.type)
    except TypeError:
        return False


def _computed(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def _summed(ndim: int, shape: tuple[int, ...]) -> list[bool]:
    return [n == 1 for n in (1,) * (ndim - len(shape)) + shape]


def _finish(total: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    if dtype == np.float32:
        return _core.round_sums(total).reshape(shape)[()]
    with np.errstate(over="ignore"):
        return total.reshape(shape).astype(dtype)[()]
