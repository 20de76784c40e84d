"""The error of every function, direction, dtype and instruction set is within the bound that the function states."""

from __future__ import annotations

from collections.abc import Iterator

import halfwave as hw
import numpy as np
import pytest
from halfwave.verify.measure import Measurement, measure, measure_float64
from halfwave.verify.rounding import FORMATS, Format, error
from halfwave.verify.rows import sample, ups
from halfwave.verify.samples import everything

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

Arrays = tuple[np.ndarray, ...]


def _results(case: Case, inputs: Arrays, parameters: tuple[float, ...]) -> Iterator[tuple[str, np.ndarray]]:
    """The results of each instruction set, called directly and not, but of those that agree only the first's."""
    seen: list[np.ndarray] = []
    for name in hw.instruction_sets():
        for direct in (True, False):
            with instruction_set(name), direct_calls(direct):
                results = case(*inputs, *parameters)
            if not any(equal_bits(results, other) for other in seen):
                seen.append(results)
                yield name, results


def _assert_within(bound: float, found: Measurement, case: Case, parameters: tuple[float, ...], name: str) -> None:
    at = ", ".join(map(float.hex, found.at))
    assert found.maximum <= bound, (
        f"{case}({at}; parameters {parameters}) = {found.computed!r}, exactly {found.exact}: {found.maximum:.4g} ULP, "
        f"allowed {bound:g} ({name})"
    )


@each_case
def test_every_bound_is_stated_and_what_the_design_allows(case: Case) -> None:
    """For each dtype: at most 2 ULP, 4 for a second derivative, 5 for a product with `up`, and 0.5 in 16 bits.

    A relative error counts up to twice in a product, to which its own rounding comes and, with a clamp, that of up + 1.

    A dtype without a bound would be left out of every test.
    """
    most = 5 if case.reference.gated else 4 if case.role == "second_derivative" else 2
    assert set(case.ufunc.error_bound) == set(DTYPES) >= {"float16", "float32", "float64"}
    for dtype, bound in case.ufunc.error_bound.items():
        assert 0 <= bound <= (0.5 if dtype.endswith("16") else most)


@each_case
def test_float32(case: Case) -> None:
    """Within the bound on every exponent, near roots, at the ends of the range and with other parameters."""
    fmt = FORMATS["float32"]
    bound = case.ufunc.error_bound["float32"]
    for k, parameters in enumerate(map(fmt.parameters, parameter_sets(case))):
        inputs = sample(case, fmt, parameters, 200_000 if k == 0 else 20_000, 100 if k == 0 else 20)
        for name, results in _results(case, inputs, parameters):
            _assert_within(bound, measure(case, fmt, inputs, parameters, results), case, parameters, name)


@each_case
def test_float64(case: Case) -> None:
    """Within the bound of mpmath's values, at the points where the formula in NumPy raises suspicion."""
    fmt = FORMATS["float64"]
    bound = case.ufunc.error_bound["float64"]
    for k, parameters in enumerate(map(fmt.parameters, parameter_sets(case))):
        inputs = sample(case, fmt, parameters, 50_000, 5)
        for name, results in _results(case, inputs, parameters):
            found = measure_float64(case, inputs, parameters, results, 500 if k == 0 else 150)
            _assert_within(bound, found, case, parameters, name)


each_16_bit = pytest.mark.parametrize("fmt", [FORMATS[d] for d in DTYPES if d.endswith("16")], ids=lambda f: f.name)


@each_16_bit
@each_case
def test_16_bit(case: Case, fmt: Format) -> None:
    """Every one of the 65,536 inputs gives the correctly rounded result, at the default parameters (and up = 1)."""
    parameters = fmt.parameters(defaults(case.ufunc, case.name))
    x = everything(fmt)
    inputs = (x,) if len(case.inputs) == 1 else (x, np.ones_like(x))
    for name, results in _results(case, inputs, parameters):
        found = measure(case, fmt, inputs, parameters, results)
        _assert_within(0.5, found, case, parameters, name)
        assert found.wrong == 0, f"{found.wrong} ties went the wrong way ({name})"


@each_16_bit
@each_case
def test_16_bit_with_other_parameters(case: Case, fmt: Format) -> None:
    """At most 0.51 units with other parameters and other ups, as far as float64 can tell."""
    x = everything(fmt)
    for parameters in parameter_sets(case):
        inputs = (x,) if len(case.inputs) == 1 else (x, ups(x))
        at = (*inputs, *fmt.parameters(parameters))
        errors = error(case(*at), case.values(*at), fmt)
        trusted = ~case.ill_conditioned(*at)
        worst = np.argmax(np.where(trusted, errors, 0))
        assert errors[worst] <= 0.51, [float(v if np.isscalar(v) else v[worst]) for v in at]


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
