"""Errors of results against the reference, in units in the last place (ULP): their maximum, mean, and where."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .cases import Case
from .exact import MP, exact
from .reference import EXTENDED
from .rounding import FORMATS, Array, Format, distance, error, exact_error, exact_errors, round_exactly, rounded, unit

_FAR_OFF = 2.0**10  # ULP, from which on overflow and NaN are told apart
_NOISE = 2.0**-20  # ULP, by which float64's own rounding can be wrong about a float32 result
_FEW = 256  # in bfloat16, 128 subnormal x have an x/2 + c*x*x beside a midpoint
_STRIDE = 16  # a root in float32 could be seen in the neighbouring numbers up to this distance


@dataclass
class Measurement:
    """Errors of many results, and where the greatest is."""

    count: int = 0
    total: float = 0.0  # sum of the errors
    wrong: int = 0  # results that are not correctly rounded
    maximum: float = -1.0
    at: tuple[float, ...] = ()  # the inputs of the maximum, its result, and the exact value to 20 digits
    computed: float = math.nan
    exact: str = ""

    def add(self, other: Measurement) -> None:
        """Include another's results; of equal maxima the first is kept."""
        self.count += other.count
        self.total += other.total
        self.wrong += other.wrong
        if other.maximum > self.maximum:
            self.maximum, self.at = other.maximum, other.at
            self.computed, self.exact = other.computed, other.exact

    @property
    def mean(self) -> float:
        """The mean error."""
        return self.total / self.count if self.count else 0.0


def granularity(inputs: tuple[Any, ...], fmt: Format) -> Any:
    """A gated unit's act(gate) is rounded before it is multiplied by up: one unit of it counts as one of the result."""
    if len(inputs) == 1:
        return 0.0
    return np.maximum(np.abs(np.asarray(inputs[1]).astype(np.float64)), 1) * fmt.tiny * 2


def measure(
    case: Case,
    fmt: Format,
    inputs: tuple[Any, ...],
    parameters: tuple[float, ...],
    results: Any = None,
    known: float = -1.0,
    consecutive: bool = False,
) -> Measurement:
    """Measure in a format narrower than float64, at finite inputs, an array and maybe `up`.

    Float64 judges, and mpmath where float64 is in doubt, or would set a maximum greater than the one that is `known`.
    Of `consecutive` float32 inputs one glance tells whether any is in doubt.
    """
    operands = (*inputs, *parameters)
    results = case(*operands) if results is None else results
    exact_values = case.values(*operands)
    terms = granularity(inputs, fmt)
    judge = _Judge(case, fmt, inputs, parameters, results, exact_values, terms)
    if not (consecutive and _smooth(exact_values)):
        for i in np.flatnonzero(case.ill_conditioned(*operands)):
            judge.settle(int(i))
    errors = judge.errors
    while errors[worst := int(errors.argmax())] > known + _NOISE and worst not in judge.settled:
        judge.settle(worst)
        known = max(known, errors[worst])
    found = Measurement(errors.size, float(errors.sum()), judge.wrong(), float(errors[worst]))
    found.at = tuple(float(v if np.ndim(v) == 0 else v[worst]) for v in inputs)
    found.computed = float(results[worst])
    found.exact = judge.settled.get(worst, repr(float(exact_values[worst])))
    return found


def _smooth(values: Array) -> bool:
    """Whether values at consecutive float32 numbers are far from any root, where they would change fast."""
    some = values[::_STRIDE]
    sizes = np.abs(some)
    return bool((np.abs(np.diff(some)) <= 0.25 * np.minimum(sizes[1:], sizes[:-1])).all())


