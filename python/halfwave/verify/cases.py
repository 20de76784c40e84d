"""What there is to verify: every ufunc that `halfwave.functions()` leads to, with its reference."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

import halfwave

from .. import _core
from .exact import FAR, exact
from .reference import FLOAT64, REFERENCES, Reference
from .rounding import FORMATS, Array

ROLES = ("forward", "backward", "backward_from_output", "backward_gate", "backward_up", "second_derivative")
DTYPES = tuple(d for d in FORMATS if all(d in f.error_bound for f in halfwave.functions().values()))


@dataclass(frozen=True)
class Case:
    """One ufunc of one activation."""

    name: str
    role: str
    ufunc: Any

    def __str__(self) -> str:
        """Name it as a row of a table, or a test, is named."""
        return self.name if self.role == "forward" else f"{self.name}-{self.role}"

    @property
    def reference(self) -> Reference:
        """The formulas of the activation."""
        return REFERENCES[self.name]

    @cached_property
    def data(self) -> tuple[str, ...]:
        """The names of the data operands."""
        signature = inspect.signature(self.ufunc)
        return tuple(p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_ONLY)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The data operands but the upstream gradient."""
        return tuple(name for name in self.data if name != "g")

    @property
    def index(self) -> int:
        """The row of the catalogue."""
        return list(halfwave.functions()).index(self.name)

    def values(self, *operands: Any, system: Any = FLOAT64) -> Array:
        """The reference at g = 1 in a number system of NumPy's, from the inputs and the parameters."""
        dtype = np.dtype(type(system.constant(0)))
        numbers = [np.asarray(v).astype(dtype)[()] for v in operands]
        with np.errstate(all="ignore"):
            result = self.reference.formula(self.role)(system, *numbers)
        return np.broadcast_to(np.asarray(result, dtype), np.broadcast_shapes(*map(np.shape, numbers)))

    def ill_conditioned(self, *operands: Any) -> Array:
        """Whether float64's own rounding could be seen in float32: near a root, where mpmath has to decide."""
        values, change = self.values(*operands), np.float64(0)
        for k in range(len(self.inputs)):
            moved = [np.asarray(v).astype(np.float64) * (1 - 2.0**-40 * (i == k)) for i, v in enumerate(operands)]
            with np.errstate(invalid="ignore"):
                change = np.maximum(change, np.abs(self.values(*moved) - values))
        return np.asarray(change > np.abs(values) * 2.0**-20)

    def exact(self, *operands: Any) -> Any:
        """The same in mpmath, for one element; an infinity stands for the limit there."""
        numbers = [FAR * int(np.sign(v)) if np.isinf(v) else float(v) for v in operands]
        return exact(self.reference.formula(self.role), *numbers)

    def __call__(self, *operands: Any, g: Any = 1, **keywords: Any) -> Any:
        """The ufunc of inputs and parameters; `g` goes before them in a backward pass, in their dtype."""
        if "g" not in self.data:
            return self.ufunc(*operands, **keywords)
        first = np.asarray(operands[0])
        return self.ufunc(np.broadcast_to(np.asarray(g, first.dtype), first.shape), *operands, **keywords)


def _cases() -> Iterator[Case]:
    for name, function in halfwave.functions().items():
        for role in ROLES:
            ufunc = function if role == "forward" else getattr(function, role)
            if isinstance(ufunc, np.ufunc):
                yield Case(name, role, ufunc)


@cache
def cases() -> tuple[Case, ...]:
    """Every case, in the order of the catalogue."""
    return tuple(_cases())


def defaults(function: Any, name: str) -> tuple[float, ...]:
    """A function's default parameters, or its reference's first set where it has required ones."""
    if any(p.default is None for p in function.parameters):
        return REFERENCES[name].parameter_sets[0]
    return tuple(p.default for p in function.parameters)


def parameter_sets(case: Case) -> list[tuple[float, ...]]:
    """The parameters to verify a ufunc with, the defaults first."""
    sets = [defaults(case.ufunc, case.name), *case.reference.parameter_sets]
    unique = list(dict.fromkeys(sets))
    return [s for s in unique if case.role != "backward_from_output" or case.reference.from_output_holds(*s)]


@contextlib.contextmanager
def instruction_set(name: str) -> Iterator[None]:
    """Compute with an instruction set inside of a `with`."""
    before = halfwave.instruction_set()
    _core.use_instruction_set(name)
    try:
        yield
    finally:
        _core.use_instruction_set(before)
