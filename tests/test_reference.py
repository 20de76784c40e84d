"""The references themselves: every function has one, and the two number systems agree."""

from __future__ import annotations

import halfwave as hw
import numpy as np
import pytest
from halfwave.verify.reference import REFERENCES
from halfwave.verify.rounding import FORMATS, exact_error
from halfwave.verify.samples import spread

from tests.cases import CASES, Case, each_case, parameter_sets

FLOAT32 = FORMATS["float32"]


@pytest.mark.parametrize("name", hw.functions())
def test_every_function_has_a_reference(name: str) -> None:
    """A function that cannot be checked must not pass unnoticed."""
    assert name in REFERENCES, f"add {name} to REFERENCES in halfwave/verify/reference.py"


def test_every_role_is_found() -> None:
    """The cases come from attributes, which could be missing."""
    for entry in hw._core.catalogue:
        roles = {c.role for c in CASES if c.name == entry["name"]}
        expected = set(entry["ufuncs"]) - ({"backward"} if entry["gated"] else set())
        assert roles == expected


@each_case
def test_float64_formula_suffices_for_float32(case: Case) -> None:
    """The float64 formula must be far more exact than float32, or accuracy tests in float32 would mean little."""
    x = np.concatenate([spread(FLOAT32, 20), spread(FLOAT32, 60, 2.0**-12, 2.0**7)])
    for parameters in parameter_sets(case):
        at = [*operands(case, x), *FLOAT32.parameters(parameters)]
        values, trusted = case.values(*at), ~case.ill_conditioned(*at)
        assert np.mean(trusted) > 0.8
        for i in np.flatnonzero(trusted):
            true = case.exact(*(v if np.isscalar(v) else v[i] for v in at))
            assert exact_error(values[i], true, FLOAT32) < 2e-3


def operands(case: Case, x: np.ndarray) -> list[np.ndarray]:
    """The inputs of a case made from one array: a gated unit is tried at up = 0.75."""
    return [x] if len(case.inputs) == 1 else [x, np.full_like(x, 0.75)]
