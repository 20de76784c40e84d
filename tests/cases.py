"""The cases of `halfwave.verify` as pytest's parameters, and how the tests compare."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from halfwave import _core
from halfwave.verify.cases import DTYPES, Case, cases, defaults, instruction_set, parameter_sets
from halfwave.verify.rounding import FORMATS

__all__ = [
    "BACKWARD",
    "CASES",
    "DTYPES",
    "FORWARD",
    "Case",
    "canonical",
    "defaults",
    "direct_calls",
    "each_backward",
    "each_case",
    "each_dtype",
    "each_forward",
    "equal_bits",
    "instruction_set",
    "parameter_sets",
]

CASES = cases()
FORWARD = tuple(c for c in CASES if c.role == "forward")
BACKWARD = tuple(c for c in CASES if "g" in c.data)

each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_forward = pytest.mark.parametrize("case", FORWARD, ids=str)
each_backward = pytest.mark.parametrize("case", BACKWARD, ids=str)
each_dtype = pytest.mark.parametrize("fmt", [FORMATS[d] for d in DTYPES], ids=lambda f: f.name)


@contextlib.contextmanager
def direct_calls(enabled: bool) -> Iterator[None]:
    """Switch the calls that bypass NumPy's machinery on or off inside of a `with`."""
    before = _core.set_direct_calls(enabled)
    try:
        yield
    finally:
        _core.set_direct_calls(before)


def canonical(values: Any) -> np.ndarray:
    """The bits of values, every NaN being the same."""
    values = np.asarray(values)
    if values.dtype.kind in "iu":
        return values
    fmt = FORMATS[values.dtype.name]
    bits = np.array(values, order="C").view(fmt.bits)
    bits[np.isnan(values)] = np.array(np.nan, values.dtype).view(fmt.bits)
    return bits


def equal_bits(a: Any, b: Any) -> bool:
    """Whether two results have the same dtype, shape and bits."""
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and bool(np.array_equal(canonical(a), canonical(b)))
