"""Backward passes from one bit per element, so that a layer need not keep its input."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import _core
from ._docstrings import ulp

ROLES = ("with_mask", "backward_from_mask")

_BYTE = np.dtype(np.uint8)
_FLOATS = "float16, bfloat16 (of `ml_dtypes`), float32 and float64"


def mask_functions(entry: dict[str, Any], parameters: Sequence[Any]) -> dict[str, Callable[..., Any]]:
    """The functions of an activation that has a mask, by role; none of one that has not."""
    if not entry["mask"]:
        return {}
    name, index, backward = entry["name"], entry["index"], entry["ufuncs"]["backward"]
    defaults = tuple(p.default for p in parameters)
    with_mask_arguments = _Arguments(f"{name}_with_mask", backward, parameters)
    from_mask_arguments = _Arguments(f"{name}_backward_from_mask", backward, parameters)

    def with_mask(x: Any, /, *positional: Any, out: Any = None, **named: Any) -> Any:
        arguments = with_mask_arguments
        if not named and len(positional or defaults) == len(defaults):
            results = _core.forward_with_mask_directly(index, x, positional or defaults, out)
            if results is not None:
                return results
        x = arguments.data("x", x)
        values = arguments.values(positional, named, x.dtype)
        y = given = None
        if out is not None:
            y, given = arguments.outputs(out, ("y", "mask"))
            arguments.check_output("y", y, x.shape, x.dtype)
            arguments.check_output("mask", given, (_size(x),), _BYTE)
            arguments.check_apart("the mask of out", given, "x", x)
            arguments.check_apart("the mask of out", given, "the y of out", y)
        mask = np.empty(_size(x), _BYTE) if given is None or not given.flags.c_contiguous else given
        result = _core.forward_with_mask(index, _apart(x, y), mask, values, y)
        if given is not None and given is not mask:
            given[...] = mask
        return _returned(result, y), mask if given is None else given

    def backward_from_mask(g: Any, mask: Any, /, *positional: Any, out: Any = None, **named: Any) -> Any:
        arguments = from_mask_arguments
        if not named and len(positional or defaults) == len(defaults):
            result = _core.backward_from_mask_directly(index, g, mask, positional or defaults, out)
            if result is not None:
                return result
        g = arguments.data("g", g)
        values = arguments.values(positional, named, g.dtype)
        mask = arguments.mask(mask, g)
        arguments.check_apart("mask", mask, "g", g)
        dx = None
        if out is not None:
            (dx,) = arguments.outputs(out, ("dx",))
            arguments.check_output("dx", dx, g.shape, g.dtype)
            arguments.check_apart("mask", mask, "out", dx)
        result = _core.backward_from_mask(index, _apart(g, dx), np.ascontiguousarray(mask), values, dx)
        return _returned(result, dx)

    functions: dict[str, Any] = {"with_mask": with_mask, "backward_from_mask": backward_from_mask}
    for role, function in functions.items():
        function.__signature__ = _signature(role, parameters)
    return functions


class _Arguments:
    """What a function asks of its arguments; whatever is wrong with them is said before anything is written."""

    def __init__(self, name: str, backward: np.ufunc, parameters: Sequence[Any]) -> None:
        self.name, self.backward, self.parameters = name, backward, parameters

    def data(self, operand: str, value: Any) -> Any:
        """The operand as an array of a dtype that is computed with."""
        if isinstance(value, np.ma.MaskedArray):
            raise TypeError(
                f"{self.name}: {operand} is a masked array, whose missing elements a mask of bits knows nothing of; "
                "fill them first"
            )
        array = np.asarray(value)
        if array.dtype.char in "efd" and array.dtype.isnative:
            return array
        return array.astype(self._promoted(operand, array.dtype), copy=False)

    def _promoted(self, operand: str, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """The dtype as the backward pass promotes it; the ufunc knows which there are."""
        scalars = [np.dtype(np.float64)] * len(self.parameters)
        try:
            return np.dtype(self.backward.resolve_dtypes((dtype, dtype, *scalars, None))[-1])
        except TypeError:
            raise TypeError(
                f"{self.name}: {operand} has dtype {dtype}; supported are {_FLOATS}, and integers and booleans, "
                "which become floats as in numpy.exp"
            ) from None

    def values(self, positional: tuple[Any, ...], named: Mapping[str, Any], dtype: np.dtype[Any]) -> list[Any]:
        """The parameters, each a scalar that the computed dtype has a place for."""
        names = [p.name for p in self.parameters]
        if len(positional) > len(names):
            raise TypeError(
                f"{self.name}() got {len(positional) - len(names)} positional argument(s) too many; "
                "where results are stored is given as out="
            )
        given = dict(zip(names, positional, strict=False))
        for name, value in named.items():
            if name not in names:
                allowed = ", ".join([*names, "out"])
                raise TypeError(f"{self.name}() got an unexpected keyword argument '{name}'; allowed: {allowed}")
            if name in given:
                raise TypeError(f"{self.name}() got multiple values for argument '{name}'")
            given[name] = value
        computed = np.dtype(np.float64 if dtype.char == "d" else np.float32)
        return [self._scalar(p.name, given.get(p.name, p.default), computed) for p in self.parameters]

    def _scalar(self, name: str, value: Any, computed: np.dtype[Any]) -> Any:
        array = np.asarray(value)
        if array.ndim:
            raise TypeError(f"{self.name}: {name} must be a scalar, got an array of shape {array.shape}")
        if not isinstance(value, float):
            scalars = [array.dtype] * len(self.parameters)
            try:
                self.backward.resolve_dtypes((computed, computed, *scalars, None))
            except TypeError:
                raise TypeError(f"{self.name}: {name} must be a real number, got {value!r}") from None
        # NumPy warns of a number that overflows; but its casts clear flags, and are not for those that do not.
        overflows = computed == np.float32 and np.finfo(np.float32).max < abs(float(array)) < np.inf
        return array.astype(computed) if overflows else array

    def mask(self, value: Any, g: Any) -> Any:
        """The mask, which must be one of g's size."""
        mask = np.asarray(value)
        if mask.dtype != _BYTE:
            raise TypeError(
                f"{self.name}: mask has dtype {mask.dtype}; it must be the uint8 array of a call with_mask, or of "
                "numpy.packbits with bitorder='little'"
            )
        if mask.shape != (_size(g),):
            raise ValueError(
                f"{self.name}: mask has shape {mask.shape}; for g of shape {g.shape} it must be {(_size(g),)}, one bit "
                "per element"
            )
        return mask

    def outputs(self, out: Any, names: tuple[str, ...]) -> tuple[Any, ...]:
        """What `out` names, None for what is to be allocated."""
        outputs = out if isinstance(out, tuple) else (out, *[None] * (len(names) - 1))
        if len(outputs) != len(names):
            raise ValueError(
                f"{self.name}: out has {len(outputs)} elements; as a tuple it must be ({', '.join(names)}), of which "
                "any may be None"
            )
        return outputs

    def check_output(self, name: str, array: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Refuse an array that cannot be written to, or is not of this shape and dtype."""
        if array is None:
            return
        label = f"{self.name}: out, for {name},"
        if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
            raise TypeError(f"{label} must be a numpy.ndarray, got {type(array).__name__}")
        if array.dtype != dtype:
            raise TypeError(f"{label} has dtype {array.dtype}; it must be {dtype}")
        if array.shape != shape:
            raise ValueError(f"{label} has shape {array.shape}; it must be {shape}")
        if not array.flags.writeable:
            raise ValueError(f"{label} is read-only")

    def check_apart(self, first: str, a: Any, second: str, b: Any) -> None:
        """Refuse memory that two operands share, of which at least one is a mask."""
        if a is not None and b is not None and np.may_share_memory(a, b):
            raise ValueError(f"{self.name}: {first} shares memory with {second}; each needs memory of its own")


def _size(array: Any) -> int:
    """How many bytes a mask of the array has."""
    return -(-int(array.size) // 8)


def _apart(given: Any, out: Any) -> Any:
    """The operand, or a copy where a result would overwrite elements of it that are still to be read."""
    if out is None or out is given or not np.may_share_memory(given, out):
        return given
    same = given.__array_interface__["data"] == out.__array_interface__["data"] and given.strides == out.strides
    return given if same else given.copy()


def _returned(result: Any, out: Any) -> Any:
    """The result; a scalar for one without dimensions, unless it was to be stored, as a ufunc does."""
    return result if out is not None or result.ndim else result[()]


def _signature(role: str, parameters: Sequence[Any]) -> inspect.Signature:
    parameter = inspect.Parameter
    operands = ("x",) if role == "with_mask" else ("g", "mask")
    annotation = "NDArray[Any] | tuple[NDArray[Any] | None, ...] | None"
    return inspect.Signature(
        [
            *(parameter(name, parameter.POSITIONAL_ONLY) for name in operands),
            *(parameter(p.name, parameter.POSITIONAL_OR_KEYWORD, default=p.default) for p in parameters),
            parameter("out", parameter.KEYWORD_ONLY, default=None, annotation=annotation),
        ]
    )


# ---- Docstrings ------------------------------------------------------------------------------------------------------

_WITH_MASK = """\
`{name}`, and a mask of one bit per element, which is all that its backward pass needs to keep.

    y = {formula},  bit = {mask}

Parameters
----------
x : array_like
    The input, of any shape and memory layout. {floats}; integers and booleans become floats as in `numpy.exp`, like
    those of `{name}_backward`. Masked arrays are refused.
{parameters}out : ndarray or tuple of ndarray and None, optional
    Where to store the results: `y`, or `(y, mask)`, of which either may be None. `y` must be of the shape and dtype of
    the result, in any memory layout; it may be `x` itself. The mask must be uint8 of its shape, and share no memory.

Returns
-------
y : ndarray or scalar
    `{name}(x{arguments})`, bit for bit; C-contiguous unless it was given.
mask : ndarray
    One-dimensional, uint8, of `ceil(x.size / 8)` bytes: the bits of the elements in C order, the first in the
    lowest bit of the first byte, as `numpy.packbits({mask}, bitorder="little")`; bits beyond the last element are 0.

Raises
------
TypeError
    For a dtype that is not supported, an array for a parameter, an `out` of another dtype, an unknown keyword.
ValueError
    If `out` is of another shape or read-only, or the mask overlaps with anything. Nothing is written then.

Notes
-----
{kink} The bit of NaN is set: a mask cannot hold a NaN, and the gradient passes, where `{name}_backward` gives NaN.
The mask is written in the same pass over memory as `y`. No call raises a floating-point warning.
Error: correctly rounded in float16 and bfloat16, at most {f32} in float32 and {f64} in float64.

See Also
--------
{name}_backward_from_mask

References
----------
{source}
"""

_BACKWARD_FROM_MASK = """\
Backward pass of `{name}` from the mask of `{name}_with_mask`, so that neither input nor output need be kept.

    g if bit else g * d,  d = the derivative at 0;  the derivative is {derivative}

Parameters
----------
g : array_like
    The upstream gradient, in the shape of `x`, and in any memory layout. {floats}; integers and booleans become floats
    as in `numpy.exp`. Masked arrays are refused.
mask : ndarray
    One-dimensional, uint8, of `ceil(g.size / 8)` bytes, as `{name}_with_mask` returns it. Bits beyond the last element
    do not matter. It may share no memory with `g` or `out`.
{parameters}out : ndarray, optional
    Where to store the result, of its shape and dtype, in any memory layout; it may be `g` itself.

Returns
-------
ndarray or scalar
    In the shape and dtype of g; C-contiguous unless it was given. Equal to `{name}_backward(g, x{arguments})`, bit for
    bit, where x is not NaN.

Raises
------
TypeError
    For a dtype that is not supported, a mask that is not uint8, an array for a parameter, an `out` of another dtype, an
    unknown keyword.
ValueError
    If the mask is not of the size of g, `out` is of another shape or read-only, or the mask overlaps with anything.
    Nothing is written then.

Notes
-----
{kink} Where a slope of 0 meets an infinite g the result is +0.0, and NaN in g gives NaN.
No call raises a floating-point warning.
Error at g = 1: correctly rounded in float16 and bfloat16, at most {f32} in float32 and {f64} in float64.

See Also
--------
{name}_with_mask

References
----------
{source}
"""


def mask_docstring(entry: dict[str, Any], role: str, parameters: Sequence[Any]) -> str:
    """Compose the docstring of one of the two functions."""
    bound = entry["bounds"][role]
    described = "".join(
        f"{p.name} : float, default {p.default:.12g}\n    The {p.meaning}; a scalar. Its dtype does not matter.\n"
        for p in parameters
    )
    return (_WITH_MASK if role == "with_mask" else _BACKWARD_FROM_MASK).format(
        name=entry["name"],
        formula=entry["formula"],
        derivative=entry["derivative"],
        mask=entry["mask"],
        floats=_FLOATS,
        parameters=described,
        arguments="".join(f", {p.name}" for p in parameters),
        kink=entry["kink"],
        source=entry["source"],
        f32=ulp(bound["float32"]),
        f64=ulp(bound["float64"]),
    )
