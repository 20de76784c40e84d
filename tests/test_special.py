"""The values that every rule of the catalogue is about: NaN, infinities, zeros, kinks; and no warning from any."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import halfwave as hw
import numpy as np
import pytest
from halfwave.verify.exact import FAR, MP, exact
from halfwave.verify.reference import REFERENCES
from halfwave.verify.rounding import FORMATS, Format, exact_error, round_exactly
from halfwave.verify.samples import everything, near, spread

from tests import floating_point
from tests.cases import (
    CASES,
    FORWARD,
    Case,
    canonical,
    defaults,
    direct_calls,
    each_backward,
    each_case,
    each_dtype,
    each_forward,
    equal_bits,
    instruction_set,
    parameter_sets,
)

INF, NAN = np.inf, np.nan

with_parameter_gradients = [n for n, f in hw.functions().items() if f.parameter_backward]


def ordinary(fmt: Format, count: int = 41) -> np.ndarray:
    """Numbers of everyday size, none of them at a border."""
    return np.linspace(-4.03, 4.07, count).astype(fmt.dtype)


def gradients(case: Case, operands: list[np.ndarray], g: Any = 0.75) -> list[np.ndarray]:
    """All data operands of a case, from its inputs."""
    return [np.full_like(operands[0], g), *operands] if "g" in case.data else operands


def used(case: Case) -> list[int]:
    """The data operands on which the result depends: a gradient for `up` may not depend on it."""
    parameters, at = defaults(case.ufunc, case.name), [np.array([v], np.float32) for v in (0.5, 0.75)]
    low = case(*at[: len(case.inputs)], *parameters)
    high = case(*at[: len(case.inputs) - 1], np.array([100.0], np.float32), *parameters)
    return list(range(len(case.data) - int(case.role == "backward_up" and low[0] == high[0])))


def inputs(case: Case, x: Any, up: float = 0.75) -> list[np.ndarray]:
    """The inputs of a case from one array: a gated unit is tried at a constant `up`."""
    x = np.asarray(x)
    return [x] if len(case.inputs) == 1 else [x, np.full_like(x, up)]


# ---- NaN -------------------------------------------------------------------------------------------------------------


@each_dtype
@each_case
def test_nan_gives_nan_at_every_position(case: Case, fmt: Format) -> None:
    """In every operand, wherever it stands in the array, and in no other place."""
    parameters = defaults(case.ufunc, case.name)
    n = 37
    clean = gradients(case, inputs(case, ordinary(fmt, n)))
    for name, length in itertools.product(hw.instruction_sets(), (n, 3)):
        with instruction_set(name):
            expected = canonical(case.ufunc(*(v[:length] for v in clean), *parameters))
            for k in used(case):
                rows = [np.tile(v[:length], (length, 1)) for v in clean]
                np.fill_diagonal(rows[k], NAN)
                wanted = np.tile(expected, (length, 1))
                np.fill_diagonal(wanted, canonical(np.array(NAN, fmt.dtype)))
                np.testing.assert_array_equal(canonical(case.ufunc(*rows, *parameters)), wanted)
                for i in range(length):
                    result = case.ufunc(*(r[i] for r in rows), *parameters)
                    np.testing.assert_array_equal(canonical(result), wanted[i], err_msg=f"NaN at {i} of {length}")


@each_case
def test_nan_meets_special_values(case: Case) -> None:
    """NaN wins over infinities, zeros and flat pieces."""
    parameters = defaults(case.ufunc, case.name)
    special = [0.0, -0.0, INF, -INF, 1.0, -1.0, 1e30, -1e30, 7.0, -7.0]
    for k in used(case):
        for values in itertools.product(special, repeat=len(case.data) - 1):
            at = [*values[:k], NAN, *values[k:]]
            result = case.ufunc(*(np.array([v], np.float32) for v in at), *parameters)
            assert np.isnan(result[0]), at


@each_dtype
@each_case
def test_nan_parameter(case: Case, fmt: Format) -> None:
    """It propagates where the selected piece uses it; a NaN bound always does."""
    parameters = defaults(case.ufunc, case.name)
    at = inputs(case, ordinary(fmt))
    usual = case(*at, *parameters)
    for k in range(len(parameters)):
        given = [NAN if i == k else p for i, p in enumerate(parameters)]
        other = [p + 0.125 if i == k else p for i, p in enumerate(parameters)]
        result = case(*at, *given)
        piece = np.isnan(case.values(*at, *given))
        used = piece & (case.values(*at, *other) != case.values(*at, *parameters))
        if k in case.reference.bounds:
            assert np.isnan(result).all()
            continue
        assert np.isnan(result[used]).all()
        if k not in case.reference.selecting:
            assert equal_bits(result[~piece], usual[~piece])


@pytest.mark.parametrize("name", with_parameter_gradients)
def test_nan_in_a_sum(name: str) -> None:
    """One NaN among the terms makes the sum NaN, be it in g or in x."""
    backward, parameters = hw.functions()[name].parameter_backward, defaults(hw.functions()[name], name)
    x = ordinary(FORMATS["float32"])
    derivatives = REFERENCES[name].parameter_derivatives
    assert derivatives is not None
    for k, v in itertools.product(range(2), (3, x.size - 1)):
        operands = [np.ones_like(x), x.copy()]
        operands[k][v] = NAN
        assert all(np.isnan(total) for total in backward(*operands, *parameters))


# ---- Infinities ------------------------------------------------------------------------------------------------------


def _limit(case: Case, sign: int, parameters: tuple[float, ...]) -> Any:
    at = [sign * FAR] if len(case.inputs) == 1 else [sign * FAR, 0.75]
    return exact(case.reference.formula(case.role), *at, *parameters)


@each_dtype
@each_case
def test_infinities_take_their_limits(case: Case, fmt: Format) -> None:
    """With any parameters; a limit of zero has the sign of the side from which it is reached."""
    for given, sign in itertools.product(parameter_sets(case), (1, -1)):
        parameters = fmt.parameters(given)
        limit = _limit(case, sign, parameters)
        for direct in (True, False):
            with direct_calls(direct):
                result = case(*inputs(case, np.array([sign * INF], fmt.dtype)), *parameters)[0]
            what = f"{case}({sign}*inf; {parameters}) = {result}, the limit is {MP.nstr(limit, 5)}"
            bound = case.ufunc.error_bound[fmt.name]
            representable = exact_error(round_exactly(limit, fmt), limit, fmt) < 1e-9
            assert exact_error(result, limit, fmt) <= (0 if representable else bound) + 1e-9, what
            if result == 0 and case.role == "forward" and 0 not in parameters:
                zero = float(MP.sign(limit)) if limit else case.reference.dead
                assert np.signbit(result) == np.signbit(zero), what


@each_dtype
@each_backward
def test_no_finite_gradient_becomes_nan_at_infinity(case: Case, fmt: Format) -> None:
    """And a gradient of zero stays zero, however large the derivative is."""
    for parameters, sign in itertools.product(parameter_sets(case), (1, -1)):
        for g in (0.0, -0.0, 1.0, -2.5, fmt.smallest, fmt.largest):
            result = case(*inputs(case, np.array([sign * INF], fmt.dtype)), *parameters, g=g)
            assert not np.isnan(result[0]), (sign, g, parameters)
            assert g != 0 or result[0] == 0


@each_dtype
@pytest.mark.parametrize("case", [c for c in CASES if c.reference.gated and c.role != "backward_up"], ids=str)
def test_an_infinite_up_takes_its_limit(case: Case, fmt: Format) -> None:
    """0 where the gate is shut, else an infinity, also where the gate's factor is below all floats; never NaN."""
    gates = np.array([0.0, fmt.smallest, 1e-3, 0.5, 2.0, 7.0, 15.0, 30.0, INF])
    gates = np.concatenate([gates, -gates]).astype(fmt.dtype)
    formula = case.reference.formula(case.role)
    bound = 0.51 if fmt.dtype.itemsize == 2 else case.ufunc.error_bound[fmt.name]  # as at every up but 1
    for parameters, up in itertools.product(map(fmt.parameters, parameter_sets(case)), (INF, -INF)):
        result = case(gates, np.full_like(gates, up), *parameters)
        for gate, value in zip(gates, result, strict=True):
            far = [MP.mpf("1e5000") * int(np.sign(v)) if np.isinf(v) else MP.mpf(float(v)) for v in (gate, up)]
            limit = exact(formula, *far, *parameters)
            assert exact_error(value, limit, fmt) <= bound, (gate, up, parameters, value)


