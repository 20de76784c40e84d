"""Floating-point formats: units in the last place, rounding, neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .exact import MP

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Format:
    """A binary floating-point format."""

    name: str
    precision: int  # bits of the significand, the hidden one included
    minimum: int  # exponent of the smallest normal number
    maximum: int  # exponent of the largest number

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's dtype of this format; bfloat16 is that of ml_dtypes."""
        if self.name == "bfloat16":
            import ml_dtypes

            return np.dtype(ml_dtypes.bfloat16)  # type: ignore[no-any-return,unused-ignore]
        return np.dtype(self.name)

    @property
    def computed(self) -> np.dtype[Any]:
        """The dtype in which parameters are taken."""
        return np.dtype(np.float64 if self.name == "float64" else np.float32)

    @property
    def bits(self) -> np.dtype[Any]:
        """The unsigned integers of this format's size."""
        return np.dtype(f"u{self.dtype.itemsize}")

    @property
    def infinity(self) -> float:
        """The power of two past the largest number, or what float64 has in its place."""
        return float(np.float64(2.0) ** (self.maximum + 1)) if self.maximum < 1023 else np.inf

    @property
    def largest(self) -> float:
        """The largest finite number."""
        return float(np.ldexp(2.0 - 2.0 ** (1 - self.precision), self.maximum))

    @property
    def tiny(self) -> float:
        """The smallest normal number."""
        return float(np.ldexp(1.0, self.minimum))

    @property
    def smallest(self) -> float:
        """The smallest subnormal number."""
        return float(np.ldexp(1.0, self.minimum - self.precision + 1))

    def parameters(self, values: Any) -> tuple[float, ...]:
        """Parameters as they are computed with."""
        return tuple(float(v) for v in np.asarray(values, self.computed))


FORMATS = {
    f.name: f
    for f in (
        Format("float16", 11, -14, 15),
        Format("bfloat16", 8, -126, 127),
        Format("float32", 24, -126, 127),
        Format("float64", 53, -1022, 1023),
    )
}


_EXPONENT = np.int64(0x7FF << 52)


def unit(value: Array, fmt: Format) -> Array:
    """The unit in the last place of `fmt` at float64 values, not below that of the subnormal numbers."""
    if fmt.name == "float64":
        exponent = np.clip(np.frexp(value)[1] - 1, fmt.minimum, fmt.maximum)
        exponent = np.where(value == 0, fmt.minimum, exponent)
        return np.asarray(np.ldexp(1.0, exponent - fmt.precision + 1))
    powers = np.asarray(value, np.float64).view(np.int64) & _EXPONENT
    np.maximum(powers, np.float64(fmt.tiny).view(np.int64), out=powers)
    np.minimum(powers, np.float64(2.0**fmt.maximum).view(np.int64), out=powers)
    powers -= (fmt.precision - 1) << 52
    return powers.view(np.float64)


def distance(result: Array, exact: Array, fmt: Format, terms: Array | float = 0.0) -> Array:
    """How many units finite results of a format narrower than float64 are away; in units of `terms` if it is greater.

    It is written for speed: it is what an exhaustive check spends a third of its time on.
    """
    found = np.subtract(result, exact, dtype=np.float64)
    np.abs(found, out=found)
    found /= unit(np.maximum(np.abs(exact), terms) if np.any(terms) else exact, fmt)
    return found


def error(result: Array, exact: Array, fmt: Format, terms: Array | float = 0.0) -> Array:
    """The same for any results; an overflow counts as the next power of two, and a NaN is infinitely far away."""
    limit = fmt.infinity
    result = np.clip(np.asarray(result).astype(np.float64), -limit, limit)
    found = distance(result, np.clip(exact, -limit, limit), fmt, terms)
    return np.where(np.isnan(found), np.inf, found)