class _Judge:
    """The errors of results, first by float64."""

    def __init__(
        self, case: Case, fmt: Format, inputs: Any, parameters: Any, results: Any, exact_values: Any, terms: Any
    ):
        self.case, self.fmt, self.inputs, self.parameters = case, fmt, inputs, parameters
        self.results, self.terms = results, terms
        computed = np.asarray(results).astype(np.float64)
        with np.errstate(all="ignore"):
            self.errors = distance(computed, exact_values, fmt, terms)
            if not self.errors.max() < _FAR_OFF:
                self.errors = error(computed, exact_values, fmt, terms)
            nearest = exact_values.astype(fmt.dtype) if fmt.name == "float32" else rounded(exact_values, fmt)
        self._wrong = results != nearest
        self.settled: dict[int, str] = {}

    def settle(self, i: int) -> None:
        """Let mpmath decide."""
        at = [v if np.ndim(v) == 0 else v[i] for v in self.inputs]
        true = self.case.exact(*at, *self.parameters)
        terms = self.terms if np.ndim(self.terms) == 0 else self.terms[i]
        self.errors[i] = exact_error(self.results[i], true, self.fmt, terms)
        self._wrong[i] = float(self.results[i]) != round_exactly(true, self.fmt)
        self.settled[i] = MP.nstr(true, 20)

    def wrong(self) -> int:
        """How many are not correctly rounded, beside a midpoint by mpmath's word unless there are many."""
        if not self._wrong.any():
            return 0
        found = np.flatnonzero(self._wrong)
        close = found[self.errors[found] < 0.5 + _NOISE]
        if close.size <= _FEW:
            for i in close:
                if int(i) not in self.settled:
                    self.settle(int(i))
        return int(np.count_nonzero(self._wrong))


def measure_float64(
    case: Case,
    inputs: tuple[Array, ...],
    parameters: tuple[float, ...],
    results: Array | None = None,
    groups: int = 300,
) -> Measurement:
    """Measure in float64: mpmath judges the worst of many runs of neighbours, by the formula in NumPy's widest type.

    That formula also tells the mean and the share, if the type is wider than float64; else they are NaN.
    """
    fmt, operands = FORMATS["float64"], (*inputs, *parameters)
    results = case(*operands) if results is None else results
    values = case.values(*operands, system=EXTENDED)
    with np.errstate(all="ignore"):
        limit = np.ldexp(EXTENDED.constant(1), fmt.maximum + 1)
        computed, values = (np.clip(v.astype(values.dtype), -limit, limit) for v in (results, values))
        units = unit(np.clip(values, -fmt.largest, fmt.largest).astype(np.float64), fmt)
        errors = np.where(computed == values, 0, np.abs((computed - values) / units)).astype(np.float64)
    errors[np.isnan(errors)] = np.inf
    doubtful = case.ill_conditioned(*operands)
    points = _suspects(errors, np.flatnonzero(doubtful), groups)
    at = [tuple(float(v[i]) for v in inputs) for i in points]
    true = [case.exact(*v, *parameters) for v in at]
    larger = (case.reference.float64_terms or {}).get(case.role)
    terms = [float(exact(larger, *v, *parameters)) for v in at] if larger else 0.0
    terms = np.maximum(terms, granularity(tuple(v[points] for v in inputs), fmt))
    settled = exact_errors(results[points], true, terms)
    worst = int(np.argmax(settled))
    wider = np.finfo(np.longdouble).nmant > fmt.precision
    trusted = errors[~doubtful]
    return Measurement(
        errors.size,
        float(trusted.mean() * errors.size) if wider else math.nan,
        int(np.count_nonzero(trusted > 0.5 + 2.0**-8)) if wider else 0,
        float(settled[worst]),
        at[worst],
        float(results[points[worst]]),
        MP.nstr(true[worst], 20),
    )


def _suspects(errors: Array, doubtful: Array, groups: int) -> Array:
    """The points of the greatest errors, of all and of each run of neighbours, and some of those in doubt."""
    runs = np.array_split(np.arange(errors.size), min(groups, errors.size))
    return np.unique(
        np.concatenate(
            [
                np.argsort(-errors)[:100],
                [run[np.argmax(errors[run])] for run in runs],
                doubtful[:: 1 + doubtful.size // 100],
            ]
        ).astype(np.intp)
    )
