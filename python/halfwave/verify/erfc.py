"""The complementary error function in NumPy, which has none: for the references of everything Gaussian.

For z >= 0, erfc(z) = exp(-z^2) erfcx(z), and (1 + 2z) erfcx(z) runs from 1 to 2/sqrt(pi). In t = (z - K)/(z + K) it is
so smooth that a polynomial of moderate degree gives it to the precision of the dtype, as M. M. Shepherd and J. G.
Laframboise found ("Chebyshev approximation of (1 + 2x)exp(x^2)erfc x in 0 <= x < infinity", Math. Comp. 36, 1981). The
coefficients are made here, with mpmath, when they are first used.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import mpmath
import numpy as np

_CENTRE = 3.75  # K
_END = 28.0  # erfc(28) is below the smallest float64
_DEGREE = {np.dtype(np.float64): 20, np.dtype(np.longdouble): 30}  # relative errors of 1e-14 and 3e-20


def erfc(x: Any) -> Any:
    """Evaluate erfc to about 1e-14 in float64, 3e-20 in longdouble, plus the rounding of x^2: relative errors."""
    x = np.asarray(x)
    if x.size and np.min(np.abs(x)) >= _END:
        return np.where(x < 0, x.dtype.type(2), x.dtype.type(0))[()]
    z = np.minimum(np.abs(x), x.dtype.type(_END))
    t = (z - _CENTRE) / (z + _CENTRE)
    first, *rest = _coefficients(x.dtype)
    total = np.full_like(t, first)
    for coefficient in rest:
        total *= t
        total += coefficient
    tail = np.exp(-z * z) * (total / (1 + 2 * z))
    return np.where(x < 0, 2 - tail, tail)[()]


@cache
def _coefficients(dtype: np.dtype[Any]) -> tuple[Any, ...]:
    """The polynomial in t that interpolates (1 + 2z) erfcx(z) at Chebyshev's nodes; descending in degree."""
    count = _DEGREE[dtype] + 1
    with mpmath.workprec(400):
        end = (mpmath.mpf(_END) - _CENTRE) / (_END + _CENTRE)
        angles = [mpmath.pi * (2 * k + 1) / (2 * count) for k in range(count)]
        nodes = [((end - 1) + (end + 1) * mpmath.cos(angle)) / 2 for angle in angles]
        values = [_scaled(_CENTRE * (1 + t) / (1 - t)) for t in nodes]
        matrix = mpmath.matrix([[t**k for k in reversed(range(count))] for t in nodes])
        solution = mpmath.lu_solve(matrix, mpmath.matrix(values))
        return tuple(dtype.type(mpmath.nstr(c, 30)).item() for c in solution)


def _scaled(z: Any) -> Any:
    return (1 + 2 * z) * mpmath.exp(z * z) * mpmath.erfc(z)