@each_dtype
@pytest.mark.parametrize("case", [c for c in CASES if c.reference.gated and c.role != "forward"], ids=str)
def test_no_finite_gradient_becomes_nan_at_an_infinite_up(case: Case, fmt: Format) -> None:
    """Whatever the gate is; and a gradient of zero stays zero."""
    gates = np.concatenate([_interesting(case, fmt, fmt.parameters(defaults(case.ufunc, case.name))), [INF, -INF]])
    gates = gates.astype(fmt.dtype)
    for parameters, up in itertools.product(parameter_sets(case), (INF, -INF, 0.0)):
        for g in (0.0, -0.0, 1.0, -2.5, fmt.smallest, fmt.largest):
            result = case(gates, np.full_like(gates, up), *parameters, g=g)
            assert not np.isnan(result).any(), (g, up, gates[np.isnan(result)], parameters)
            assert g != 0 or not result.any()


@pytest.mark.parametrize("name", with_parameter_gradients)
def test_parameter_gradients_at_infinity(name: str) -> None:
    """They take their limits; an infinity on the other piece does not turn into NaN."""
    function, derivatives = hw.functions()[name], REFERENCES[name].parameter_derivatives
    for given, sign in itertools.product([defaults(function, name), *REFERENCES[name].parameter_sets], (1, -1)):
        results = function.parameter_backward(np.ones(1), np.array([sign * INF]), *given)
        for result, limit in zip(results, exact(derivatives, sign * FAR, *given), strict=True):
            assert exact_error(result, limit, FORMATS["float64"]) <= 3, (name, given, sign)


