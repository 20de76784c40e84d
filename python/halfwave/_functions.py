"""The public functions: the catalogue's ufuncs with their attributes, and the plain functions around them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import _core
from ._docstrings import docstring
from ._masks import ROLES as _MASK_ROLES
from ._masks import mask_docstring, mask_functions
from ._packed import packed_functions
from ._sums import parameter_gradients


class Parameter(NamedTuple):
    """A parameter of an activation: its name, its default (None if it must be given), what it means."""

    name: str
    default: float | None
    meaning: str


_ROLES = (
    *("backward", "backward_from_output", "backward_gate", "backward_up", "parameter_backward", "second_derivative"),
    *("packed", "packed_backward"),
    *_MASK_ROLES,
)
_BOUND_OF = {"parameter_backward": "backward", "packed": "forward", "packed_backward": "backward"}

_registry: dict[str, Any] = {}


def functions() -> dict[str, Any]:
    """Every activation by its name, in the order of the documentation."""
    return dict(_registry)


def publish(module: str) -> dict[str, Any]:
    """Give each activation its attributes, and return every public function by its name."""
    public: dict[str, Any] = {}
    for entry in _core.catalogue:
        parameters = tuple(Parameter(*p) for p in entry["parameters"])
        members: dict[str, Any] = dict(entry["ufuncs"])
        for role, ufunc in members.items():
            ufunc.__signature__ = _ufunc_signature(operands(entry["gated"], role), parameters)
        if entry["gated"]:
            members |= packed_functions(entry["name"], entry["ufuncs"], members["forward"].__signature__)
            members["backward"] = _gated_backward(members, parameters)
        if entry["has_parameter_terms"]:
            members["parameter_backward"] = _parameter_backward(entry, parameters)
        members |= mask_functions(entry, parameters)

        forward = members["forward"]
        for role, function in members.items():
            name = entry["name"] + ("" if role == "forward" else f"_{role}")
            if not isinstance(function, np.ufunc):
                function.__name__ = name
            function.__qualname__ = name
            function.__module__ = module
            function.__doc__ = (mask_docstring if role in _MASK_ROLES else docstring)(entry, role, parameters)
            function.formula = entry["formula"]
            function.derivative = entry["derivative"]
            function.error_bound = entry["bounds"][_BOUND_OF.get(role, role)]
            function.parameters = parameters
            function.forward = forward
            public[name] = function
        for role in _ROLES:
            setattr(forward, role, members.get(role))
        if entry["gated"]:
            forward.packed.backward = forward.packed_backward
        _registry[entry["name"]] = forward
    return public


def operands(gated: bool, role: str) -> tuple[str, ...]:
    """The names of a function's data operands."""
    data = ("gate", "up") if gated else ("y",) if role == "backward_from_output" else ("x",)
    return data if role in ("forward", "second_derivative") else ("g", *data)


def _ufunc_signature(data: tuple[str, ...], parameters: tuple[Parameter, ...]) -> inspect.Signature:
    parameter = inspect.Parameter
    keywords = {
        "out": None,
        "where": True,
        "casting": "same_kind",
        "order": "K",
        "dtype": None,
        "subok": True,
    }
    return inspect.Signature(
        [
            *(parameter(name, parameter.POSITIONAL_ONLY) for name in data),
            *(_inspected(p) for p in parameters),
            *(parameter(name, parameter.KEYWORD_ONLY, default=value) for name, value in keywords.items()),
        ]
    )


def _inspected(p: Parameter) -> inspect.Parameter:
    default = inspect.Parameter.empty if p.default is None else p.default
    return inspect.Parameter(p.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)


def _gated_backward(members: dict[str, Any], parameters: tuple[Parameter, ...]) -> Callable[..., Any]:
    """Both gradients in one pass over memory; one by one for arrays of libraries that may take no two-output ufunc."""
    data = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in operands(True, "backward")]
    kind, annotation = inspect.Parameter.KEYWORD_ONLY, "tuple[Any, Any] | None"
    out = inspect.Parameter("out", kind, default=None, annotation=annotation)
    both, gate, up = members["backward"], members["backward_gate"], members["backward_up"]

    def backward(*args: Any, **kwargs: Any) -> Any:
        for a in args:
            if type(a) is not np.ndarray and not isinstance(a, np.ndarray) and hasattr(a, "__array_ufunc__"):
                return _one_by_one((gate, up), args, kwargs)
        return both(*args, **kwargs)

    backward.__signature__ = inspect.Signature([*data, *map(_inspected, parameters), out])  # type: ignore[attr-defined]
    return backward


def _one_by_one(gradients: tuple[np.ufunc, np.ufunc], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    outputs = kwargs.pop("out", None) or (None, None)
    gate, up = (f(*args, out=out, **kwargs) for f, out in zip(gradients, outputs, strict=True))
    return gate, up


def _parameter_backward(entry: dict[str, Any], parameters: tuple[Parameter, ...]) -> Callable[..., Any]:
    signature = inspect.Signature(
        [
            inspect.Parameter("g", inspect.Parameter.POSITIONAL_ONLY),
            inspect.Parameter("x", inspect.Parameter.POSITIONAL_ONLY),
            *(_inspected(p) for p in parameters),
        ]
    )
    name, index = entry["name"], entry["index"]

    def parameter_backward(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name}_parameter_backward(): {error}") from None
        bound.apply_defaults()
        return parameter_gradients(_registry[name], index, *bound.arguments.values())

    parameter_backward.__signature__ = signature  # type: ignore[attr-defined]
    return parameter_backward
