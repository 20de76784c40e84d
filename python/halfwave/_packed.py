"""Gated units of one array that holds both operands, the gate and up, in the layout that the caller names."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

# Each layout, and who uses it.
LAYOUTS = {
    "gate_first": "gate in the first half: LLaMA-style code, vLLM, Megatron-LM",
    "gate_last": "gate in the second half: torch.nn.functional.glu, jax.nn.glu, keras.activations.glu, diffusers",
    "interleaved": "gate at [::2], up at [1::2]: gpt-oss",
}
_CHOICES = "; ".join(f"{layout!r} ({users})" for layout, users in LAYOUTS.items())
_FLOATS = "efd"


def packed_functions(name: str, ufuncs: dict[str, Any], signature: inspect.Signature) -> dict[str, Callable[..., Any]]:
    """Make the forward and the backward function of a packed array from a gated unit's ufuncs, of this signature."""
    forward, gradients = ufuncs["forward"], (ufuncs["backward_gate"], ufuncs["backward_up"])
    parameters = _parameters(signature)

    def packed(x: Any, /, *values: Any, layout: Any = None, axis: int = -1, out: Any = None, **keywords: Any) -> Any:
        call = _Call(f"{name}_packed", forward, parameters, values, keywords)
        gate, up = call.halves(call.array("x", x), layout, axis)
        if out is not None:
            call.check_out(out, call.broadcast(gate.shape))
        return call(forward, gate, up, out=out)

    def packed_backward(
        g: Any, x: Any, /, *values: Any, layout: Any = None, axis: int = -1, out: Any = None, **keywords: Any
    ) -> Any:
        call = _Call(f"{name}_packed_backward", forward, parameters, values, keywords)
        g, x = g if type(g) in (int, float) else call.array("g", g), call.array("x", x)
        gate, up = call.halves(x, layout, axis)
        if call.broadcast(gate.shape, g=np.shape(g)) != gate.shape:
            raise ValueError(f"{call.name}: g and the parameters must broadcast to a half of x, {gate.shape}")
        if _is_foreign(x) or _is_foreign(g):
            if out is not None:
                raise TypeError(f"{call.name}: out must be None where g or x is not NumPy's")
            return _joined([call(f, g, gate, up) for f in gradients], layout, axis)
        if out is None:
            same = x.dtype.char in _FLOATS and getattr(g, "dtype", x.dtype) is x.dtype
            out = np.empty_like(x, x.dtype if same else call.result_dtype(gradients[0], g, x), subok=False)
        else:
            call.check_out(out, x.shape)
        call(ufuncs["backward"], g, gate, up, out=call.halves(out, layout, axis))
        return out

    for function, data in ((packed, ("x",)), (packed_backward, ("g", "x"))):
        function.__signature__ = _signature(data, parameters)  # type: ignore[attr-defined]
    return {"packed": packed, "packed_backward": packed_backward}


def _parameters(signature: inspect.Signature) -> list[inspect.Parameter]:
    return [p for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]


def _signature(data: tuple[str, ...], parameters: list[inspect.Parameter]) -> inspect.Signature:
    choices = ", ".join(f'"{layout}"' for layout in LAYOUTS)
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Signature(
        [
            *(inspect.Parameter(operand, inspect.Parameter.POSITIONAL_ONLY) for operand in data),
            *parameters,
            inspect.Parameter("layout", keyword, annotation=f"Literal[{choices}]"),
            inspect.Parameter("axis", keyword, default=-1, annotation="int"),
            inspect.Parameter("out", keyword, default=None, annotation="NDArray[Any] | None"),
        ]
    )