# ---- Zeros and flat pieces -------------------------------------------------------------------------------------------


def _interesting(case: Case, fmt: Format, parameters: tuple[float, ...]) -> np.ndarray:
    borders = np.array([*case.reference.borders(*parameters), 0.0, fmt.tiny, -fmt.tiny, 30.0, -30.0, fmt.largest])
    return np.unique(np.concatenate([near(borders, fmt, 2), ordinary(fmt), spread(fmt, 30)]))


def _flat(case: Case, x: np.ndarray, parameters: tuple[float, ...]) -> np.ndarray:
    """Those x where the exact derivative is zero, and beside them too, so that they are no mere roots."""
    slope, tiny = case.reference.formula("backward"), MP.mpf("1e-4000")
    flat = []
    for v in x:
        step = abs(MP.mpf(float(v))) * MP.mpf("1e-30") + tiny
        zeros = [exact(slope, MP.mpf(float(v)) + d, *parameters) == 0 for d in (0, -step, step)]
        flat.append(zeros[0] and any(zeros[1:]))
    return x[np.array(flat)]


@each_dtype
@pytest.mark.parametrize("case", [c for c in FORWARD if not c.reference.gated], ids=str)
def test_flat_pieces_give_positive_zero(case: Case, fmt: Format) -> None:
    """For every gradient that is not NaN, infinities included, from the input and from the output."""
    # A slope that is zero because a parameter is has the sign of a product.
    for parameters in (p for p in map(fmt.parameters, parameter_sets(case)) if 0 not in p):
        x = _flat(case, _interesting(case, fmt, parameters), parameters)
        y = case.ufunc(x, *parameters)
        from_output = case.ufunc.backward_from_output if case.reference.from_output_holds(*parameters) else None
        for g in (1.0, -1.0, 0.0, -0.0, INF, -INF, fmt.largest, -fmt.smallest):
            for backward, at in ((case.ufunc.backward, x), (from_output, y)):
                result = backward(np.full_like(at, g), at, *parameters) if backward else np.zeros(1)
                assert (result == 0).all(), (backward, parameters, g, at[result != 0])
                assert not np.signbit(result).any(), (backward, parameters, g, at[np.signbit(result)])


def _flat_operands(case: Case, fmt: Format) -> list[np.ndarray]:
    """Gates and ups where a gated unit's function is flat: in the gate, or in up."""
    parameters = fmt.parameters(defaults(case.ufunc, case.name))
    below = np.array([0.0, -0.0, -fmt.smallest, -1.0, -fmt.largest, -INF])
    above = np.array([parameters[-1], parameters[-1] + 0.5, fmt.largest, INF]) if parameters else np.zeros(0)
    every = np.array([0.0, 1.5, -0.25, -1.0, fmt.largest, INF, -INF])
    first, second = {
        ("reglu", "backward_gate"): (below, every),
        ("reglu", "backward_up"): (below, every),
        ("swiglu_clamped", "backward_gate"): (above, every),
        ("swiglu_clamped", "backward_up"): (every, np.concatenate([above, -above])),
    }[case.name, case.role]
    return [v.ravel().astype(fmt.dtype) for v in np.meshgrid(first, second)]


