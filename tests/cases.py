"""What there is to test: every ufunc that `halfwave.functions()` leads to, with its reference."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import halfwave as hw
import numpy as np
import pytest
from halfwave import _core

from tests.exact import exact
from tests.reference import FLOAT64, REFERENCES, Reference
from tests.rounding import FORMATS

ROLES = ("forward", "backward", "backward_from_output", "backward_gate", "backward_up")
DTYPES = tuple(d for d in FORMATS if all(d in f.error_bound for f in hw.functions().values()))


@dataclass(frozen=True)
class Case:
    """One ufunc of one activation."""

    name: str
    role: str
    ufunc: np.ufunc

    def __str__(self) -> str:
        """Make pytest's identifier."""
        return self.name if self.role == "forward" else f"{self.name}-{self.role}"

    @property
    def reference(self) -> Reference:
        """The formulas of the activation."""
        return REFERENCES[self.name]

    @property
    def data(self) -> tuple[str, ...]:
        """The names of the data operands."""
        signature = inspect.signature(self.ufunc)
        return tuple(p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_ONLY)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The data operands but the upstream gradient."""
        return tuple(name for name in self.data if name != "g")

    @property
    def index(self) -> int:
        """The row of the catalogue."""
        return list(hw.functions()).index(self.name)

    def values(self, *operands: Any, system: Any = FLOAT64) -> np.ndarray:
        """The reference at g = 1 in a number system of NumPy's, from the inputs and the parameters."""
        dtype = type(system.constant(0))
        arrays = np.broadcast_arrays(*(np.asarray(v).astype(dtype) for v in operands))
        with np.errstate(all="ignore"):
            result = self.reference.formula(self.role)(system, *arrays)
        return np.broadcast_to(np.asarray(result, dtype), arrays[0].shape)

    def ill_conditioned(self, *operands: Any) -> np.ndarray:
        """Whether float64's own rounding could be seen in float32: near a root, where mpmath has to decide."""
        values, change = self.values(*operands), 0.0
        for k in range(len(self.inputs)):
            moved = [np.asarray(v).astype(np.float64) * (1 - 2.0**-40 * (i == k)) for i, v in enumerate(operands)]
            with np.errstate(invalid="ignore"):
                change = np.maximum(change, np.abs(self.values(*moved) - values))
        return change > np.abs(values) * 2.0**-20

    def exact(self, *operands: Any) -> Any:
        """The same in mpmath, for one element."""
        return exact(self.reference.formula(self.role), *(float(v) for v in operands))

    def __call__(self, *operands: Any, g: Any = 1, **keywords: Any) -> Any:
        """The ufunc of inputs and parameters; `g` goes before them in a backward pass, in their dtype."""
        if "g" not in self.data:
            return self.ufunc(*operands, **keywords)
        first = np.asarray(operands[0])
        return self.ufunc(np.broadcast_to(np.asarray(g, first.dtype), first.shape), *operands, **keywords)


def _cases() -> Iterator[Case]:
    for name, function in hw.functions().items():
        for role in ROLES:
            ufunc = function if role == "forward" else getattr(function, role)
            if isinstance(ufunc, np.ufunc):
                yield Case(name, role, ufunc)


CASES = tuple(_cases())
FORWARD = tuple(c for c in CASES if c.role == "forward")
BACKWARD = tuple(c for c in CASES if c.role != "forward")

each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_forward = pytest.mark.parametrize("case", FORWARD, ids=str)
each_backward = pytest.mark.parametrize("case", BACKWARD, ids=str)
each_dtype = pytest.mark.parametrize("fmt", [FORMATS[d] for d in DTYPES], ids=lambda f: f.name)


def defaults(function: Any, name: str) -> tuple[float, ...]:
    """A function's default parameters, or its reference's first set where it has required ones."""
    if any(p.default is None for p in function.parameters):
        return REFERENCES[name].parameter_sets[0]
    return tuple(p.default for p in function.parameters)


def parameter_sets(case: Case) -> list[tuple[float, ...]]:
    """The parameters to test a ufunc with, the defaults first."""
    sets = [defaults(case.ufunc, case.name), *case.reference.parameter_sets]
    unique = list(dict.fromkeys(sets))
    return [s for s in unique if case.role != "backward_from_output" or case.reference.from_output_holds(*s)]


@contextlib.contextmanager
def instruction_set(name: str) -> Iterator[None]:
    """Compute with an instruction set inside of a `with`."""
    before = hw.instruction_set()
    _core.use_instruction_set(name)
    try:
        yield
    finally:
        _core.use_instruction_set(before)


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
    fmt = FORMATS[values.dtype.name]
    bits = np.array(values, order="C").view(fmt.bits)
    bits[np.isnan(values)] = np.array(np.nan, values.dtype).view(fmt.bits)
    return bits


def equal_bits(a: Any, b: Any) -> bool:
    """Whether two results have the same dtype, shape and bits."""
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and bool(np.array_equal(canonical(a), canonical(b)))
