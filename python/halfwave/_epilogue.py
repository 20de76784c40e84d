"""What follows a matrix product in one pass over memory: an activation of x + bias, or of x + residual."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from . import _core
from ._functions import functions
from ._names import BoundActivation, resolve
from ._sums import _computed, _finish, _is_kept

_entries = {entry["name"]: entry for entry in _core.catalogue}
_is_float = lru_cache(_is_kept)


def bias_activation(
    x: Any, bias: Any, activation: Any, /, *parameters: Any, axis: int = -1, out: Any = None, **keywords: Any
) -> Any:
    """Activation of x + bias, in one pass over memory.

        activation(x + bias)

    Parameters
    ----------
    x : array_like
        The input, such as a matrix product; float16, bfloat16, float32 or float64. Integers become floats as in
        `numpy.exp`.
    bias : array_like
        One number for each element of x along `axis`. As for a parameter, its dtype does not matter: it is converted to
        the type that is computed with, float64 for float64 and float32 for all others.
    activation : ufunc or str
        A function of the catalogue or from `get`, or its name; none with a gate.
    *parameters : float or array_like
        The activation's parameters, which may also be given by name.
    axis : int, default -1
        The axis of x that the bias belongs to: 1 for the channels of a convolution in NCHW order.
    out : ndarray, optional
        Where to store the result; x itself to compute in place.
    **keywords
        Parameters of the activation by name, and `where`, `casting`, `order`, `dtype`, `subok` as for every ufunc.

    Returns
    -------
    ndarray
        In the shape and dtype of x. In float32 and float64 it is bit for bit activation(x + bias), for a bias of the
        same dtype. In 16 bits the sum is one of float32, which is not rounded before the activation is applied to it;
        the error is at most 0.51 ULP for results that are normal numbers.

    Raises
    ------
    TypeError
        If `activation` is not one, lacks a parameter or is gated, or an operand is not of a supported dtype.
    ValueError
        If `bias` does not have the shape (x.shape[axis],), a parameter is outside of its domain, `out` is read-only or
        of another shape, or x has no such axis (`numpy.exceptions.AxisError`).

    Examples
    --------
    >>> import numpy as np, halfwave as hw
    >>> hw.bias_activation(np.array([[1.0, -1.0]]), np.array([0.5, 0.5]), "relu")
    array([[1.5, 0. ]])
    """
    try:
        function = _with_bias[activation]
    except (KeyError, TypeError):
        function = _on_sum("bias_activation", activation, "forward_with_bias")
        if not isinstance(function, BoundActivation):
            _with_bias[activation] = function
    if axis == -1 and _core.bias_fits(x, bias):
        return function(x, bias, *parameters, out=out, **keywords)
    x, bias = _array(x), _array(bias)
    return function(x, _fitted("bias_activation", x, bias, axis), *parameters, out=out, **keywords)


def residual_activation(
    x: Any, residual: Any, activation: Any, /, *parameters: Any, out: Any = None, **keywords: Any
) -> Any:
    """Activation of x + residual, in one pass over memory.

        activation(x + residual)

    Parameters
    ----------
    x, residual : array_like
        The operands; they broadcast. float16, bfloat16, float32 or float64; integers become floats as in `numpy.exp`.
    activation : ufunc or str
        A function of the catalogue or from `get`, or its name; none with a gate.
    *parameters : float or array_like
        The activation's parameters, which may also be given by name.
    out : ndarray, optional
        Where to store the result; x or residual to compute in place.
    **keywords
        Parameters of the activation by name, and `where`, `casting`, `order`, `dtype`, `subok` as for every ufunc.

    Returns
    -------
    ndarray
        In the broadcast shape; dtype the promotion of those of x and residual. In float32 and float64 it is bit for bit
        activation(x + residual). In 16 bits the sum is one of float32, which is not rounded before the activation is
        applied to it; the error is at most 0.51 ULP for results that are normal numbers.

    Raises
    ------
    TypeError
        If `activation` is not one, lacks a parameter or is gated, or an operand is not of a supported dtype.
    ValueError
        If the shapes do not broadcast, a parameter is outside of its domain, or `out` is read-only or of another shape.
    """
    return _on_sum("residual_activation", activation, "forward_with_residual")(
        x, residual, *parameters, out=out, **keywords
    )


def residual_activation_backward(
    g: Any, x: Any, residual: Any, activation: Any, /, *parameters: Any, out: Any = None, **keywords: Any
) -> Any:
    """Backward pass of `residual_activation`: the gradient with respect to x, which is that of residual too.

        g * activation'(x + residual)

    From the output y, where that suffices, it is `activation.backward_from_output(g, y)`. An operand that was broadcast
    gets its gradient from `unbroadcast`.

    Parameters
    ----------
    g : array_like
        The upstream gradient.
    x, residual, activation, *parameters
        As they were given to `residual_activation`.
    out : ndarray, optional
        Where to store the result; g, x or residual to compute in place.
    **keywords
        As for `residual_activation`.

    Returns
    -------
    ndarray
        In the broadcast shape; dtype the promotion of those of g, x and residual. In float32 and float64 it is bit for
        bit activation.backward(g, x + residual).

    Raises
    ------
    TypeError, ValueError
        As `residual_activation`.
    """
    return _on_sum("residual_activation_backward", activation, "backward_with_residual")(
        g, x, residual, *parameters, out=out, **keywords
    )


def bias_activation_backward(
    g: Any, x: Any, bias: Any, activation: Any, /, *parameters: Any, axis: int = -1, out: Any = None, **named: Any
) -> tuple[Any, Any]:
    """Backward pass of `bias_activation`: the gradients with respect to x and to bias, in one pass over memory.

        dx = g * activation'(x + bias),  dbias = sum of dx over all axes but `axis`

    Parameters
    ----------
    g : array_like
        The upstream gradient, in the shape of x.
    x, bias, activation, *parameters, axis
        As they were given to `bias_activation`.
    out : ndarray, optional
        Where to store dx; g or x to compute in place.
    **named
        Parameters of the activation by name.

    Returns
    -------
    dx : ndarray
        In the shape of x; dtype the promotion of those of g and x. In float32 and float64 it is bit for bit
        activation.backward(g, x + bias).
    dbias : ndarray
        In the shape of bias and the dtype of dx. It is bit for bit the sum that `unbroadcast` makes of dx, in 16 bits
        of dx as rounded: in float64, by a fixed tree, independent of memory layout, processor and number of threads.

    Raises
    ------
    TypeError
        If `activation` is not one, lacks a parameter or is gated, an operand is not of a supported dtype, or `out` is
        not an ndarray of the dtype of dx.
    ValueError
        If `g` or `out` are not of the shape of x, `bias` does not have the shape (x.shape[axis],), a parameter is
        outside of its domain or does not broadcast to the shape of x, `out` is read-only, or x has no such axis.
    """
    caller = "bias_activation_backward"
    if axis == -1 and not parameters and not named:
        results = _directly("backward", activation, g, x, bias, out)
        if results is not None:
            return results
    function, given = _bound(caller, activation, parameters, named, "backward")
    g, x, bias = np.asarray(g), np.asarray(x), np.asarray(bias)
    bias = _fitted(caller, x, bias, axis)
    dtype = _result_dtype(caller, function, (g, x), ("g", "x"), given)
    if not (_is_float(bias.dtype) or bias.dtype.kind in "biu"):
        raise TypeError(f"{caller}: bias has dtype {bias.dtype}; it must be real")
    if given:
        _core.check_domain(function.forward, given)
    bias = bias.astype(_computed(dtype), copy=False)
    if not parameters and not named:
        _keep_for_direct_calls("backward", activation, function, given)
    return _run(caller, function, "backward_with_bias", dtype, (g, x), ("g", "x"), (bias, *given), axis, out)


def bias_activation_backward_from_output(
    g: Any, y: Any, activation: Any, /, *parameters: Any, axis: int = -1, out: Any = None, **named: Any
) -> tuple[Any, Any]:
    """Backward pass of `bias_activation` from its output y, so that neither x nor bias need be kept.

    What allows computing in place in the forward pass. The activation must have a `backward_from_output`.

    Parameters
    ----------
    g : array_like
        The upstream gradient, in the shape of y.
    y : array_like
        The output of `bias_activation`.
    activation, *parameters, axis
        As they were given to `bias_activation`.
    out : ndarray, optional
        Where to store dx; g or y to compute in place.
    **named
        Parameters of the activation by name.

    Returns
    -------
    dx, dbias : ndarray
        As those of `bias_activation_backward`, dx being bit for bit activation.backward_from_output(g, y).

    Raises
    ------
    TypeError
        If `activation` is not one, has no from-output form or lacks a parameter, an operand is not of a supported
        dtype, or `out` is not an ndarray of the dtype of dx.
    ValueError
        If `g` or `out` are not of the shape of y, the parameters are such that y does not determine the derivative, a
        parameter does not broadcast to the shape of y, `out` is read-only, or y has no such axis.
    """
    caller = "bias_activation_backward_from_output"
    if axis == -1 and not parameters and not named:
        results = _directly("backward_from_output", activation, g, y, None, out)
        if results is not None:
            return results
    function, given = _bound(caller, activation, parameters, named, "backward_from_output")
    g, y = np.asarray(g), np.asarray(y)
    dtype = _result_dtype(caller, function, (g, y), ("g", "y"), given)
    if given:
        _core.check_domain(function, given)
    if not parameters and not named:
        _keep_for_direct_calls("backward_from_output", activation, function, given)
    return _run(caller, function, "backward_from_output", dtype, (g, y), ("g", "y"), given, axis, out)


# ---- Activations -----------------------------------------------------------------------------------------------------

_on_sums: dict[tuple[str, str, Any], Any] = {}
_with_bias: dict[Any, Any] = {}
_backward: dict[str, dict[Any, tuple[int, bool, tuple[float, ...]]]] = {"backward": {}, "backward_from_output": {}}


def _directly(role: str, activation: Any, g: Any, x: Any, bias: Any, out: Any) -> tuple[Any, Any] | None:
    """Compute with the default parameters, or return None where operands need to be looked at."""
    try:
        function = _backward[role][activation]
    except (KeyError, TypeError):
        return None
    return _core.backward_with_bias_directly(function, g, x, bias, out)


def _keep_for_direct_calls(role: str, activation: Any, function: Any, defaults: tuple[float, ...]) -> None:
    if not isinstance(activation, BoundActivation):
        _backward[role][activation] = _index(function), role == "backward_from_output", defaults


def _on_sum(caller: str, activation: Any, role: str) -> Any:
    """The ufunc of an activation on a sum, with the defaults of another library where the activation has them."""
    try:
        return _on_sums[caller, role, activation]
    except (KeyError, TypeError):
        pass
    function = _ungated(caller, activation)
    if isinstance(function, BoundActivation):
        return BoundActivation(_on_sum(caller, function.function, role), function.defaults)
    ufunc = _core.make_ufunc_of_sum(_entries[function.__name__]["index"], role)
    ufunc.parameters = function.parameters
    _on_sums[caller, role, function] = _on_sums[caller, role, function.__name__] = ufunc
    return ufunc


def _ungated(caller: str, activation: Any) -> Any:
    function = resolve(activation, caller)
    own = functions()[function.__name__]
    if getattr(function, "function", function) is not own:
        raise TypeError(
            f"{caller}: activation must be a name, a function of the catalogue or from get(), got {function!r}"
        )
    if _entries[function.__name__]["gated"]:
        raise TypeError(f"{caller}: {function.__name__} is gated, it has two operands; call it on the sum")
    return function


def _bound(
    caller: str, activation: Any, parameters: tuple[Any, ...], named: dict[str, Any], role: str
) -> tuple[Any, tuple[Any, ...]]:
    """An activation's ufunc for `role`, and all of its parameters."""
    function = _ungated(caller, activation)
    defaults = function.defaults if isinstance(function, BoundActivation) else {}
    own = getattr(function, "function", function)
    ufunc = getattr(own, role)
    if ufunc is None:
        raise TypeError(
            f"{caller}: the output of {own.__name__} does not determine its derivative; keep x, do not compute in "
            "place, and call bias_activation_backward"
        )
    names = [p.name for p in own.parameters]
    if len(parameters) > len(names):
        raise TypeError(f"{caller}: {own.__name__} has {len(names)} parameters, {len(parameters)} were given")
    values = dict(zip(names, parameters, strict=False))
    for name, value in named.items():
        if name not in names:
            allowed = ", ".join([*names, "axis", "out"])
            raise TypeError(f"{caller}() got an unexpected keyword argument {name!r}; allowed are {allowed}")
        if name in values:
            raise TypeError(f"{caller}() got multiple values for argument {name!r}")
        values[name] = value
    for p in own.parameters:
        value = values.setdefault(p.name, defaults.get(p.name, p.default))
        if value is None:
            raise TypeError(f"{caller}: {own.__name__} needs the argument {p.name!r}: {p.meaning}")
    return ufunc, tuple(values[name] for name in names)