@each_dtype
@pytest.mark.parametrize(
    "case", [c for c in CASES if c.name in ("reglu", "swiglu_clamped") and c.role != "forward"], ids=str
)
def test_flat_pieces_of_gated_units_give_positive_zero(case: Case, fmt: Format) -> None:
    """For every gradient that is not NaN, and any other operand; the borders belong to them."""
    gate, up = _flat_operands(case, fmt)
    for g in (1.0, -1.0, 0.0, -0.0, INF, -INF, fmt.largest, -fmt.smallest):
        result = case(gate, up, *defaults(case.ufunc, case.name), g=g)
        assert (result == 0).all(), (g, gate[result != 0], up[result != 0])
        assert not np.signbit(result).any()
    for operands in ((np.full_like(gate, NAN), gate, up), (up, np.full_like(gate, NAN), up)):
        assert np.isnan(case.ufunc(*operands)).all()


@each_dtype
@pytest.mark.parametrize("case", [c for c in FORWARD if c.reference.zero is not None], ids=str)
def test_zero_keeps_its_sign(case: Case, fmt: Format) -> None:
    """In odd functions and on pieces that are the identity; elsewhere either zero will do."""
    parameters = defaults(case.ufunc, case.name)
    for direct in (True, False):
        with direct_calls(direct):
            result = case(np.array([0.0, -0.0], fmt.dtype), *parameters)
        np.testing.assert_array_equal(result, 0)
        assert not np.signbit(result[0])
        assert np.signbit(result[1]) == np.signbit(case.reference.zero)


@each_dtype
@each_case
def test_both_zeros_give_equal_results(case: Case, fmt: Format) -> None:
    """The sign of a zero can show in the sign of a zero, and in nothing else."""
    for parameters in parameter_sets(case):
        for zero in (0.0, -0.0):
            operands = gradients(case, inputs(case, np.full(3, zero, fmt.dtype)))
            result = case.ufunc(*operands, *parameters)
            np.testing.assert_array_equal(result, case.ufunc(*map(np.abs, operands), *parameters))


@each_dtype
@each_forward
def test_sign_of_a_zero_result(case: Case, fmt: Format) -> None:
    """A dead zone gives the zero that the catalogue says; an underflow keeps the sign of the exact value."""
    # A parameter that is zero makes a zone dead too, but then the sign is that of a product.
    for parameters in (p for p in map(fmt.parameters, parameter_sets(case)) if 0 not in p):
        x = _interesting(case, fmt, parameters)
        result = case(*inputs(case, x), *parameters)
        for i in np.flatnonzero((result == 0) & (x != 0)):
            true = case.exact(*(v[i] for v in inputs(case, x)), *parameters)
            if true and case.reference.zero is None:
                continue
            expected = float(MP.sign(true)) if true else case.reference.dead
            assert np.signbit(result[i]) == np.signbit(expected), (float(x[i]), parameters)


@each_dtype
@each_backward
def test_zero_gradient_stays_zero(case: Case, fmt: Format) -> None:
    """Whatever the derivative is."""
    for parameters in parameter_sets(case):
        x = np.concatenate([_interesting(case, fmt, fmt.parameters(parameters)), np.array([INF, -INF], fmt.dtype)])
        np.testing.assert_array_equal(case(*inputs(case, x), *parameters, g=0.0), 0)


# ---- Values that the catalogue names ---------------------------------------------------------------------------------

