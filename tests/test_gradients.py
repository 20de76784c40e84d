"""Every backward is the derivative of its forward, and every sum of parameter gradients is the sum of its terms."""

from __future__ import annotations

import itertools
import math
from typing import Any

import halfwave as hw
import numpy as np
import pytest
from halfwave.verify.exact import exact
from halfwave.verify.reference import REFERENCES
from halfwave.verify.rounding import FORMATS, Format, exact_error, unit
from halfwave.verify.samples import near, spread

from tests.cases import (
    CASES,
    Case,
    defaults,
    each_backward,
    each_forward,
    equal_bits,
    instruction_set,
    parameter_sets,
)

FLOAT32, FLOAT64 = FORMATS["float32"], FORMATS["float64"]

each_sum = pytest.mark.parametrize("name", [n for n, f in hw.functions().items() if f.parameter_backward])


def sets(name: str) -> list[tuple[float, ...]]:
    """The parameters to test a function with."""
    return list(dict.fromkeys([defaults(hw.functions()[name], name), *REFERENCES[name].parameter_sets]))


def away_from_borders(name: str, parameters: tuple[float, ...], count: int = 301) -> np.ndarray:
    """Points between which and whose neighbours no piece ends."""
    x = np.linspace(-6.003, 6.001, count)
    borders = np.array(REFERENCES[name].borders(*parameters)).reshape(-1, 1)
    return x[(np.abs(x - borders) > 1e-3).all(axis=0)] if borders.size else x


