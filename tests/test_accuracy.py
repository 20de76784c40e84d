"""The error of every function, direction, dtype and instruction set is within the bound that the function states."""

from __future__ import annotations

from collections.abc import Iterator

import halfwave as hw
import numpy as np
import pytest

from tests.cases import (
    DTYPES,
    Case,
    defaults,
    direct_calls,
    each_case,
    each_dtype,
    equal_bits,
    instruction_set,
    parameter_sets,
)
from tests.exact import MP, exact
from tests.reference import EXTENDED
from tests.rounding import (
    FORMATS,
    Format,
    error,
    exact_error,
    exact_errors,
    near_midpoint,
    round_exactly,
    rounded,
    unit,
)
from tests.samples import everything, hard

Arrays = tuple[np.ndarray, ...]
Sample = tuple[Arrays, tuple[float, ...]]  # the inputs and the parameters


def _points(case: Case, parameters: tuple[float, ...]) -> tuple[float, ...]:
    borders = (*case.reference.borders(*parameters), *case.reference.hard)
    if case.role == "backward_from_output":
        return tuple(float(v) for v in (*borders, *case.reference.range(*parameters)) if np.isfinite(v))
    return tuple(float(v) for v in borders)


def _ups(x: np.ndarray, parameters: tuple[float, ...]) -> np.ndarray:
    """Ups of many magnitudes, in an order that is unrelated to that of the gates."""
    rng = np.random.default_rng(5)
    ups = rng.choice([-1, 1], x.size) * np.ldexp(rng.uniform(1, 2, x.size), rng.integers(-8, 4, x.size))
    ups[::4] = 1
    ups[1::16] = -1
    return ups.astype(x.dtype)


def _sample(case: Case, fmt: Format, parameters: tuple[float, ...], count: int, close: int) -> Sample:
    rounded_parameters = fmt.parameters(parameters)

    def values(x: np.ndarray) -> np.ndarray:
        return case.values(*([x] if len(case.inputs) == 1 else [x, np.ones_like(x)]), *rounded_parameters)

    x = hard(values, fmt, count, _points(case, rounded_parameters), close)
    inputs = (x,) if len(case.inputs) == 1 else (x, _ups(x, rounded_parameters))
    return inputs, rounded_parameters


def _granularity(case: Case, inputs: Arrays, fmt: Format) -> np.ndarray | float:
    """A gated unit's act(gate) is rounded before it is multiplied by up: one unit of it counts as one of the result."""
    if len(inputs) == 1:
        return 0.0
    return np.maximum(np.abs(inputs[1].astype(np.float64)), 1) * fmt.tiny * 2


def _check(case: Case, fmt: Format, results: np.ndarray, sample: Sample, bound: float, what: str) -> None:
    """Compare with float64; mpmath has the last word on what seems to be wrong."""
    inputs, parameters = sample
    terms = _granularity(case, inputs, fmt)
    errors = error(results, case.values(*inputs, *parameters), fmt, terms)
    worst = np.argsort(-errors, kind="stable")[:200]
    suspects = [*worst[~(errors[worst] <= bound)], *np.flatnonzero(case.ill_conditioned(*inputs, *parameters))[:400]]
    found, culprit, true = 0.0, 0, None
    for i in dict.fromkeys(suspects):
        value = case.exact(*(v[i] for v in inputs), *parameters)
        distance = exact_error(results[i], value, fmt, terms if np.isscalar(terms) else terms[i])
        if distance > found:
            found, culprit, true = distance, i, value
    at = [v[culprit] for v in inputs]
    assert found <= bound, _message(case, at, parameters, results[culprit], true, found, bound, what)


def _message(case, at, parameters, result, true, found, bound, what) -> str:  # type: ignore[no-untyped-def]
    operands = ", ".join(float(v).hex() for v in at)
    return (
        f"{case}({operands}; parameters {parameters}) = {float(result)!r}, exactly {MP.nstr(true, 20)}: "
        f"{found:.3g} ULP, allowed {bound:g} ({what})"
    )


@each_case
def test_bounds_are_what_the_design_allows(case: Case) -> None:
    """At most 2 ULP for an activation, 4 for a product of one with `up`, and 16-bit results correctly rounded."""
    most = 4 if case.reference.gated else 2
    for dtype, bound in case.ufunc.error_bound.items():
        assert bound <= (0.5 if dtype.endswith("16") else most)


@each_case
def test_float32(case: Case) -> None:
    """Within the bound on every exponent, near roots, at the ends of the range and with other parameters."""
    fmt = FORMATS["float32"]
    # A bound of 0 says that every exact result is representable; rounding it must then do nothing.
    bound = case.ufunc.error_bound["float32"]
    for k, parameters in enumerate(parameter_sets(case)):
        sample = _sample(case, fmt, parameters, 200_000 if k == 0 else 20_000, 100 if k == 0 else 20)
        for name, results in _results(case, sample):
            _check(case, fmt, results, sample, bound, name)


def _results(case: Case, sample: Sample) -> Iterator[tuple[str, np.ndarray]]:
    """The results of each instruction set, but of two that agree only the first's."""
    seen: list[np.ndarray] = []
    for name in hw.instruction_sets():
        with instruction_set(name):
            results = case(*sample[0], *sample[1])
        if not any(equal_bits(results, other) for other in seen):
            seen.append(results)
            yield name, results