class _Call:
    """One call: its parameters, and what has to be right about its arrays."""

    def __init__(
        self,
        name: str,
        unit: np.ufunc,
        parameters: list[inspect.Parameter],
        values: tuple[Any, ...],
        keywords: dict[str, Any],
    ) -> None:
        names = [p.name for p in parameters]
        self.name, self.unit, self.values, self.keywords, self.parameters = name, unit, values, keywords, names
        if len(values) > len(names):
            raise TypeError(
                f"{name}() takes one array that holds gate and up, and {len(names) or 'no'} parameters after it, "
                f"got {len(values)}; for two arrays there is {unit.__name__}(gate, up)"
            )
        for keyword in keywords:
            if keyword not in names:
                allowed = ", ".join([*names, "layout", "axis", "out"])
                raise TypeError(f"{name}() got an unexpected keyword argument {keyword!r}; allowed are {allowed}")
            if keyword in names[: len(values)]:
                raise TypeError(f"{name}() got multiple values for argument {keyword!r}")

    def __call__(self, ufunc: np.ufunc, *operands: Any, **keywords: Any) -> Any:
        """Call a ufunc with the parameters after its operands."""
        return ufunc(*operands, *self.values, **self.keywords, **keywords)

    def array(self, operand: str, value: Any) -> Any:
        """An operand as an array of a dtype that there is a loop for, or as it is if it is another library's array."""
        if _is_foreign(value):
            return value
        value = np.asanyarray(value)
        if value.dtype.char not in _FLOATS:
            try:
                self.result_dtype(self.unit, value)
            except TypeError:
                raise TypeError(
                    f"{self.name}: {operand} has dtype {value.dtype}; supported are float16, bfloat16, float32 and "
                    "float64, and integers and booleans, which become floats"
                ) from None
        return value

    def result_dtype(self, ufunc: np.ufunc, *data: Any) -> np.dtype[Any]:
        """The dtype of a ufunc's result from that of its data operands, of which the last one counts for the others."""
        dtypes = [getattr(a, "dtype", type(a)) for a in data]
        parameters = [float] * len(self.parameters)
        dtypes += dtypes[-1:] * (ufunc.nin - len(dtypes) - len(parameters))
        result: np.dtype[Any] = ufunc.resolve_dtypes((*dtypes, *parameters, None))[-1]
        return result

    def halves(self, x: Any, layout: Any, axis: int) -> tuple[Any, Any]:
        """The gate and up, as views."""
        if layout is None:
            raise TypeError(f"{self.name}() needs layout=, one of {_CHOICES}")
        if not isinstance(layout, str) or layout not in LAYOUTS:
            raise ValueError(f"{self.name}: layout must be one of {_CHOICES}; got {layout!r}")
        axis = np.lib.array_utils.normalize_axis_index(axis, x.ndim, self.name)
        length = x.shape[axis]
        if length % 2:
            raise ValueError(
                f"{self.name}: x has shape {x.shape}; its length along axis {axis} must be even, to hold gate and up"
            )
        before = (slice(None),) * axis
        if layout == "interleaved":
            return x[(*before, slice(0, None, 2))], x[(*before, slice(1, None, 2))]
        first, last = x[(*before, slice(length // 2))], x[(*before, slice(length // 2, None))]
        return (first, last) if layout == "gate_first" else (last, first)

    def broadcast(self, half: tuple[int, ...], **others: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the result of gate and up of shape `half` with other operands and the parameters."""
        if not self.values and not self.keywords and all(shape == half for shape in others.values()):
            return half
        shapes = {"half of x": half, **others}
        given = dict(zip(self.parameters, self.values, strict=False)) | self.keywords
        shapes |= {parameter: np.shape(value) for parameter, value in given.items()}
        try:
            return np.broadcast_shapes(*shapes.values())
        except ValueError:
            listed = ", ".join(f"{operand} has shape {s}" for operand, s in shapes.items() if s)
            raise ValueError(f"{self.name}: operands could not be broadcast together: {listed}") from None

    def check_out(self, out: Any, shape: tuple[int, ...]) -> None:
        """Refuse an `out` that is no array of the result's shape."""
        if not isinstance(out, np.ndarray):
            raise TypeError(f"{self.name}: out must be an array, got {type(out).__name__}")
        if out.shape != shape:
            raise ValueError(f"{self.name}: out has shape {out.shape}; it must be {shape}")


def _is_foreign(value: Any) -> bool:
    """Whether it is an array of another library that takes over NumPy's functions, as Dask's does."""
    return (
        not isinstance(value, np.ndarray) and hasattr(value, "__array_function__") and hasattr(value, "__array_ufunc__")
    )


def _joined(halves: list[Any], layout: str, axis: int) -> Any:
    """Pack two gradients of another library's, by functions that it may implement."""
    if layout == "interleaved":
        axis %= halves[0].ndim
        shape = halves[0].shape
        return np.stack(halves, axis + 1).reshape(*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])
    return np.concatenate(halves if layout == "gate_first" else halves[::-1], axis)
