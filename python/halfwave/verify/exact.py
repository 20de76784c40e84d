"""The reference formulas in mpmath: the last word where float64 is not exact enough."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import mpmath

from .reference import Formula

MP = mpmath.MPContext()
FAR = MP.mpf("1e700")  # past every float, where a limit is reached


def _exp(x: Any) -> Any:
    # Far out of every float's range the size is all that counts, and mpmath would need as many bits as it has digits.
    return MP.ldexp(1, int(MP.sign(x)) << MP.mag(x)) if abs(x) > 1e5 else MP.exp(x)


def _expm1(x: Any) -> Any:
    return _exp(x) - 1 if abs(x) > 1e5 else MP.expm1(x)


def _erfc(x: Any) -> Any:
    # Beyond any float the leading term will do, which mpmath's own series does not reach.
    return _exp(-x * x) / (x * MP.sqrt(MP.pi)) if x > 1e9 else MP.erfc(x)


def _near_zero(x: Any, formula: Formula) -> Any:
    # What remains of x is of the second or third order in it.
    with MP.extraprec(3 * max(0, -MP.mag(x)) if x else 0):
        return formula(x)


EXACT = SimpleNamespace(
    pi=MP.pi,
    constant=MP.mpf,
    exp=_exp,
    expm1=_expm1,
    log1p=MP.log1p,
    tanh=MP.tanh,
    sqrt=MP.sqrt,
    erfc=_erfc,
    where=lambda condition, a, b: a if condition else b,
    minimum=min,
    maximum=max,
    divide=lambda a, b: a / b if b else MP.inf,
    near_zero=lambda x, radius, coefficients, formula: _near_zero(x, formula),
)

_FIRST, _MOST = 160, 20_000  # bits
_FAR = 10_000  # exponents
_AGREEMENT = 90  # bits in which two precisions have to agree


def exact(formula: Formula, *operands: Any) -> Any:
    """The value of a formula to at least `_AGREEMENT` bits: the precision grows until two results agree."""
    numbers = [MP.mpf(v) for v in operands]
    precision = _FIRST
    previous = _evaluate(formula, numbers, precision)
    while precision < _MOST:
        precision *= 2
        value = _evaluate(formula, numbers, precision)
        if _agree(previous, value):
            return value
        previous = value
    return value


def _evaluate(formula: Formula, numbers: list[Any], precision: int) -> Any:
    with MP.workprec(precision):
        values = formula(EXACT, *numbers)
        return tuple(map(_bounded, values)) if isinstance(values, tuple) else _bounded(values)


def _bounded(value: Any) -> Any:
    # Exponents of thousands of digits are slow, and no float is anywhere near.
    value = MP.mpf(value)
    if value == 0 or not MP.isfinite(value) or abs(MP.mag(value)) < _FAR:
        return value
    return MP.sign(value) * MP.ldexp(1, _FAR if MP.mag(value) > 0 else -_FAR)


def _agree(a: Any, b: Any) -> bool:
    if isinstance(a, tuple):
        return all(map(_agree, a, b))
    if a == b:
        return True
    with MP.workprec(_FIRST):
        return bool(abs(a - b) <= MP.ldexp(abs(b), -_AGREEMENT))
