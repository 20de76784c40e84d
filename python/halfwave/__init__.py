"""The ReLU family for NumPy: every activation, forward and backward, as a ufunc over a SIMD core."""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import Any as _Any

from ._composed import crelu, crelu_backward, rrelu_sample
from ._core import __version__ as __version__
from ._core import instruction_set, instruction_sets
from ._epilogue import (
    bias_activation,
    bias_activation_backward,
    bias_activation_backward_from_output,
    residual_activation,
    residual_activation_backward,
)
from ._functions import Parameter, functions, publish
from ._names import BoundActivation, get
from ._sums import unbroadcast
from ._threads import get_num_threads, num_threads, register_with_threadpoolctl, set_num_threads

_public = publish(__name__)
globals().update(_public)

for _function in (
    bias_activation,
    bias_activation_backward,
    bias_activation_backward_from_output,
    residual_activation,
    residual_activation_backward,
    crelu,
    crelu_backward,
    rrelu_sample,
    BoundActivation,
    get,
    unbroadcast,
    Parameter,
    functions,
    get_num_threads,
    num_threads,
    register_with_threadpoolctl,
    set_num_threads,
):
    _function.__module__ = __name__

__all__ = [
    *_public,
    "BoundActivation",
    "Parameter",
    "bias_activation",
    "bias_activation_backward",
    "bias_activation_backward_from_output",
    "crelu",
    "crelu_backward",
    "functions",
    "get",
    "get_num_threads",
    "init",
    "instruction_set",
    "instruction_sets",
    "monitor",
    "num_threads",
    "residual_activation",
    "residual_activation_backward",
    "register_with_threadpoolctl",
    "rrelu_sample",
    "set_num_threads",
    "unbroadcast",
]

_ON_DEMAND = ("init", "monitor")  # modules that are imported when they are first asked for


def __getattr__(name: str) -> _Any:
    if name in _ON_DEMAND:
        return _import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_DEMAND})
