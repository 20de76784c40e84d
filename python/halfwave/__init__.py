"""The ReLU family for NumPy: every activation, forward and backward, as a ufunc over a SIMD core."""

from __future__ import annotations

from ._composed import crelu, crelu_backward, rrelu_sample
from ._core import __version__ as __version__
from ._core import instruction_set, instruction_sets
from ._functions import Parameter, functions, publish
from ._names import BoundActivation, get
from ._sums import unbroadcast

_public = publish(__name__)
globals().update(_public)

for _function in (
    crelu,
    crelu_backward,
    rrelu_sample,
    BoundActivation,
    get,
    unbroadcast,
    Parameter,
    functions,
):
    _function.__module__ = __name__

__all__ = [
    *_public,
    "BoundActivation",
    "Parameter",
    "crelu",
    "crelu_backward",
    "functions",
    "get",
    "instruction_set",
    "instruction_sets",
    "rrelu_sample",
    "unbroadcast",
]