DERIVATIVES = [
    ("relu", 0, (), 0),
    ("leaky_relu", 0, (0.25,), 0.25),
    ("elu", 0, (1.5,), 1.5),
    ("relu6", 0, (), 0),
    ("relu6", 6, (), 0),
    ("hardtanh", 1, (), 0),
    ("hardtanh", -1, (), 0),
    ("hardsigmoid", 3, (), 0),
    ("hardsigmoid", -3, (), 0),
    ("hardswish", -3, (), 0),
    ("hardswish", 3, (), 1),
    ("softshrink", 0.5, (), 0),
    ("softshrink", -0.5, (), 0),
    ("hardshrink", 0.5, (), 0),
    ("hardshrink", -0.5, (), 0),
    ("threshold", 0.75, (0.75, 2.0), 0),
    ("thresholded_relu", 1, (), 0),
    ("tanhshrink", INF, (), 1),
    ("softsign", INF, (), 0),
    ("softsign", -INF, (), 0),
    ("laplace", -INF, (), 0),
    ("logsigmoid", -INF, (), 1),
    ("squared_relu", INF, (), INF),
    ("star_relu", INF, (), INF),
    ("xielu", -INF, (0.8, 0.25, 0.75), 0.5),
]
VALUES = [
    ("relu", -0.0, (), -0.0),
    ("relu", -1.0, (), 0.0),
    ("threshold", 0.75, (0.75, 2.0), 2.0),
    ("leaky_relu", -INF, (0.0,), -0.0),
    ("swish", 3.0, (0.0,), 1.5),
    ("swish", -INF, (-1.0,), -INF),
    ("swish", INF, (-1.0,), 0.0),
    ("gelu", -INF, (), -0.0),
    ("silu", -INF, (), -0.0),
    ("hardswish", -INF, (), -0.0),
    ("hardswish", -5.0, (), -0.0),
    ("hard_mish", -INF, (), -0.0),
    ("logsigmoid", INF, (), -0.0),
    ("logsigmoid", -INF, (), -INF),
    ("softsign", -INF, (), -1.0),
    ("tanhshrink", -INF, (), -INF),
    ("softplus", -INF, (), 0.0),
    ("squareplus", -INF, (), 0.0),
    ("xielu", -INF, (), INF),
    ("xielu", -INF, (1.0, 0.25, 0.75), -INF),
    ("xielu", -INF, (1.0, 0.5, 0.5), -0.5),
    ("squared_relu", -0.0, (), 0.0),
    ("hardswish", 1.5e38, (), float(np.float32(1.5e38))),
    ("softshrink", -0.25, (), 0.0),
    ("hardshrink", -0.25, (), 0.0),
]


# Gate and up, the gradient 1 in between: both derivatives.
GATED_DERIVATIVES = [
    ("reglu", 0.0, 2.0, (), (0, 0)),
    ("reglu", 1.5, 2.0, (), (2, 1.5)),
    ("bilinear", -1.5, 2.0, (), (2, -1.5)),
    ("bilinear", -INF, 2.0, (), (2, -INF)),
    ("glu", 0.0, 2.0, (), (0.5, 0.5)),
    ("glu", INF, 2.0, (), (0, 1)),
    ("swiglu", -INF, 2.0, (), (0, 0)),
    ("geglu", 0.0, 3.0, (), (1.5, 0)),
    ("swiglu_clamped", 7.0, 0.0, (), (0, 7)),
    ("swiglu_clamped", INF, 0.0, (), (0, 7)),
    ("swiglu_clamped", 0.0, 7.0, (), (4, 0)),
    ("swiglu_clamped", 0.0, -7.0, (), (-3, 0)),
    ("swiglu_clamped", 0.0, -1.0, (), (0, 0)),
    ("swiglu_clamped", 3.0, -1.0, (0.0, 2.0), (0, 1)),
    ("swiglu_clamped", 1.0, 100.0, (0.0, INF), (50.5, 0.5)),
    ("swiglu_clamped", -1.0, 0.5, (0.0, 0.0), (0.5, 0)),
]


@pytest.mark.parametrize(("name", "gate", "up", "parameters", "expected"), GATED_DERIVATIVES)
def test_gated_derivatives_at(
    name: str, gate: float, up: float, parameters: tuple[float, ...], expected: tuple[float, float]
) -> None:
    """On the borders, and at infinities."""
    for dtype in (np.float16, np.float32, np.float64):
        operands = [np.array([v], dtype) for v in (1.0, gate, up)]
        results = hw.functions()[name].backward(*operands, *parameters)
        np.testing.assert_allclose(np.ravel(results), expected, rtol=1e-3 if name != "reglu" else 0)


def _named(table: list[tuple[str, float, tuple[float, ...], float]]) -> list[Any]:
    return [row for row in table if row[0] in hw.functions()]


@pytest.mark.parametrize(("name", "x", "parameters", "expected"), _named(DERIVATIVES))
def test_derivative_at(name: str, x: float, parameters: tuple[float, ...], expected: float) -> None:
    """The outer piece counts on a border, and infinities have limits."""
    for dtype in (np.float16, np.float32, np.float64):
        assert hw.functions()[name].backward(np.ones(1, dtype), np.array([x], dtype), *parameters)[0] == expected


