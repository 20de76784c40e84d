"""Rows of the table of errors: cut into tasks, which any process can do at any time, and whose results add up."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .cases import Case, cases
from .exact import MP
from .measure import Measurement, granularity, measure, measure_float64
from .rounding import FORMATS, Array, Format, exact_error
from .samples import hard

TASK = 1 << 24  # bit patterns
_BLOCK = 1 << 15  # patterns; the arrays in float64 stay in the cache
_SAMPLE = {"float32": (100_000, 100), "float64": (20_000, 5)}  # how many, and how close to where a result changes kind


@dataclass(frozen=True)
class Row:
    """What is measured: a ufunc in a format, at some parameters and g = 1; a gated unit at a constant `up` or at many.

    Float32 is sampled unless it is `exhaustive`; in a 16-bit format all numbers are measured.
    """

    name: str
    role: str
    dtype: str
    parameters: tuple[float, ...]  # as they are computed with
    up: float | None = None
    between: tuple[float, float] = (-math.inf, math.inf)
    exhaustive: bool = False

    @property
    def case(self) -> Case:
        """The ufunc."""
        return next(c for c in cases() if (c.name, c.role) == (self.name, self.role))

    @property
    def format(self) -> Format:
        """The format of its inputs."""
        return FORMATS[self.dtype]

    @property
    def bound(self) -> float:
        """The error that the function promises not to exceed."""
        return float(self.case.ufunc.error_bound[self.dtype])

    @property
    def key(self) -> str:
        """A line of text that is unique to it."""
        return json.dumps([self.name, self.role, self.dtype, self.parameters, self.up, self.between, self.exhaustive])

    @property
    def interval(self) -> tuple[float, float]:
        """The inputs that count: an output outside of the function's range is none."""
        low, high = self.between
        if self.role == "backward_from_output":
            ends = self.case.reference.range(*self.parameters)
            low, high = max(low, ends[0]), min(high, ends[1])
        return low, high

    def exceeded_by(self, found: Measurement) -> bool:
        """Whether a measurement breaks the promise: the bound, and in 16-bit formats correct rounding."""
        return found.maximum > self.bound or (self.format.dtype.itemsize == 2 and found.wrong > 0)

    def inputs(self, x: Array) -> tuple[Any, ...]:
        """The inputs of the ufunc from those of the row."""
        return (x,) if self.up is None else (x, self.format.dtype.type(self.up))

    def tasks(self) -> list[int]:
        """The tasks in which there are inputs that count."""
        if not (self.exhaustive and self.dtype == "float32"):
            return [0]
        low, high = self.interval
        found = []
        for task in range((1 << 32) // TASK):
            ends = numbers(self.format, task * TASK, 1)[0], numbers(self.format, (task + 1) * TASK - 1, 1)[0]
            first, last = sorted(float(v) if np.isfinite(v) else math.copysign(math.inf, ends[0]) for v in ends)
            if first <= high and last >= low:
                found.append(task)
        return found


def numbers(fmt: Format, start: int, count: int) -> Array:
    """The numbers of consecutive bit patterns."""
    return np.arange(start, start + count, dtype=fmt.bits).view(fmt.dtype)


def measure_task(row: Row, task: int) -> Measurement:
    """Measure one task of a row."""
    if row.exhaustive or row.format.dtype.itemsize == 2:
        return sweep(row, task)
    inputs = sample(row.case, row.format, row.parameters, *_SAMPLE[row.dtype])
    if row.dtype == "float64":
        return measure_float64(row.case, inputs, row.parameters, groups=100)
    return measure(row.case, row.format, inputs, row.parameters)


def sample(case: Case, fmt: Format, parameters: tuple[float, ...], count: int, close: int) -> tuple[Array, ...]:
    """About `count` inputs that seek the hard ones; those of a gated unit with ups of many magnitudes."""

    def values(x: Array) -> Array:
        return case.values(*([x] if len(case.inputs) == 1 else [x, np.ones_like(x)]), *parameters)

    x = hard(values, fmt, count, _points(case, parameters), close)
    return (x,) if len(case.inputs) == 1 else (x, ups(x))


def _points(case: Case, parameters: tuple[float, ...]) -> tuple[float, ...]:
    points = (*case.reference.borders(*parameters), *case.reference.hard)
    if case.role == "backward_from_output":
        points += tuple(v for v in case.reference.range(*parameters) if math.isfinite(v))
    return tuple(float(v) for v in points)


def ups(x: Array) -> Array:
    """Ups of many magnitudes, in an order that is unrelated to that of the gates."""
    rng = np.random.default_rng(5)
    values = rng.choice([-1, 1], x.size) * np.ldexp(rng.uniform(1, 2, x.size), rng.integers(-8, 4, x.size))
    values[::4] = 1
    values[1::16] = -1
    return values.astype(x.dtype)


def sweep(row: Row, task: int) -> Measurement:
    """Measure all numbers of a task."""
    case, fmt, (low, high) = row.case, row.format, row.interval
    found = Measurement()
    patterns = min(TASK, 1 << 8 * fmt.dtype.itemsize)
    wide = fmt.dtype.itemsize == 4
    block = _BLOCK if wide else patterns
    with np.errstate(invalid="ignore"):
        for start in range(task * TASK, task * TASK + patterns, block):
            x = numbers(fmt, start, block)
            if not (wide and low <= x[0] <= high and low <= x[-1] <= high and np.isfinite(x[-1])):
                inside = np.isfinite(x) & (x >= low) & (x <= high)
                found.add(_special(row, case, x[~np.isfinite(x)]))
                x = x[inside]
            if x.size:
                inputs, known = row.inputs(x), found.maximum
                found.add(measure(case, fmt, inputs, row.parameters, known=known, consecutive=wide))
    return found


def _special(row: Row, case: Case, x: Array) -> Measurement:
    """NaN has to give NaN, and an infinity the limit there."""
    found = Measurement()
    if not x.size:
        return found
    inputs = row.inputs(x)
    results = case(*inputs, *row.parameters)
    low, high = row.interval
    for i in np.flatnonzero(np.isinf(x) & (x >= low) & (x <= high)):
        at = [float(v if np.ndim(v) == 0 else v[i]) for v in inputs]
        true = case.exact(*at, *row.parameters)
        distance = exact_error(results[i], true, row.format, granularity(inputs, row.format))
        wrong = int(distance > 0.5)
        found.add(Measurement(1, distance, wrong, distance, tuple(at), float(results[i]), MP.nstr(true, 20)))
    lost = np.flatnonzero(np.isnan(x) & ~np.isnan(results))
    if lost.size:
        at = [float(v if np.ndim(v) == 0 else v[lost[0]]) for v in inputs]
        found.add(Measurement(lost.size, math.inf, lost.size, math.inf, tuple(at), float(results[lost[0]]), "nan"))
    return found
