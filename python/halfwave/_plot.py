"""`python -m halfwave plot`: pictures of functions and their derivatives."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _picture
from ._names import resolve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Values = NDArray[np.float64]
Function = Callable[[Values], Values]

_SAMPLES = 2000
_STEP = 2.0**-17  # of the central difference: near the cube root of float64's precision, where its error is least


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="an activation, by any name that halfwave.get knows")
    parser.add_argument("-o", "--output", default="halfwave.png", metavar="FILE", help="a .png, .svg or .pdf file")
    parser.add_argument("--range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="default: what shows the shape")
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        type=_assignment,
        metavar="KEY=VALUE",
        help="a parameter of every function that has one of this name; may be repeated",
    )
    parser.add_argument("--derivative", action="store_true", help="draw the derivative too")
    parser.add_argument("--second", action="store_true", help="draw the first and the second derivative too")
    parser.add_argument("--columns", type=int, metavar="N", help="panels in a row")


def run(arguments: argparse.Namespace) -> int:
    """Draw what the arguments ask for, and save it; end with a message where that is not possible."""
    try:
        _run(arguments)
    except (ValueError, TypeError, ImportError, OSError) as error:
        raise SystemExit(f"halfwave: {error}") from None
    return 0


def _run(arguments: argparse.Namespace) -> None:
    curves = [_Curves(name, dict(arguments.param)) for name in arguments.names]
    known = {p.name for curve in curves for p in curve.function.parameters}
    for key, _ in arguments.param:
        if key not in known:
            raise ValueError(f"no function here has a parameter {key!r}; there are: {', '.join(sorted(known))}")
    if arguments.range and not -math.inf < arguments.range[0] < arguments.range[1] < math.inf:
        raise ValueError(f"the range must go from a low to a higher number, got {arguments.range}")
    if arguments.columns is not None and arguments.columns < 1:
        raise ValueError(f"columns must be positive, got {arguments.columns}")
    derivatives = 2 if arguments.second else int(arguments.derivative)
    with _picture.style():
        picture = _draw(curves, derivatives, arguments.range, arguments.columns)
        _picture.save(picture, arguments.output, 150 if len(curves) < 4 else 130)
    print(f"wrote {arguments.output}")


def _assignment(text: str) -> tuple[str, float]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form KEY=VALUE")
    return key, float(value)


# ---- What is drawn ---------------------------------------------------------------------------------------------------


class _Curves:
    """A function of one variable with its derivatives; of a gated unit, over its gate where `up` is 1."""

    def __init__(self, name: str, parameters: dict[str, float]) -> None:
        self.function = resolve(name, "plot")
        self.parameters = {p.name: parameters[p.name] for p in self.function.parameters if p.name in parameters}
        missing = [p.name for p in self.function.parameters if p.default is None and p.name not in self.parameters]
        if missing:
            raise ValueError(f"{name} needs " + ", ".join(f"--param {key}=VALUE" for key in missing))
        self.gated = self.function.backward_gate is not None

    @property
    def title(self) -> str:
        named = ", ".join(f"{key} = {value:g}" for key, value in self.parameters.items())
        return str(self.function.__name__) + (f" ({named})" if named else "")

    def value(self, x: Values) -> Values:
        data = (x, np.ones_like(x)) if self.gated else (x,)
        return np.asarray(self.function(*data, **self.parameters))

    def slope(self, x: Values) -> Values:
        one = np.ones_like(x)
        if self.gated:
            return np.asarray(self.function.backward_gate(one, x, one, **self.parameters))
        return np.asarray(self.function.backward(one, x, **self.parameters))

    def curvature(self, x: Values) -> Values:
        exact = getattr(self.function, "second_derivative", None)
        if exact is not None and not self.gated:
            return np.asarray(exact(x, **self.parameters))
        return (self.slope(x + _STEP) - self.slope(x - _STEP)) / (2 * _STEP)


class _Jump(NamedTuple):
    """Two neighbours in float64 between which a function jumps; `at` is the one that is the border between pieces."""

    left: float
    right: float

    @property
    def at(self) -> float:
        # Borders are numbers such as 0 or -3, their neighbours are not: the shorter decimal is the border.
        return min(self, key=lambda x: len(repr(x)))


def _jumps(function: Function, low: float, high: float, *, tolerance: float = 1e-6, finest: float = 0.0) -> list[_Jump]:
    """Where a function jumps: intervals are halved, keeping the half of the greater change, until they are neighbours.

    The change of a continuous function goes to zero on the way. What is left of a jump stays. `finest` ends it sooner.
    """
    edges = np.linspace(low, high, _SAMPLES + 1)
    left, right = edges[:-1], edges[1:]
    with np.errstate(all="ignore"):
        for _ in range(1100):  # down to the least subnormal, at 0
            middle = left + (right - left) / 2
            moving = (left < middle) & (middle < right) & (right - left > finest)
            change = np.abs(function(middle) - function(left)), np.abs(function(right) - function(middle))
            first = change[0] >= change[1]
            left, right = np.where(moving & ~first, middle, left), np.where(moving & first, middle, right)
            kept = np.abs(function(right) - function(left)) > tolerance
            left, right, moving = left[kept], right[kept], moving[kept]
            if not moving.any():
                break
    return [_Jump(float(a), float(b)) for a, b in zip(left, right, strict=True)]


def _shown_range(curves: _Curves) -> tuple[float, float]:
    """Up to where the derivative is near its limits, and some way past the outermost kinks."""
    kinks = [jump.at for jump in (*_jumps(curves.slope, -20, 20), *_jumps(curves.value, -20, 20))]

    def reach(sign: float) -> float:
        limit, *slopes = curves.slope(sign * np.array([1e3, 3, 4, 5]))
        if abs(limit) > 10:  # grows without end
            return 3.0
        return next((r for r, slope in zip((3.0, 4.0, 5.0), slopes, strict=True) if abs(slope - limit) < 0.02), 6.0)

    low, high = (max([0.0, *(sign * kink + 2 for kink in kinks)]) for sign in (-1, 1))
    return -max(low, reach(-1) if low <= 3 else 0), max(high, reach(1) if high <= 3 else 0)


# ---- The picture -----------------------------------------------------------------------------------------------------

_LINES: tuple[dict[str, Any], ...] = (
    {"color": _picture.BLUE, "linewidth": 2.6, "label": "function", "zorder": 2},
    {"color": _picture.VERMILION, "linewidth": 1.6, "label": "derivative", "zorder": 3, "linestyle": (0, (5, 1.5))},
    {"color": _picture.GREEN, "linewidth": 1.5, "label": "second derivative", "zorder": 4, "linestyle": (0, (1, 1.2))},
)


def _draw(curves: list[_Curves], derivatives: int, limits: Sequence[float] | None, columns: int | None) -> Any:
    columns = min(columns or math.ceil(math.sqrt(len(curves))), len(curves))
    rows = math.ceil(len(curves) / columns)
    size = (6.4, 4.6) if len(curves) == 1 else (2.9 * columns, 2.35 * rows + 0.4)
    picture = _picture.figure(*size)
    panels = np.atleast_1d(picture.subplots(rows, columns)).ravel()
    for ax, curve in zip(panels, curves, strict=False):
        _panel(ax, curve, derivatives, limits or _shown_range(curve), large=len(curves) == 1)
    for ax in panels[len(curves) :]:
        ax.set_axis_off()
    if derivatives:
        from matplotlib.lines import Line2D

        handles = [Line2D([], [], **line) for line in _LINES[: derivatives + 1]]
        picture.legend(handles=handles, loc="outside lower center", ncols=len(handles), handlelength=2.6)
    return picture


def _panel(ax: Axes, curve: _Curves, derivatives: int, limits: Sequence[float], *, large: bool) -> None:
    low, high = limits
    functions: tuple[Function, ...] = (curve.value, curve.slope, curve.curvature)
    kinks = _jumps(curve.slope, low, high)
    for order in range(derivatives + 1):
        jumps = _jumps(functions[order], low, high) if order < 2 else _corners(curve, kinks, low, high)
        _line(ax, functions[order], jumps, low, high, margin=2 * _STEP if order == 2 else 0.0, **_LINES[order])
        if order < 2:
            _ends(ax, functions[order], jumps, _LINES[order], large)
    # Where the derivative is not drawn, the kink is marked on the function itself.
    if not derivatives:
        at = [k.at for k in kinks]
        ax.plot(at, curve.value(np.array(at)), "o", color=_picture.BLUE, markersize=7 if large else 5, zorder=4)
    ax.axhline(0, color="#888888", linewidth=0.8, zorder=1)
    ax.axvline(0, color="#888888", linewidth=0.8, zorder=1)
    ax.set_xlim(low, high)
    ax.margins(y=0.08)
    ax.locator_params(nbins=8 if large else 5, steps=[1, 2, 5, 10])
    _zoom(ax, low, high)
    ax.set_title(curve.title, fontsize=14 if large else 11, loc="left")
    if large:
        ax.set_xlabel("gate, with up = 1" if curve.gated else "x")
        formula = f"{curve.function.__name__} = {curve.function.formula}"
        if len(formula) <= 80:
            ax.set_title(f"{curve.title}\n", fontsize=14, loc="left")
            ax.text(0, 1.02, formula, transform=ax.transAxes, fontsize=9.5, color="#555555", va="bottom")


def _corners(curve: _Curves, kinks: list[_Jump], low: float, high: float) -> list[_Jump]:
    """Where the second derivative jumps; at a kink it does not exist, a difference across it means nothing."""
    if getattr(curve.function, "second_derivative", None) is not None and not curve.gated:
        return [*kinks, *_jumps(curve.curvature, low, high)]
    return [*kinks, *_jumps(curve.curvature, low, high, tolerance=1e-2, finest=4 * _STEP)]


def _line(
    ax: Axes, function: Function, jumps: list[_Jump], low: float, high: float, margin: float, **line: Any
) -> None:
    """A curve in pieces, from each jump to the next."""
    starts = [low, *sorted(jump.right + margin for jump in jumps)]
    ends = [*sorted(jump.left - margin for jump in jumps), high]
    for start, end in zip(starts, ends, strict=True):
        if start < end:
            x = np.linspace(start, end, max(2, round(_SAMPLES / 4 * (end - start) / (high - low))))
            ax.plot(x, function(x), solid_capstyle="round", **line)


def _ends(ax: Axes, function: Function, jumps: list[_Jump], line: dict[str, Any], large: bool) -> None:
    """At a jump, a full circle at the value that is taken, and an empty one at the other limit."""
    for jump in jumps:
        other = jump.right if jump.at == jump.left else jump.left
        for x, full in ((other, False), (jump.at, True)):
            ax.plot(
                jump.at,
                function(np.array([x]))[0],
                "o",
                markersize=6.5 if large else 4.5,
                markeredgecolor=line["color"],
                markerfacecolor=line["color"] if full else "white",
                markeredgewidth=1.3,
                zorder=5,
            )


def _zoom(ax: Axes, low: float, high: float) -> None:
    """Do not let a steep branch squeeze everything else: show no more than the width of the picture in height."""
    bottom, top = ax.get_ylim()
    if top - bottom > high - low:
        ax.set_ylim(max(bottom, low), min(top, high))