SECOND_DERIVATIVES = [
    ("relu", 0, (), 0),
    ("relu", INF, (), 0),
    ("leaky_relu", -1, (0.25,), 0),
    ("hardtanh", 1, (), 0),
    ("elu", 0, (1.5,), 1.5),
    ("elu", -INF, (), 0),
    ("elu", INF, (), 0),
    ("celu", 0, (0.5,), 2),
    ("squared_relu", 0, (), 0),
    ("squared_relu", INF, (), 2),
    ("star_relu", 0, (), 0),
    ("star_relu", 1, (3.0, 1.0), 6),
    ("hardswish", -3, (), 0),
    ("hardswish", 3, (), 0),
    ("hard_mish", -2, (), 0),
    ("hard_mish", -1, (), 1),
    ("hard_mish", 0, (), 0),
    ("sparse_plus", -1, (), 0),
    ("sparse_plus", 0, (), 0.5),
    ("sparse_plus", 1, (), 0),
    ("xielu", 0, (0.8, 0.25, 0.75), 0.25),
    ("xielu", INF, (0.75, 0.25, 0.75), 1.5),
    ("xielu", -INF, (), 0),
    ("softsign", 0, (), 0),
    ("softsign", 1, (), -0.25),
    ("softsign", -1, (), 0.25),
    ("softplus", 0, (), 0.25),
    ("squareplus", 0, (), 0.25),
    ("squareplus", 0, (0.0,), 0),
    ("silu", 0, (), 0.5),
    ("swish", 0, (2.0,), 1),
    ("swish", 3, (0.0,), 0),
    ("tanh", 0, (), 0),
    ("identity", 5, (), 0),
]


