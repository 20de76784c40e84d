"""Find which `Doubt` each function's `Bound` may state: which float32 results do not decide the 16-bit one.

    python tools/doubts.py [NAME ...]

Every 16-bit input goes through the installed package in float32, at the default parameters and g = 1; the result is
rounded once more and compared with the exact value's rounding. Prints, for each function and direction that is not
exact in float32, the fastest that is right for float16 and for bfloat16. The tests on all inputs refuse what is not; of
functions that compute 16 bits by a form of their own they alone can tell.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from halfwave.verify.cases import Case, cases, defaults
from halfwave.verify.rounding import FORMATS, Format, near_midpoint, round_exactly, rounded
from halfwave.verify.samples import everything

Array = np.ndarray[Any, Any]

_NOISE = 2.0**-40  # float64's own error, generously


def nearest(case: Case, fmt: Format, operands: tuple[Any, ...]) -> Array:
    """Round the exact values, by mpmath's word beside midpoints and roots."""
    exact = case.values(*operands)
    result = rounded(exact, fmt)
    for i in np.flatnonzero(near_midpoint(exact, fmt, _NOISE) | case.ill_conditioned(*operands)):
        result[i] = round_exactly(case.exact(*(v if np.ndim(v) == 0 else v[i] for v in operands)), fmt)
    return result


def least(case: Case, fmt: Format) -> str:
    """Name the least doubt that leaves no wrong result."""
    x = everything(fmt)
    inputs = (x,) if len(case.inputs) == 1 else (x, np.ones_like(x))
    parameters = fmt.parameters(defaults(case.ufunc, case.name))
    operands = (*inputs, *parameters)
    exact, right = case.values(*operands), nearest(case, fmt, operands)
    results = np.asarray(case(*(v.astype(np.float32) for v in inputs), *parameters))
    bits, half = results.view(np.uint32), np.uint32(1 << (23 - fmt.precision))
    with np.errstate(all="ignore"):
        even = results.astype(fmt.dtype).astype(np.float64)
        away = even
        if fmt.name == "bfloat16":
            away = ((bits + half) >> 16).astype(np.uint16).view(fmt.dtype).astype(np.float64)
        steps = np.abs(results.astype(np.float64)) / fmt.smallest
        between = np.abs(steps - np.floor(steps) - 0.5) <= 2.0**-14
    normal = (bits & (2 * half - 1)) == half
    midpoint = normal | (np.abs(results) < fmt.tiny) & between
    lost = case.role != "forward" and ((np.abs(results) < FORMATS["float32"].tiny) & (results != exact)).any()
    if not (even != right).any():
        exact_midpoints = (midpoint & (results == exact)).any()
        if not lost and (fmt.name == "float16" or "g" in case.data or exact_midpoints):
            return "never"
        if exact_midpoints:
            return "beyond_range"
    if not (away != right).any():
        return "beyond_range_away"
    for name, towards in ("exact_is_beyond", np.inf), ("exact_is_before", 0):
        with np.errstate(all="ignore"):
            moved = np.nextafter(results, np.copysign(np.float32(towards), results))
            decided = moved.astype(fmt.dtype).astype(np.float64)
        if fmt.name == "bfloat16":  # there, only midpoints are moved
            decided = np.where(normal, decided, even)
        elif towards == 0:  # and here only even floats
            decided = np.where(bits & 1, even, decided)
        if not (decided != right).any():
            return name
    if not (even != right).any():
        return "beyond_range"
    with np.errstate(all="ignore"):
        moved = np.nextafter(results, np.where(results > 0.5, np.float32(np.inf), np.float32(0)))
        decided = moved.astype(fmt.dtype).astype(np.float64)
    if fmt.name == "bfloat16":
        decided = ((moved.view(np.uint32) + half - 1) >> 16).astype(np.uint16).view(fmt.dtype).astype(np.float64)
    if not ((results < 0) | (results > 1)).any() and not (decided != right).any():
        return "exact_is_off_half"
    raised = midpoint if fmt.name == "bfloat16" else np.abs(results) == fmt.smallest / 2
    with np.errstate(all="ignore"):
        moved = np.nextafter(results, np.where(raised, np.float32(np.inf), results))
    if not (moved.astype(fmt.dtype).astype(np.float64) != right).any():
        return "exact_is_above"
    margin = np.uint32(case.ufunc.error_bound["float32"])
    nearly = ((bits + margin - half) & (2 * half - 1)) <= 2 * margin
    for name, doubtful in (
        ("at_normal_midpoints", normal),
        ("at_midpoints", midpoint),
        ("near_normal_midpoints", nearly),
    ):
        if not ((away != right) & ~doubtful).any():
            return name
    return "near_midpoints"


def main() -> None:
    """Print a line for each function and direction."""
    for case in cases():
        if case.ufunc.error_bound["float32"] and (len(sys.argv) == 1 or case.name in sys.argv[1:]):
            print(f"{case!s:40}", *(f"{least(case, FORMATS[d]):20}" for d in ("float16", "bfloat16")), flush=True)


if __name__ == "__main__":
    main()