def slope_of(function: Any, x: np.ndarray, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """A central difference, and how far it may be off."""
    h = 1e-6 * np.where(np.abs(x) > 0.1, np.abs(x), scale)
    high, low = x + h, x - h
    above, below = function(high), function(low)
    size = np.maximum(np.abs(above), np.abs(below))
    return (above - below) / (high - low), 3e-6 * np.maximum(1, size) + 1e-15 * size / h


# ---- With respect to the input ---------------------------------------------------------------------------------------


@each_forward
def test_backward_is_the_slope_of_forward(case: Case) -> None:
    """With respect to x, and for a gated unit to gate and to up."""
    for parameters in parameter_sets(case):
        x = away_from_borders(case.name, parameters)
        if not case.reference.gated:
            difference, tolerance = slope_of(lambda v, p=parameters: case.ufunc(v, *p), x)
            assert (np.abs(case.ufunc.backward(np.ones_like(x), x, *parameters) - difference) <= tolerance).all()
            continue
        gate, up, g = x, np.roll(x, 7), np.ones_like(x)
        difference, tolerance = slope_of(lambda v, p=parameters, u=up: case.ufunc(v, u, *p), gate)
        assert (np.abs(case.ufunc.backward_gate(g, gate, up, *parameters) - difference) <= tolerance).all()
        difference, tolerance = slope_of(lambda v, p=parameters, t=gate: case.ufunc(t, v, *p), up)
        assert (np.abs(case.ufunc.backward_up(g, gate, up, *parameters) - difference) <= tolerance).all()


@pytest.mark.parametrize("case", [c for c in CASES if c.role == "second_derivative"], ids=str)
def test_second_derivative_is_the_slope_of_backward(case: Case) -> None:
    """Away from where pieces meet, with every set of parameters."""
    backward = hw.functions()[case.name].backward
    for parameters in parameter_sets(case):
        x = away_from_borders(case.name, parameters)
        difference, tolerance = slope_of(lambda v, p=parameters: backward(np.ones_like(v), v, *p), x)
        second = case.ufunc(x, *parameters)
        assert (np.abs(second - difference) <= tolerance + 3e-6 * np.abs(second)).all(), parameters


@each_backward
def test_gradient_is_the_product_with_the_derivative(case: Case) -> None:
    """One rounding after the derivative: g * f'(x), as NumPy multiplies them."""
    rng = np.random.default_rng(3)
    for fmt, parameters in itertools.product((FLOAT32, FLOAT64), parameter_sets(case)):
        x = np.concatenate([np.linspace(-8, 8, 203), spread(fmt, 100).astype(np.float64)]).astype(fmt.dtype)
        g = (rng.choice([-1, 1], x.size) * np.exp(rng.uniform(-20, 20, x.size))).astype(fmt.dtype)
        one = np.ones_like(x)
        ups = rng.uniform(-3, 3, x.size).astype(fmt.dtype)
        with np.errstate(all="ignore"):
            if case.role == "backward_gate":
                # up = 1 does not give the derivative itself where up is clipped or shifted.
                expected = (g * case.ufunc(one, x, one)) * ups if not parameters else None
                result = case.ufunc(g, x, ups, *parameters)
            else:
                operands = [x, ups][: len(case.inputs)]
                expected = g * case.ufunc(one, *operands, *parameters)
                result = case.ufunc(g, *operands, *parameters)
        if expected is not None:
            np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("case", [c for c in CASES if c.role == "backward_from_output"], ids=str)
def test_backward_from_output_agrees_with_backward(case: Case) -> None:
    """At y = f(x), as far as the rounding of y has kept the derivative."""
    forward = hw.functions()[case.name]
    for parameters in parameter_sets(case):
        x = away_from_borders(case.name, parameters)
        g = np.linspace(-2, 3, x.size)
        from_output = case.ufunc(g, forward(x, *parameters), *parameters)
        from_input = forward.backward(g, x, *parameters)
        if case.ufunc.error_bound["float64"] == forward.backward.error_bound["float64"] == 0:
            assert equal_bits(from_output, from_input)
        else:
            np.testing.assert_allclose(from_output, from_input, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("case", [c for c in CASES if c.role == "forward" and c.reference.gated], ids=str)
def test_both_gradients_of_a_gated_unit(case: Case) -> None:
    """The plain function returns what the two ufuncs return, into `out` too."""
    unit, rng = case.ufunc, np.random.default_rng(4)
    for dtype, shape in itertools.product((np.float16, np.float32, np.float64), ((67,), (3, 5, 7), ())):
        g, gate, up = (np.asarray(rng.normal(size=shape) * 2, dtype) for _ in range(3))
        parameters = defaults(unit, case.name)
        expected = unit.backward_gate(g, gate, up, *parameters), unit.backward_up(g, gate, up, *parameters)
        assert all(map(equal_bits, unit.backward(g, gate, up, *parameters), expected))
        out = np.empty(shape, dtype), np.empty(shape, dtype)
        returned = unit.backward(g, gate, up, *parameters, out=out)
        assert all(r is o for r, o in zip(returned, out, strict=True))
        assert all(map(equal_bits, out, expected))


# ---- With respect to parameters --------------------------------------------------------------------------------------


@each_sum
def test_parameter_gradients_are_slopes(name: str) -> None:
    """Element by element, with parameters in the shape of x."""
    function = hw.functions()[name]
    for parameters in (p for p in sets(name) if 0 not in p):
        x = away_from_borders(name, parameters)
        full = [np.full_like(x, p) for p in parameters]
        gradients = function.parameter_backward(np.ones_like(x), x, *full)
        for k, gradient in enumerate(gradients):

            def of_parameter(p: np.ndarray, k: int = k, x: np.ndarray = x, full: list[Any] = full) -> np.ndarray:
                return function(x, *full[:k], p, *full[k + 1 :])

            difference, tolerance = slope_of(of_parameter, full[k], abs(parameters[k]))
            assert (np.abs(gradient - difference) <= tolerance).all(), (k, parameters)


@pytest.mark.parametrize("fmt", [FLOAT32, FLOAT64], ids=lambda f: f.name)
@each_sum
def test_each_term_is_accurate(name: str, fmt: Format) -> None:
    """A sum of one term is within the 4 units that the docstring states."""
    function, formula = hw.functions()[name], REFERENCES[name].parameter_derivatives
    assert formula is not None, f"add the parameter derivatives of {name} to halfwave/verify/reference.py"
    for given in sets(name):
        parameters = fmt.parameters(given)
        borders = near(np.array([0.0, *REFERENCES[name].borders(*parameters)]), fmt, 2)
        x = np.concatenate([spread(fmt, 40), spread(fmt, 120, 2.0**-6, 2.0**6), borders])
        full = [np.full(x.shape, p, fmt.computed) for p in parameters]
        gradients = function.parameter_backward(np.ones_like(x), x, *full)
        exactly = [exact(formula, float(v), *parameters) for v in x]
        for k, gradient in enumerate(gradients):
            errors = [exact_error(r, true[k], fmt) for r, true in zip(gradient, exactly, strict=True)]
            worst = int(np.argmax(errors))
            assert errors[worst] <= 4, (k, parameters, float(x[worst]).hex(), gradient[worst])


SHAPES = [(), (1,), (5,), (3, 1), (4, 1, 1), (4, 1, 5), (1, 3, 1), (4, 3, 5), (2, 1, 1, 1), (2, 4, 3, 5)]


def terms_of(name: str, g: np.ndarray, x: np.ndarray, parameters: list[np.ndarray]) -> list[np.ndarray]:
    """The summands, taken from sums of one each, in float64."""
    arrays = np.broadcast_arrays(g, x, *parameters)
    gradients = hw.functions()[name].parameter_backward(*(a.copy() for a in arrays))
    return [np.asarray(v, np.float64) for v in gradients]


def check_sum(total: Any, terms: np.ndarray, shape: tuple[int, ...], fmt: Format) -> None:
    """Compare with the exact sum over the axes that `shape` does not have."""
    padded = (1,) * (terms.ndim - len(shape)) + shape
    kept = [axis for axis, n in enumerate(padded) if n != 1]
    summed = [axis for axis, n in enumerate(padded) if n == 1]
    rows = terms.transpose(*kept, *summed).reshape(math.prod(shape), -1)
    expected = np.array([math.fsum(row) for row in rows]).reshape(shape)
    size = np.array([math.fsum(np.abs(row)) for row in rows]).reshape(shape)
    assert np.shape(total) == shape
    assert (np.abs(total - expected) <= 4 * unit(size, fmt)).all()


@each_sum
def test_sums_over_broadcast_axes(name: str) -> None:
    """Each parameter may have a shape of its own; each gradient comes in it."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(4, 3, 5)) * 3
    for k, shape in enumerate(SHAPES):
        given = sets(name)[k % len(sets(name))]
        shapes = [SHAPES[(k + 3 * i) % len(SHAPES)] if i else shape for i in range(len(given))]
        parameters = [np.full(s, p) * rng.uniform(0.9, 1.1, s) for p, s in zip(given, shapes, strict=True)]
        full = np.broadcast_shapes(x.shape, *shapes)
        g = rng.normal(size=full)
        totals = hw.functions()[name].parameter_backward(g, x, *parameters)
        for total, terms, s in zip(totals, terms_of(name, g, x, parameters), shapes, strict=True):
            check_sum(total, terms, s, FLOAT64)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@each_sum
def test_dtype_of_sums(name: str, dtype: Any) -> None:
    """It is that of the data, whatever the parameters are; scalar parameters give scalars."""
    x = np.linspace(-2, 2, 12).astype(dtype).reshape(3, 4)
    parameters = defaults(hw.functions()[name], name)
    for convert in (float, np.float64, np.float32, lambda p: np.full((3, 1), p), lambda p: np.array(p)):
        for p, total in zip(
            map(convert, parameters),
            hw.functions()[name].parameter_backward(x, x, *map(convert, parameters)),
            strict=True,
        ):
            assert total.dtype == dtype
            assert total.shape == np.shape(p)


@each_sum
def test_float32_is_summed_in_float64(name: str) -> None:
    """A hundred thousand equal terms leave no trace of their number in the error."""
    n = 100_000
    for parameters, value in itertools.product(sets(name), (-0.7, 1.3)):
        x, g = np.full(n, value, np.float32), np.full(n, 1 / 3, np.float32)
        terms = terms_of(name, g[:1], x[:1], [np.full(1, p, np.float32) for p in parameters])
        totals = hw.functions()[name].parameter_backward(g, x, *parameters)
        for total, term in zip(totals, terms, strict=True):
            assert np.float32(n * float(np.float32(term[0]))) == total


def layouts(a: np.ndarray) -> list[np.ndarray]:
    """The same array, laid out in memory in other ways."""
    padded = np.zeros((*a.shape[:-1], 2 * a.shape[-1] + 1), a.dtype)
    padded[..., 1::2] = a
    backwards = np.ascontiguousarray(a[::-1, ..., ::-1])[::-1, ..., ::-1]
    axes = (1, 2, 0)
    permuted = np.ascontiguousarray(a.transpose(axes)).transpose(np.argsort(axes))
    fields = np.zeros(
        a.shape, np.dtype({"names": ["a"], "formats": [a.dtype], "offsets": [1], "itemsize": a.itemsize + 3})
    )
    fields["a"] = a
    return [a, np.asfortranarray(a), padded[..., 1::2], backwards, permuted, fields["a"]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@each_sum
def test_sums_do_not_depend_on_layout(name: str, dtype: Any) -> None:
    """Nor on the instruction set: the order of the additions is fixed."""
    rng = np.random.default_rng(7)
    x, g = (rng.normal(size=(6, 50, 37)).astype(dtype) for _ in range(2))
    base = defaults(hw.functions()[name], name)
    for shape in ((), (50, 1), (6, 1, 1), (37,), (6, 1, 37)):
        parameters = [np.full(shape, p, np.float32) for p in base]
        expected = None
        for instructions in hw.instruction_sets():
            with instruction_set(instructions):
                for a, b in zip(layouts(x), reversed(layouts(g)), strict=True):
                    totals = hw.functions()[name].parameter_backward(b, a, *parameters)
                    expected = totals if expected is None else expected
                    assert all(map(equal_bits, totals, expected)), shape


@each_sum
def test_sum_of_nothing_is_zero(name: str) -> None:
    """An empty batch has a gradient of zero for a parameter, and none for one that is empty too."""
    base = defaults(hw.functions()[name], name)
    for total in hw.functions()[name].parameter_backward(np.ones((0, 3)), np.ones((0, 3)), *base):
        assert total == 0
    for total in hw.functions()[name].parameter_backward(
        np.ones((0, 3)), np.ones((0, 3)), *(np.full((3,), p) for p in base)
    ):
        np.testing.assert_array_equal(total, np.zeros(3))
    empty = [np.full((0, 1), p) for p in base]
    assert all(
        t.shape == (0, 1) for t in hw.functions()[name].parameter_backward(np.ones((0, 3)), np.ones((0, 3)), *empty)
    )


@each_sum
def test_upstream_gradient_broadcasts(name: str) -> None:
    """Every operand broadcasts, g and x too."""
    base = defaults(hw.functions()[name], name)
    x = np.linspace(-3, 3, 12).reshape(3, 4)
    for g in (np.float64(0.5), np.full((4,), 0.5), np.full((2, 1, 1), 0.5)):
        full = np.broadcast_to(g, np.broadcast_shapes(g.shape, x.shape))
        result = hw.functions()[name].parameter_backward(g, x, *base)
        expected = hw.functions()[name].parameter_backward(full, np.broadcast_to(x, full.shape), *base)
        assert all(map(equal_bits, result, expected))


@each_sum
def test_parameters_by_keyword(name: str) -> None:
    """The same as by position, and by default."""
    function = hw.functions()[name]
    x = np.linspace(-3, 3, 12)
    base = defaults(function, name)
    expected = function.parameter_backward(x, x, *base)
    keywords = {p.name: v for p, v in zip(function.parameters, base, strict=True)}
    assert all(map(equal_bits, function.parameter_backward(x, x, **keywords), expected))
    required = {p.name: v for p, v in zip(function.parameters, base, strict=True) if p.default is None}
    assert all(map(equal_bits, function.parameter_backward(x, x, **required), expected))