def exact_error(result: Any, exact: Any, fmt: Format, terms: Any = 0) -> float:
    """The same for one result in any format and an exact value in mpmath."""
    with MP.workprec(200):
        limit = MP.ldexp(1, fmt.maximum + 1)
        value = float(result)
        if np.isnan(value):
            return float("inf")
        computed = min(max(MP.mpf(value), -limit), limit)
        exact = min(max(exact, -limit), limit)
        size = max(abs(exact), terms)
        exponent = fmt.minimum if size == 0 else min(max(MP.mag(size) - 1, fmt.minimum), fmt.maximum)
        if size and MP.ldexp(1, MP.mag(size) - 1) > size:  # mag is an upper bound
            exponent -= 1
        return float(abs(computed - exact) / MP.ldexp(1, exponent - fmt.precision + 1))


def exact_errors(results: Array, exact: list[Any], terms: Any = 0.0) -> Array:
    """The same for float64 results."""
    fmt = FORMATS["float64"]
    # The exact value is taken in two parts; scaled, so that the lower one does not underflow.
    scales = [-300 if e > 1e200 else 300 if e < 1e-200 else 0 for e in map(abs, exact)]
    with MP.workprec(200):
        scaled = [MP.ldexp(e, s) for e, s in zip(exact, scales, strict=True)]
        upper = np.array([float(e) for e in scaled])
        lower = np.array([float(e - MP.mpf(u)) for e, u in zip(scaled, upper, strict=True)])
    limit = np.ldexp(1.0, 1024 - 300)
    with np.errstate(over="ignore"):
        computed = np.clip(np.ldexp(results, scales), -limit, limit)
        saturated = np.abs(upper) >= limit
        distance = np.abs((computed - np.clip(upper, -limit, limit)) - np.where(saturated, 0, lower))
        size = np.maximum(np.abs(np.ldexp(upper, np.negative(scales))), terms)
    distance = distance / np.ldexp(unit(np.minimum(size, fmt.largest), fmt), scales)
    return np.where(np.isnan(results), np.inf, distance)


def rounded(exact: Array, fmt: Format) -> Array:
    """Float64 values rounded to nearest, ties to even, in a narrower format; still in float64."""
    step = unit(exact, fmt)
    nearest = np.rint(exact / step) * step
    return np.where(np.abs(nearest) > fmt.largest, np.copysign(np.inf, nearest), nearest)


def near_midpoint(exact: Array, fmt: Format, margin: float) -> Array:
    """Whether rounding to `fmt` could go the other way if the value were off by a relative `margin`."""
    step = unit(exact, fmt)
    steps = np.abs(exact) / step
    return np.abs(steps - np.floor(steps) - 0.5) <= margin * np.maximum(steps, 1.0)


def round_exactly(exact: Any, fmt: Format) -> float:
    """A value in mpmath rounded to nearest, ties to even."""
    with MP.workprec(300):
        exponent = fmt.minimum if exact == 0 else max(int(MP.floor(MP.log(abs(exact), 2))), fmt.minimum)
        step = MP.ldexp(1, exponent - fmt.precision + 1)
        nearest = MP.nint(exact / step) * step  # nint takes ties to even
        return float(nearest) if abs(nearest) <= fmt.largest else float(MP.sign(nearest) * MP.inf)


def ordinals(values: Array, fmt: Format) -> Array:
    """The position of each number among the numbers of its format, 0 being at zero."""
    bits = np.ascontiguousarray(values, fmt.dtype).view(fmt.bits).astype(np.int64)
    if fmt.name == "float64":
        return np.where(bits < 0, np.int64(-(2**63)) - bits, bits)
    sign = np.int64(1) << (8 * fmt.dtype.itemsize - 1)
    return np.where(bits >= sign, sign - bits, bits)


def from_ordinals(positions: Array, fmt: Format) -> Array:
    """The numbers at these positions, clipped to the finite ones."""
    last = ordinals(np.array([fmt.largest]), fmt)[0]
    n = np.clip(positions, -last, last)
    magnitude = np.abs(n).astype(fmt.bits)
    sign = np.where(
        n < 0, np.array(1, fmt.bits) << np.array(8 * fmt.dtype.itemsize - 1, fmt.bits), np.array(0, fmt.bits)
    )
    return np.asarray((magnitude | sign.astype(fmt.bits)).view(fmt.dtype))
