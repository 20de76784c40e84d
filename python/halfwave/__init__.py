"""The ReLU family for NumPy: every activation, forward and backward, as a ufunc over a SIMD core."""

from __future__ import annotations

from importlib.metadata import version as _version

from ._core import instruction_set, instruction_sets
from ._functions import Parameter, functions, publish

__version__ = _version("halfwave")

_public = publish(__name__)
globals().update(_public)

__all__ = [*_public, "Parameter", "functions", "instruction_set", "instruction_sets"]