# ---- Operands --------------------------------------------------------------------------------------------------------


def _array(operand: Any) -> Any:
    """An operand with a shape: an array of NumPy or of whoever takes part in its ufuncs."""
    return operand if hasattr(operand, "shape") and hasattr(operand, "dtype") else np.asarray(operand)


def _axis(caller: str, ndim: int, axis: int) -> int:
    return axis + ndim if -ndim <= axis < 0 else np.lib.array_utils.normalize_axis_index(axis, ndim, caller)


def _fitted(caller: str, x: Any, bias: Any, axis: int) -> Any:
    """The bias as it broadcasts against x, in the dtype that is computed with."""
    ndim = x.ndim
    axis = _axis(caller, ndim, axis)
    length = x.shape[axis]
    if bias.shape != (length,):
        raise ValueError(
            f"{caller}: bias has shape {bias.shape}; for x of shape {x.shape} and axis {axis} it must be ({length},)"
        )
    if (bias.dtype is not x.dtype or bias.dtype.itemsize == 2) and _is_float(bias.dtype) and _is_float(x.dtype):
        bias = bias.astype(_computed(x.dtype), copy=False)
    return bias if axis == ndim - 1 else bias.reshape((length,) + (1,) * (ndim - 1 - axis))


def _result_dtype(
    caller: str, function: Any, data: tuple[Any, ...], names: tuple[str, ...], given: tuple[Any, ...]
) -> Any:
    """The promotion of the dtypes of g and x, which are of one shape."""
    first, second = data
    if first.shape != second.shape:
        raise ValueError(f"{caller}: {names[0]} has shape {first.shape}; it must be that of {names[1]}, {second.shape}")
    if first.dtype is second.dtype and not given and _is_float(first.dtype):
        return first.dtype
    parameters = [np.asarray(p).dtype for p in given]
    return function.resolve_dtypes((first.dtype, second.dtype, *parameters, None))[-1]


