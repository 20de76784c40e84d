"""The reference formulas in mpmath: the last word where float64 is not exact enough."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import mpmath

from tests.reference import Formula

MP = mpmath.MPContext()


def _erfc(x: Any) -> Any:
    # Beyond any float the leading term will do, which mpmath's own series does not reach.
    return MP.exp(-x * x) / (x * MP.sqrt(MP.pi)) if x > 1e9 else MP.erfc(x)


def _near_zero(x: Any, formula: Formula) -> Any:
    # What remains of x is of the second or third order in it.
    with MP.extraprec(3 * max(0, -MP.mag(x)) if x else 0):
        return formula(x)


EXACT = SimpleNamespace(
    pi=MP.pi,
    constant=MP.mpf,
    exp=MP.exp,
    expm1=MP.expm1,
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
        return tuple(MP.mpf(v) for v in values) if isinstance(values, tuple) else MP.mpf(values)


def _agree(a: Any, b: Any) -> bool:
    if isinstance(a, tuple):
        return all(map(_agree, a, b))
    if a == b:
        return True
    with MP.workprec(_FIRST):
        return bool(abs(a - b) <= MP.ldexp(abs(b), -_AGREEMENT))