@pytest.mark.parametrize(("name", "x", "parameters", "expected"), _named(SECOND_DERIVATIVES))
def test_second_derivative_at(name: str, x: float, parameters: tuple[float, ...], expected: float) -> None:
    """The same piece counts as for the derivative, and infinities have limits."""
    for dtype in (np.float16, np.float32, np.float64):
        assert hw.functions()[name].second_derivative(np.array([x], dtype), *parameters)[0] == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_second_derivative_of_squareplus_with_a_subnormal_b(dtype: type[np.floating]) -> None:
    """b / (2 * x**3) may be a normal number where b / x is not."""
    b, x = np.finfo(dtype).smallest_subnormal, dtype(3 * 2.0**-20)
    expected = dtype(Fraction(float(b)) / (2 * Fraction(float(x)) ** 3))
    result = hw.squareplus.second_derivative(x, b)
    np.testing.assert_allclose(result, expected, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_second_derivative_of_swish_with_the_largest_beta(dtype: type[np.floating]) -> None:
    """It is finite where beta times its last factor is not."""
    beta = np.finfo(dtype).max
    x = dtype(60) / beta
    expected = dtype(exact(REFERENCES["swish"].second_derivative, float(x), float(beta)))
    np.testing.assert_allclose(hw.swish.second_derivative(x, beta), expected, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", [c for c in CASES if c.name == "laplace"], ids=str)
def test_laplace_with_a_tiny_sigma(case: Case, dtype: str) -> None:
    """A quotient by sigma may overflow before the exponential makes it small; what a division leaves may underflow."""
    fmt = FORMATS[dtype]
    info = np.finfo(dtype)
    sigmas = [info.smallest_subnormal, 3 * info.smallest_subnormal, info.tiny / 1000, info.tiny * 3, info.tiny**0.5 / 3]
    multiples = [0, 1e-3, 1.3, 5, 13, 20.1, 38.5, 54.1, 54.7, 66.5, 70]
    for sigma in np.array(sigmas, dtype):
        x = sigma * np.array([*multiples, *(-m for m in multiples)], dtype)
        for name in hw.instruction_sets():
            with instruction_set(name):
                results = case(x, fmt.dtype.type(0), sigma)
            for at, result in zip(x, results, strict=True):
                found = exact_error(result, case.exact(at, 0, sigma), fmt)
                assert found <= case.ufunc.error_bound[dtype], (at, sigma, result)


@pytest.mark.parametrize("name", [n for n, f in hw.functions().items() if f.second_derivative])
def test_second_derivative_of_a_straight_piece_is_positive_zero(name: str) -> None:
    """With the default parameters, on every piece that is a straight line for good."""
    second, reference = hw.functions()[name].second_derivative, REFERENCES[name]
    parameters = defaults(second, name)
    x = np.concatenate(
        [near(np.array([*reference.borders(*parameters), 0.0]), FORMATS["float64"], 2), ordinary(FORMATS["float64"])]
    )
    step = [MP.mpf("1e-30") * (abs(MP.mpf(float(v))) + MP.mpf("1e-300")) for v in x]
    straight = [
        all(exact(reference.second_derivative, MP.mpf(float(v)) + d, *parameters) == 0 for d in (-h, 0, h))
        for v, h in zip(x, step, strict=True)
    ]
    result = second(x, *parameters)[straight]
    assert equal_bits(result, np.zeros_like(result))


@pytest.mark.parametrize(("name", "x", "parameters", "expected"), _named(VALUES))
def test_value_at(name: str, x: float, parameters: tuple[float, ...], expected: float) -> None:
    """Borders, limits, and which zero."""
    dtypes = (np.float32, np.float64) if abs(x) > 1e5 and np.isfinite(x) else (np.float16, np.float32, np.float64)
    for dtype in dtypes[:1] if len(dtypes) == 2 else dtypes:
        result = hw.functions()[name](np.array([x], dtype), *parameters)[0]
        assert result == expected
        assert np.signbit(result) == np.signbit(expected)


# ---- Ranges and monotony ---------------------------------------------------------------------------------------------


@each_forward
def test_range_holds_exactly(case: Case) -> None:
    """No rounding leads outside of the range."""
    for fmt in FORMATS["float16"], FORMATS["float32"], FORMATS["float64"]:
        x = everything(fmt) if fmt.dtype.itemsize == 2 else spread(fmt, 50_000)
        for parameters in parameter_sets(case):
            if case.reference.gated:
                continue
            with np.errstate(over="ignore"):
                low, high = np.array(case.reference.range(*parameters)).astype(fmt.dtype)
            result = case(np.append(x, np.array([INF, -INF], fmt.dtype)), *parameters)
            assert low <= result.min()
            assert result.max() <= high


@pytest.mark.parametrize("case", [c for c in CASES if c.role == "forward" and c.reference.monotone], ids=str)
def test_monotone(case: Case) -> None:
    """Over all 16-bit numbers, and over all numbers where each piece is linear."""
    parameters = defaults(case.ufunc, case.name)
    linear = case.ufunc.error_bound["float32"] <= 0.5
    for fmt in (FORMATS["float16"], *([FORMATS["float32"], FORMATS["float64"]] if linear else [])):
        x = everything(fmt) if fmt.dtype.itemsize == 2 else _interesting(case, fmt, fmt.parameters(parameters))
        result = case(x, *parameters)
        assert (result[1:] >= result[:-1]).all()


# ---- Warnings and the floating-point environment ---------------------------------------------------------------------


def _everything_special(case: Case, fmt: Format) -> list[np.ndarray]:
    values = [
        0.0,
        -0.0,
        INF,
        -INF,
        NAN,
        fmt.smallest,
        -fmt.smallest,
        fmt.tiny,
        fmt.largest,
        -fmt.largest,
        1.0,
        -1.5,
        80.0,
    ]
    grid = itertools.product(values, repeat=len(case.data))
    return [np.array(column, fmt.dtype) for column in zip(*grid, strict=True)]


@each_dtype
@each_case
def test_no_warning(case: Case, fmt: Format) -> None:
    """Not even where somebody has asked for errors."""
    with np.errstate(all="raise"):
        for parameters in parameter_sets(case):
            operands = _everything_special(case, fmt)
            case.ufunc(*operands, *fmt.parameters(parameters))
            case.ufunc(*(v[::2] for v in operands), *fmt.parameters(parameters))


@each_dtype
@pytest.mark.parametrize("case", [c for c in CASES if c.role == "backward_gate"], ids=lambda c: c.name)
def test_both_gradients_at_once_are_those_of_one_at_a_time(case: Case, fmt: Format) -> None:
    """At special values and at ordinary ones, with every instruction set."""
    unit, rng = hw.functions()[case.name], np.random.default_rng(5)
    ordinary_values = [(rng.normal(size=999) * 5).astype(fmt.dtype) for _ in range(3)]
    for operands, parameters in itertools.product(
        (_everything_special(case, fmt), ordinary_values), parameter_sets(case)
    ):
        given = fmt.parameters(parameters)
        expected = unit.backward_gate(*operands, *given), unit.backward_up(*operands, *given)
        for name, direct in itertools.product(hw.instruction_sets(), (True, False)):
            with instruction_set(name), direct_calls(direct):
                assert all(map(equal_bits, unit.backward(*operands, *given), expected)), (name, parameters)


@floating_point.needs_libm
@each_dtype
@each_case
def test_flags_stay_as_they_are(case: Case, fmt: Format) -> None:
    """None is raised, and none that somebody else has raised is lost."""
    operands = _everything_special(case, fmt)
    out = np.empty_like(operands[0])
    parameters = tuple(np.array(p, fmt.computed) for p in defaults(case.ufunc, case.name))
    every = sum(floating_point.FLAGS.values())
    for before, name, direct in itertools.product((0, every), hw.instruction_sets(), (True, False)):
        with instruction_set(name), direct_calls(direct), floating_point.flags(before):
            case.ufunc(*operands, *parameters, out=out)
            assert floating_point.raised() == before, (name, direct)


@floating_point.needs_libm
@pytest.mark.parametrize("mode", floating_point.ROUNDING.values(), ids=list(floating_point.ROUNDING))
@each_case
def test_rounding_mode_is_of_no_influence(case: Case, mode: int) -> None:
    """A kernel rounds to nearest, and leaves the caller's mode as it was."""
    for fmt in FORMATS["float16"], FORMATS["float32"], FORMATS["float64"]:
        parameters = tuple(np.array(p, fmt.computed) for p in defaults(case.ufunc, case.name))
        operands = gradients(case, inputs(case, np.concatenate([ordinary(fmt), spread(fmt, 200)])))
        for name, direct in itertools.product(hw.instruction_sets(), (True, False)):
            with instruction_set(name), direct_calls(direct):
                expected = case.ufunc(*operands, *parameters)
                with floating_point.rounding(mode):
                    result = case.ufunc(*operands, *parameters)
                assert equal_bits(result, expected)


@floating_point.needs_mxcsr
@each_case
def test_flush_to_zero_is_of_no_influence(case: Case) -> None:
    """Subnormal numbers are kept, in and out, and the caller's setting is too."""
    for fmt in FORMATS["float16"], FORMATS["float32"], FORMATS["float64"]:
        parameters = tuple(np.array(p, fmt.computed) for p in defaults(case.ufunc, case.name))
        operands = gradients(case, inputs(case, near(np.array([0.0, fmt.tiny, -fmt.tiny]), fmt, 50)))
        for name, direct in itertools.product(hw.instruction_sets(), (True, False)):
            with instruction_set(name), direct_calls(direct):
                expected = case.ufunc(*operands, *parameters)
                with floating_point.flush_to_zero():
                    result = case.ufunc(*operands, *parameters)
                assert equal_bits(result, expected)


@pytest.mark.parametrize("name", with_parameter_gradients)
def test_sums_ignore_the_environment(name: str) -> None:
    """A sum rounds to nearest too. (In float32, NumPy's own conversion of the total would not.)"""
    function = hw.functions()[name]
    x = ordinary(FORMATS["float64"], 3000)
    parameters = [np.array(p) for p in defaults(function, name)]
    expected = function.parameter_backward(x, x, *parameters)
    if floating_point.needs_libm.args[0]:
        pytest.skip("the constants of fenv.h are not known here")
    for mode in floating_point.ROUNDING.values():
        with floating_point.rounding(mode):
            result = function.parameter_backward(x, x, *parameters)
        assert all(map(equal_bits, result, expected))


@pytest.mark.parametrize("name", ["elu", "celu", "swish", "softplus"])
def test_a_nan_parameter_is_hidden_by_no_other(name: str) -> None:
    """Where a parameter of 1 has a formula of its own, its neighbours keep theirs."""
    function = hw.functions()[name]
    parameters = np.resize([1.0, np.nan, 2.0, 0.75, 1.0], 67)
    x = np.full(67, -0.75)
    for isa, dtype in itertools.product(hw.instruction_sets(), (np.float32, np.float64)):
        with instruction_set(isa):
            result = function(x.astype(dtype), parameters)
            gradient = function.backward(np.ones(67, dtype), x.astype(dtype), parameters)
            one_by_one = [function(dtype(-0.75), p) for p in parameters]
        np.testing.assert_array_equal(np.isnan(result), np.isnan(parameters))
        np.testing.assert_array_equal(np.isnan(gradient), np.isnan(parameters))
        np.testing.assert_array_equal(result, one_by_one)
