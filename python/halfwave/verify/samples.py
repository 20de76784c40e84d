"""Inputs that find errors: every exponent, and densely wherever a result changes its kind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .rounding import Array, Format, from_ordinals, ordinals


def everything(fmt: Format) -> Array:
    """All finite numbers of a 16-bit format, in ascending order."""
    last = ordinals(np.array([fmt.largest]), fmt)[0]
    return from_ordinals(np.arange(-last, last + 1), fmt)


def spread(fmt: Format, count: int, low: float = 0.0, high: float = np.inf) -> Array:
    """About `count` numbers, evenly spaced among those of the format, whose magnitude is in [low, high]."""
    ends = ordinals(np.clip(np.array([low, high]), 0.0, fmt.largest), fmt)
    half = np.unique(np.linspace(float(ends[0]), float(ends[1]), count // 2).astype(np.int64))
    # An even spacing would favour the significands that end in zeros.
    half = half + (half * 2654435761 >> 7) % max(1, (int(ends[1]) - int(ends[0])) // max(1, count))
    half = np.clip(half, ends[0], ends[1])
    return from_ordinals(np.unique(np.concatenate([-half, half])), fmt)


def near(points: Array, fmt: Format, close: int) -> Array:
    """Each point's `close` neighbours on both sides, and numbers at growing distances."""
    growing = 2 ** np.arange(1, fmt.precision, max(1, fmt.precision // 12), dtype=np.int64) * 5 // 3
    distances = np.concatenate([np.arange(close + 1), growing])
    offsets = np.unique(np.concatenate([-distances, distances]))
    positions = ordinals(np.clip(points, -fmt.largest, fmt.largest).astype(fmt.dtype), fmt)
    return from_ordinals(np.unique(positions[:, None] + offsets), fmt)


def changes(function: Callable[[Array], Array], x: Array, fmt: Format) -> Array:
    """The numbers where the result's kind (its sign, subnormal, zero, saturated, overflowing) changes, by bisection."""
    kinds = _kind(function(x), fmt)
    at = np.flatnonzero(kinds[1:] != kinds[:-1])
    low, high = ordinals(x[at], fmt), ordinals(x[at + 1], fmt)
    for _ in range(8 * fmt.dtype.itemsize):
        middle = (low >> 1) + (high >> 1) + (low & high & 1)
        same = _kind(function(from_ordinals(middle, fmt)), fmt) == kinds[at]
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return np.unique(from_ordinals(high, fmt))


def _kind(values: Array, fmt: Format) -> Array:
    size = np.abs(values)
    thresholds = (fmt.smallest / 2, fmt.tiny, 1 - 2.0**-fmt.precision, 1 + 2.0**-fmt.precision, fmt.largest)
    kind = np.sum([size >= t for t in thresholds], axis=0)
    return np.asarray(np.where(np.signbit(values), -1 - kind, kind))


def hard(
    function: Callable[[Array], Array],
    fmt: Format,
    count: int,
    points: tuple[float, ...] = (),
    close: int = 8,
) -> Array:
    """About `count` inputs and those around 0, the format's ends, `points` and every change of kind; ascending."""
    third = count // 3
    spreads = [spread(fmt, third), spread(fmt, third, 2.0**-12, 2.0**7), spread(fmt, third, 2.0**-3, 2.0**3)]
    base = np.unique(np.concatenate(spreads))
    ends = np.array([0.0, fmt.smallest, fmt.tiny, fmt.largest, 1.0])
    special = np.concatenate([ends, -ends, np.array(points, np.float64)]).astype(fmt.dtype)
    found = changes(function, base, fmt)
    return np.unique(np.concatenate([base, near(np.concatenate([special, found]), fmt, close)]))
