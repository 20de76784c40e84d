"""The ReLU family for NumPy: every activation, forward and backward, as a ufunc over a SIMD core."""

from __future__ import annotations

from ._composed import crelu, crelu_backward, rrelu_sample
from ._core import __version__ as __version__
from ._core import instruction_set, instruction_sets
from ._functions import Parameter, functions, publish
from ._names import BoundActivation, get
from ._sums import unbroadcast
from ._threads import get_num_threads, num_threads, register_with_threadpoolctl, set_num_threads

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
    "crelu",
    "crelu_backward",
    "functions",
    "get",
    "get_num_threads",
    "instruction_set",
    "instruction_sets",
    "num_threads",
    "register_with_threadpoolctl",
    "rrelu_sample",
    "set_num_threads",
    "unbroadcast",
]