def _worst_of_neighbours(case: Case, results: np.ndarray, sample: Sample, groups: int) -> np.ndarray:
    """The points whose result is furthest from the formula's in NumPy, of all and of each run of neighbours.

    Also points where that formula itself is not to be trusted.
    """
    values = case.values(*sample[0], *sample[1], system=EXTENDED)
    with np.errstate(all="ignore"):
        units = unit(np.clip(values, -1e308, 1e308).astype(np.float64), FORMATS["float64"])
        distance = np.abs((results - values) / units)
    distance[np.isnan(distance)] = np.inf
    runs = np.array_split(np.arange(distance.size), min(groups, distance.size))
    doubtful = np.flatnonzero(case.ill_conditioned(*sample[0], *sample[1]))
    doubtful = doubtful[:: 1 + doubtful.size // 100]
    return np.unique([*np.argsort(-distance)[:100], *(run[np.argmax(distance[run])] for run in runs), *doubtful])


@each_case
def test_float64(case: Case) -> None:
    """Within the bound of mpmath's values, at the points where the formula in NumPy raises suspicion."""
    fmt = FORMATS["float64"]
    bound = case.ufunc.error_bound["float64"]
    larger = (case.reference.float64_terms or {}).get(case.role)
    for k, parameters in enumerate(parameter_sets(case)):
        inputs, rounded_parameters = sample = _sample(case, fmt, parameters, 50_000, 5)
        for name, results in _results(case, sample):
            worst = _worst_of_neighbours(case, results, sample, 500 if k == 0 else 150)
            points = [(*at, *rounded_parameters) for at in zip(*(v[worst] for v in inputs), strict=True)]
            values = [case.exact(*at) for at in points]
            terms = [float(exact(larger, *map(float, at))) for at in points] if larger else 0.0
            terms = np.maximum(terms, _granularity(case, tuple(v[worst] for v in inputs), fmt))
            errors = exact_errors(results[worst], values, terms)
            i = int(np.argmax(errors))
            at = points[i][: len(inputs)]
            result = results[worst[i]]
            assert errors[i] <= bound, _message(case, at, rounded_parameters, result, values[i], errors[i], bound, name)


def _correctly_rounded(case: Case, fmt: Format, inputs: Arrays, parameters: tuple[float, ...]) -> np.ndarray:
    """The results that are exactly right: float64's, rounded, and mpmath's where float64 does not decide."""
    values = case.values(*inputs, *parameters)
    expected = rounded(values, fmt)
    for i in np.flatnonzero(near_midpoint(values, fmt, 1e-12)):
        expected[i] = round_exactly(case.exact(*(v[i] for v in inputs), *parameters), fmt)
    return expected


each_16_bit = pytest.mark.parametrize("fmt", [FORMATS[d] for d in DTYPES if d.endswith("16")], ids=lambda f: f.name)


@each_16_bit
@each_case
def test_16_bit(case: Case, fmt: Format) -> None:
    """Every one of the 65,536 inputs gives the correctly rounded result, at the default parameters (and up = 1)."""
    parameters = fmt.parameters(defaults(case.ufunc, case.name))
    x = everything(fmt)
    inputs = (x,) if len(case.inputs) == 1 else (x, np.ones_like(x))
    expected = _correctly_rounded(case, fmt, inputs, parameters)
    for name in hw.instruction_sets():
        for direct in (True, False):
            with instruction_set(name), direct_calls(direct):
                results = case(*inputs, *parameters).astype(np.float64)
            wrong = np.flatnonzero(~(results == expected))
            assert wrong.size == 0, (
                f"{case} in {fmt.name}: {wrong.size} wrong ({name}), e.g. at {[float(v[wrong[0]]) for v in inputs]}: "
                f"{results[wrong[0]]} instead of {expected[wrong[0]]}"
            )


@each_16_bit
@each_case
def test_16_bit_with_other_parameters(case: Case, fmt: Format) -> None:
    """Half a unit for other parameters and other ups too, as far as float64 can tell."""
    x = everything(fmt)
    for parameters in parameter_sets(case):
        inputs = (x,) if len(case.inputs) == 1 else (x, _ups(x, parameters))
        at = (*inputs, *fmt.parameters(parameters))
        errors = error(case(*at), case.values(*at), fmt)
        trusted = ~case.ill_conditioned(*at)
        worst = np.argmax(np.where(trusted, errors, 0))
        assert errors[worst] <= 0.5 + 1e-9, [float(v if np.isscalar(v) else v[worst]) for v in at]


@each_dtype
@each_case
def test_parameters_of_any_kind_are_rounded_alike(case: Case, fmt: Format) -> None:
    """A Python float, a NumPy scalar, a 0-d array and a full array of the same value give the same bits."""
    x = np.linspace(-4, 4, 37).astype(fmt.dtype)
    inputs = [x] * len(case.inputs)
    for parameters in parameter_sets(case):
        expected = case(*inputs, *parameters)
        for convert in (np.float64, fmt.computed.type, np.array, lambda p: np.full(x.shape, p)):
            result = case(*inputs, *map(convert, parameters))
            np.testing.assert_array_equal(result, expected)