def _run(
    caller: str,
    function: Any,
    role: str,
    dtype: np.dtype[Any],
    data: tuple[Any, ...],
    names: tuple[str, ...],
    given: tuple[Any, ...],
    axis: int,
    out: Any,
) -> tuple[Any, Any]:
    """Compute dx and its sums over all axes but one."""
    shape = data[0].shape
    axis = _axis(caller, len(shape), axis)
    data = tuple(a if a.dtype is dtype else a.astype(dtype, copy=False) for a in data)
    others = tuple(np.asarray(p, _computed(dtype)) for p in given)
    for a, p in zip(
        others[-len(function.parameters) :] if function.parameters else (), function.parameters, strict=True
    ):
        try:
            np.broadcast_to(a, shape)
        except ValueError:
            raise ValueError(
                f"{caller}: {p.name} has shape {a.shape}, which does not broadcast to that of {names[1]}, {shape}"
            ) from None
    if out is None:
        out = np.empty_like(data[1])
    else:
        _check_out(caller, out, dtype, shape, names)
        data, others = (tuple(_apart(a, out) for a in group) for group in (data, others))
    sums = _core.run_and_sum(_index(function), role, [*data, *others, out], axis)
    return out, _finish(sums, sums.shape, dtype)


def _index(function: Any) -> int:
    return int(_entries[function.forward.__name__]["index"])


def _check_out(caller: str, out: Any, dtype: np.dtype[Any], shape: tuple[int, ...], names: tuple[str, ...]) -> None:
    if not isinstance(out, np.ndarray) or out.dtype != dtype:
        what = f"dtype {out.dtype}" if isinstance(out, np.ndarray) else f"type {type(out).__name__}"
        raise TypeError(f"{caller}: out has {what}; it must be an ndarray of {dtype}")
    if out.shape != shape:
        raise ValueError(f"{caller}: out has shape {out.shape}; it must be that of {names[1]}, {shape}")
    if not out.flags.writeable:
        raise ValueError(f"{caller}: out is read-only")
    if any(stride == 0 and n > 1 for stride, n in zip(out.strides, out.shape, strict=True)):
        raise ValueError(f"{caller}: out is broadcast; each of its elements needs memory of its own")


def _apart(operand: Any, out: Any) -> Any:
    """The operand, or a copy of it where it shares memory with other elements of `out`."""
    if operand is out or not np.may_share_memory(operand, out):
        return operand
    here, there = operand.__array_interface__, out.__array_interface__
    same = here["data"][0] == there["data"][0] and operand.strides == out.strides and operand.dtype == out.dtype
    return operand if same and operand.shape == out.shape else operand.copy()
