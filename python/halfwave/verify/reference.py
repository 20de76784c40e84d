"""An independent formula for every activation: what the accuracy tests compare with.

Each formula is written once over a number system `m`, which is NumPy in float64 (`FLOAT64`, below) or mpmath at any
precision (`exact.py`). Constants inside a formula are exact reals, `m.constant("1.702")`; parameters are what they are
given as. Both branches of `m.where` are evaluated. To add an activation, add its entry to `REFERENCES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np

from .erfc import erfc

Formula = Callable[..., Any]


def _series_near_zero(x: Any, radius: float, coefficients: tuple[Fraction, ...], formula: Formula) -> Any:
    series, number = np.zeros_like(x), x.dtype.type
    for c in reversed(coefficients):
        series = series * x + number(c.numerator) / number(c.denominator)
    return np.where(np.abs(x) < radius, series, formula(x))


def _exp(x: Any) -> Any:
    # NumPy is slow where even a longdouble is 0, as it often is over all inputs.
    return np.zeros_like(x) if np.size(x) and np.max(x) < -12_000 else np.exp(x)


FLOAT64 = SimpleNamespace(
    pi=math.pi,
    constant=float,
    exp=_exp,
    expm1=np.expm1,
    log1p=np.log1p,
    tanh=np.tanh,
    sqrt=np.sqrt,
    erfc=erfc,
    where=np.where,
    minimum=np.minimum,
    maximum=np.maximum,
    divide=np.divide,
    near_zero=_series_near_zero,
)


# NumPy in the widest type there is, for a closer look at float64's results.
EXTENDED = SimpleNamespace(
    **{**vars(FLOAT64), "pi": np.longdouble("3.141592653589793238462643383279502884"), "constant": np.longdouble}
)


@dataclass(frozen=True)
class Reference:
    """The formulas of an activation, and what the catalogue says of it that no formula tells."""

    forward: Formula  # (m, x, *parameters), or (m, gate, up, *parameters)
    derivative: Formula | None = None  # (m, x, *parameters)
    from_output: Formula | None = None  # (m, y, *parameters): the derivative, y clamped to the range
    parameter_derivatives: Formula | None = None  # (m, x, *parameters): one for each parameter
    derivative_gate: Formula | None = None  # (m, gate, up, *parameters)
    derivative_up: Formula | None = None
    second_derivative: Formula = lambda m, x, *parameters: 0  # (m, x, *parameters): 0 where all pieces are straight

    # Values to test with besides the defaults, and instead of them where a parameter has none.
    parameter_sets: tuple[tuple[float, ...], ...] = ()
    borders: Callable[..., tuple[float, ...]] = lambda *parameters: ()  # where one piece meets the next
    from_output_holds: Callable[..., bool] = lambda *parameters: True  # where y tells the derivative
    outside: tuple[tuple[float, ...], ...] = ()  # parameters that are refused
    bounds: tuple[int, ...] = ()  # the parameters of which a NaN always propagates
    selecting: tuple[int, ...] = ()  # the other parameters that decide which piece is selected
    float64_terms: dict[str, Formula] | None = None  # by role, the larger term where float64 results may cancel

    # Inputs, or outputs, at which a wider search than that of the tests has found the greatest errors.
    hard: tuple[float, ...] = ()

    range: Callable[..., tuple[float, float]] = lambda *parameters: (-math.inf, math.inf)
    monotone: bool = False  # never decreasing at the default parameters
    zero: float | None = None  # f(-0.0), where the catalogue says which zero it is
    dead: float = 0.0  # the zero on a flat piece
    keeps_integers: bool = False

    @property
    def gated(self) -> bool:
        """Whether this is a gated unit."""
        return self.derivative is None

    def formula(self, role: str) -> Formula:
        """What a ufunc computes at g = 1."""
        formulas = {
            "forward": self.forward,
            "backward": self.derivative,
            "backward_from_output": self.from_output,
            "backward_gate": self.derivative_gate,
            "backward_up": self.derivative_up,
            "second_derivative": self.second_derivative,
        }
        formula = formulas[role]
        assert formula is not None, f"no reference formula for {role}"
        return formula


# ---- What several have in common -------------------------------------------------------------------------------------


def _sigmoid(m: Any, x: Any) -> Any:
    e = m.exp(-abs(x))
    return m.where(x >= 0, 1, e) / (1 + e)


def _both_sigmoids(m: Any, x: Any) -> tuple[Any, Any]:
    """Of x and of -x."""
    e = m.exp(-abs(x))
    larger = 1 / (1 + e)
    return m.where(x >= 0, larger, e * larger), m.where(x >= 0, e * larger, larger)


def _sigmoid_slope(m: Any, x: Any) -> Any:
    e = m.exp(-abs(x))
    return e / ((1 + e) * (1 + e))


def _sigmoid_curvature(m: Any, x: Any) -> Any:
    return -_sigmoid_slope(m, x) * m.tanh(x / 2)


def _softplus(m: Any, x: Any) -> Any:
    return m.maximum(x, 0) + m.log1p(m.exp(-abs(x)))


def _entropy_of_sigmoid(m: Any, x: Any) -> Any:
    return m.log1p(m.exp(-abs(x))) + abs(x) * _sigmoid(m, -abs(x))


def _swish(m: Any, x: Any, beta: Any) -> Any:
    return x * _sigmoid(m, beta * x)


def _swish_slope(m: Any, x: Any, beta: Any) -> Any:
    t = beta * x
    upper, lower = _both_sigmoids(m, t)
    return upper * (1 + t * lower)


def _swish_curvature(m: Any, x: Any, beta: Any) -> Any:
    t = beta * x
    return beta * _sigmoid_slope(m, t) * (2 - t * m.tanh(t / 2))


def _tanh_slope(m: Any, x: Any) -> Any:
    e = m.exp(-2 * abs(x))
    return 4 * e / ((1 + e) * (1 + e))


def _mish_slope(m: Any, x: Any) -> Any:
    softplus = _softplus(m, x)
    return m.tanh(softplus) + x * _tanh_slope(m, softplus) * _sigmoid(m, x)


def _tanh_curvature(m: Any, x: Any) -> Any:
    return -2 * m.tanh(x) * _tanh_slope(m, x)


def _mish_curvature(m: Any, x: Any) -> Any:
    softplus = _softplus(m, x)
    upper, lower = _both_sigmoids(m, x)
    return _tanh_slope(m, softplus) * upper * (2 + x * (lower - 2 * m.tanh(softplus) * upper))


def _normal_cdf(m: Any, x: Any) -> Any:
    return m.erfc(-x / m.sqrt(m.constant("2"))) / 2


def _normal_pdf(m: Any, x: Any) -> Any:
    return m.exp(-x * x / 2) / m.sqrt(2 * m.pi)


def _gelu(m: Any, x: Any) -> Any:
    return x * _normal_cdf(m, x)


def _gelu_slope(m: Any, x: Any) -> Any:
    return _normal_cdf(m, x) + x * _normal_pdf(m, x)


def _not_far(m: Any, x: Any) -> Any:
    """Some x beyond which e^-x^2 is 0 to every float, so that powers of it do not overflow."""
    return _clip(m, x, -1000, 1000)


def _gelu_curvature(m: Any, x: Any) -> Any:
    near = _not_far(m, x)
    return _normal_pdf(m, near) * (2 - near * near)


def _gelu_tanh_argument(m: Any, x: Any) -> Any:
    return 2 * m.sqrt(2 / m.pi) * (x + m.constant("0.044715") * x * x * x)


def _gelu_tanh(m: Any, x: Any) -> Any:
    return x * _sigmoid(m, _gelu_tanh_argument(m, x))


def _gelu_tanh_slope(m: Any, x: Any) -> Any:
    t = _gelu_tanh_argument(m, x)
    dt = 2 * m.sqrt(2 / m.pi) * (1 + 3 * m.constant("0.044715") * x * x)
    upper, lower = _both_sigmoids(m, t)
    return upper * (1 + x * dt * lower)


def _gelu_tanh_curvature(m: Any, x: Any) -> Any:
    near = _not_far(m, x)
    t = _gelu_tanh_argument(m, near)
    dt = 2 * m.sqrt(2 / m.pi) * (1 + 3 * m.constant("0.044715") * near * near)
    ddt = 2 * m.sqrt(2 / m.pi) * 6 * m.constant("0.044715") * near
    return _sigmoid_slope(m, t) * (2 * dt + near * ddt - near * dt * dt * m.tanh(t / 2))


def _clip(m: Any, x: Any, low: Any, high: Any) -> Any:
    return m.minimum(m.maximum(x, low), high)


_TANH_SERIES = tuple(
    Fraction(numerator, denominator)
    for odd in ((0, 1), (1, 3), (-2, 15), (17, 315), (-62, 2835), (1382, 155925), (-21844, 6081075))
    for numerator, denominator in ((0, 1), odd)
)
_EXP_SERIES = tuple(Fraction(1, math.factorial(k)) for k in range(16))


def _tanhshrink(m: Any, x: Any) -> Any:
    return m.near_zero(x, 0.1, _TANH_SERIES, lambda x: x - m.tanh(x))


def _expm1_minus_x(m: Any, x: Any) -> Any:
    return m.near_zero(x, 0.5, (Fraction(0), Fraction(0), *_EXP_SERIES[2:]), lambda x: m.expm1(x) - x)


def _celu_alpha(m: Any, t: Any) -> Any:
    series = tuple((1 - k) * c for k, c in enumerate(_EXP_SERIES))
    return m.near_zero(t, 0.5, (Fraction(0), Fraction(0), *series[2:]), lambda t: m.expm1(t) - t * m.exp(t))


def _leaky(m: Any, x: Any, slope: Any) -> Any:
    return m.where(x > 0, x, slope * x)


def _inside(m: Any, x: Any, low: Any, high: Any, slope: Any = 1) -> Any:
    return m.where((x > low) & (x < high), slope, 0)


def _squareplus(m: Any, x: Any, b: Any) -> Any:
    root = m.sqrt(x * x + b)
    return m.where(x > 0, (x + root) / 2, m.divide(b, 2 * (root - x)))


def _squareplus_slope(m: Any, x: Any, b: Any) -> Any:
    root = m.sqrt(x * x + b)
    return m.where(x > 0, (1 + m.divide(x, root)) / 2, m.divide(b, 2 * root * (root - x)))


def _squareplus_curvature(m: Any, x: Any, b: Any) -> Any:
    root = m.sqrt(x * x + b)
    return m.divide(b, 2 * root * root * root)


def _selu_constants(m: Any) -> tuple[Any, Any]:
    return m.constant("1.0507009873554804934"), m.constant("1.6732632423543772848")


def _selu(m: Any, x: Any) -> Any:
    scale, alpha = _selu_constants(m)
    return scale * m.where(x > 0, x, alpha * m.expm1(x))


def _selu_slope(m: Any, x: Any) -> Any:
    scale, alpha = _selu_constants(m)
    return scale * m.where(x > 0, 1, alpha * m.exp(x))


def _selu_from_output(m: Any, y: Any) -> Any:
    scale, alpha = _selu_constants(m)
    return m.where(y > 0, scale, m.maximum(y + scale * alpha, 0))


def _clipped_linear_inside(m: Any, x: Any, slope: Any, offset: Any, value: Any) -> Any:
    return _inside(m, slope * x + offset, 0, 1, value)


# From -1 down the terms in x are taken together: with alpha_n near beta they cancel.
def _xielu(m: Any, x: Any, alpha_p: Any, alpha_n: Any, beta: Any) -> Any:
    below = m.where(
        x > -1,
        alpha_n * _expm1_minus_x(m, x) + beta * x,
        alpha_n * m.expm1(x) + (beta - alpha_n) * x,
    )
    return m.where(x > 0, alpha_p * x * x + beta * x, below)


def _xielu_slope(m: Any, x: Any, alpha_p: Any, alpha_n: Any, beta: Any) -> Any:
    below = m.where(x > -1, alpha_n * m.expm1(x) + beta, alpha_n * m.exp(x) + (beta - alpha_n))
    return m.where(x > 0, 2 * alpha_p * x + beta, below)


def _standardised(x: Any, mu: Any, sigma: Any) -> Any:
    return (x - mu) / sigma


def _gated(activation: Reference) -> Reference:
    act, slope = activation.forward, activation.formula("backward")
    return Reference(
        forward=lambda m, gate, up: act(m, gate) * up,
        derivative_gate=lambda m, gate, up: slope(m, gate) * up,
        derivative_up=lambda m, gate, up: act(m, gate),
        borders=activation.borders,
    )


def _gpt_oss(m: Any, gate: Any, alpha: Any, limit: Any) -> Any:
    return _swish(m, m.minimum(gate, limit), alpha)


def _gpt_oss_slope(m: Any, gate: Any, alpha: Any, limit: Any) -> Any:
    return m.where(gate < limit, _swish_slope(m, m.minimum(gate, limit), alpha), 0)


_UNDERFLOWS_TO_MINUS_ZERO: dict[str, Any] = {"zero": -0.0, "dead": -0.0}

_relu = Reference(
    forward=lambda m, x: m.maximum(x, 0),
    derivative=lambda m, x: m.where(x > 0, 1, 0),
    from_output=lambda m, y: m.where(y > 0, 1, 0),
    borders=lambda: (0,),
    range=lambda: (0, math.inf),
    monotone=True,
    zero=-0.0,
    keeps_integers=True,
)

_leaky_relu = Reference(
    forward=_leaky,
    derivative=lambda m, x, a: m.where(x > 0, 1, a),
    from_output=lambda m, y, a: m.where(y > 0, 1, a),
    parameter_derivatives=lambda m, x, a: (m.where(x > 0, 0, x),),
    parameter_sets=((0.2,), (-1.5,), (0.0,), (300.0,), (1e-6,)),
    borders=lambda a: (0,),
    from_output_holds=lambda a: a >= 0,
    monotone=True,
    zero=-0.0,
)

_identity = Reference(
    forward=lambda m, x: x,
    derivative=lambda m, x: 1,
    from_output=lambda m, y: 1,
    monotone=True,
    zero=-0.0,
)

_sigmoid_reference = Reference(
    forward=_sigmoid,
    derivative=_sigmoid_slope,
    second_derivative=_sigmoid_curvature,
    from_output=lambda m, y: _clip(m, y, 0, 1) * (1 - _clip(m, y, 0, 1)),
    range=lambda: (0, 1),
    monotone=True,
)

_gelu_reference = Reference(
    forward=_gelu, derivative=_gelu_slope, second_derivative=_gelu_curvature, **_UNDERFLOWS_TO_MINUS_ZERO
)
_gelu_tanh_reference = Reference(
    forward=_gelu_tanh,
    derivative=_gelu_tanh_slope,
    second_derivative=_gelu_tanh_curvature,
    **_UNDERFLOWS_TO_MINUS_ZERO,
)
_quick_gelu = Reference(
    forward=lambda m, x: _swish(m, x, m.constant("1.702")),
    derivative=lambda m, x: _swish_slope(m, x, m.constant("1.702")),
    second_derivative=lambda m, x: _swish_curvature(m, x, m.constant("1.702")),
    **_UNDERFLOWS_TO_MINUS_ZERO,
)
_silu = Reference(
    forward=lambda m, x: x * _sigmoid(m, x),
    derivative=lambda m, x: _swish_slope(m, x, 1),
    second_derivative=lambda m, x: _swish_curvature(m, x, 1),
    **_UNDERFLOWS_TO_MINUS_ZERO,
)


# ---- The catalogue ---------------------------------------------------------------------------------------------------

REFERENCES: dict[str, Reference] = {
    "relu": _relu,
    "relu6": Reference(
        forward=lambda m, x: _clip(m, x, 0, 6),
        derivative=lambda m, x: _inside(m, x, 0, 6),
        from_output=lambda m, y: _inside(m, y, 0, 6),
        borders=lambda: (0, 6),
        range=lambda: (0, 6),
        monotone=True,
        zero=-0.0,
        keeps_integers=True,
    ),
    "clipped_relu": Reference(
        forward=lambda m, x, ceiling: m.minimum(m.maximum(x, 0), ceiling),
        derivative=lambda m, x, ceiling: _inside(m, x, 0, ceiling),
        from_output=lambda m, y, ceiling: _inside(m, y, 0, ceiling),
        parameter_derivatives=lambda m, x, ceiling: (m.where(x >= ceiling, 1, 0),),
        parameter_sets=((6.5,), (0.3,), (20.0,), (1e30,)),
        borders=lambda ceiling: (0, ceiling),
        bounds=(0,),
        range=lambda ceiling: (0, ceiling),
        monotone=True,
        zero=-0.0,
        keeps_integers=True,
    ),
    "threshold": Reference(
        forward=lambda m, x, theta, value: m.where(x > theta, x, value),
        derivative=lambda m, x, theta, value: m.where(x > theta, 1, 0),
        from_output=lambda m, y, theta, value: m.where(y > theta, 1, 0),
        parameter_derivatives=lambda m, x, theta, value: (0, m.where(x > theta, 0, 1)),
        parameter_sets=((0.1, -2.0), (0.5, 20.0), (-1.0, -2.5), (6.0, 0.0)),
        borders=lambda theta, value: (theta,),
        from_output_holds=lambda theta, value: value <= theta,
        bounds=(0,),
        keeps_integers=True,
    ),
    "thresholded_relu": Reference(
        forward=lambda m, x, theta: m.where(x > theta, x, 0),
        derivative=lambda m, x, theta: m.where(x > theta, 1, 0),
        from_output=lambda m, y, theta: m.where(y > theta, 1, 0),
        parameter_sets=((0.0,), (-1.0,), (3.3,)),
        borders=lambda theta: (theta,),
        from_output_holds=lambda theta: theta >= 0,
        bounds=(0,),
        monotone=True,
        keeps_integers=True,
    ),
    "leaky_relu": _leaky_relu,
    "prelu": _leaky_relu,
    "rrelu": Reference(
        forward=lambda m, x, lower, upper: _leaky(m, x, (lower + upper) / 2),
        derivative=lambda m, x, lower, upper: m.where(x > 0, 1, (lower + upper) / 2),
        from_output=lambda m, y, lower, upper: m.where(y > 0, 1, (lower + upper) / 2),
        parameter_sets=((0.1, 0.3), (-0.5, 0.25), (2.0, 5.0)),
        borders=lambda lower, upper: (0,),
        from_output_holds=lambda lower, upper: lower + upper >= 0,
        monotone=True,
        zero=-0.0,
    ),
    "elu": Reference(
        forward=lambda m, x, alpha: m.where(x > 0, x, alpha * m.expm1(x)),
        derivative=lambda m, x, alpha: m.where(x > 0, 1, alpha * m.exp(x)),
        second_derivative=lambda m, x, alpha: m.where(x > 0, 0, alpha * m.exp(x)),
        from_output=lambda m, y, alpha: m.where(y > 0, 1, m.maximum(y + alpha, 0)),
        parameter_derivatives=lambda m, x, alpha: (m.where(x > 0, 0, m.expm1(x)),),
        parameter_sets=((0.5,), (-1.25,), (3e4,), (1e-4,), (0.0,)),
        borders=lambda alpha: (0,),
        from_output_holds=lambda alpha: alpha >= 0,
        range=lambda alpha: (-alpha, math.inf) if alpha >= 0 else (0, math.inf),
        monotone=True,
        zero=-0.0,
    ),
    "selu": Reference(
        forward=_selu,
        derivative=_selu_slope,
        second_derivative=lambda m, x: m.where(x > 0, 0, _selu_slope(m, m.minimum(x, 0))),
        from_output=_selu_from_output,
        borders=lambda: (0,),
        monotone=True,
        zero=-0.0,
    ),
    "celu": Reference(
        forward=lambda m, x, alpha: m.where(x > 0, x, alpha * m.expm1(x / alpha)),
        derivative=lambda m, x, alpha: m.where(x > 0, 1, m.exp(x / alpha)),
        second_derivative=lambda m, x, alpha: m.where(x > 0, 0, m.exp(x / alpha) / alpha),
        from_output=lambda m, y, alpha: m.where(y > 0, 1, m.maximum((y + alpha) / alpha, 0)),
        parameter_derivatives=lambda m, x, alpha: (m.where(x > 0, 0, _celu_alpha(m, x / alpha)),),
        parameter_sets=((0.3,), (2.5,), (-0.7,), (40.0,)),
        borders=lambda alpha: (0,),
        from_output_holds=lambda alpha: alpha > 0,
        outside=((0.0,),),
        range=lambda alpha: (-alpha, math.inf) if alpha >= 0 else (-math.inf, math.inf),
        monotone=True,
        zero=-0.0,
    ),
    "gelu": _gelu_reference,
    "gelu_tanh": _gelu_tanh_reference,
    "quick_gelu": _quick_gelu,
    "silu": _silu,
    "swish": Reference(
        forward=_swish,
        derivative=_swish_slope,
        second_derivative=_swish_curvature,
        parameter_derivatives=lambda m, x, beta: (x * x * _sigmoid_slope(m, beta * x),),
        parameter_sets=((1.702,), (-0.5,), (30.0,), (1e-3,), (0.0,)),
        **_UNDERFLOWS_TO_MINUS_ZERO,
    ),
    "mish": Reference(
        forward=lambda m, x: x * m.tanh(_softplus(m, x)),
        derivative=_mish_slope,
        second_derivative=_mish_curvature,
        **_UNDERFLOWS_TO_MINUS_ZERO,
    ),
    "softplus": Reference(
        forward=lambda m, x, beta: _softplus(m, beta * x) / beta,
        derivative=lambda m, x, beta: _sigmoid(m, beta * x),
        second_derivative=lambda m, x, beta: beta * _sigmoid_slope(m, beta * x),
        from_output=lambda m, y, beta: -m.expm1(-m.maximum(beta * y, 0)),
        parameter_derivatives=lambda m, x, beta: (-_entropy_of_sigmoid(m, beta * x) / (beta * beta),),
        parameter_sets=((2.0,), (0.1,), (-1.5,), (50.0,)),
        hard=(float.fromhex("-0x1.8961f8p-1"),),
        outside=((0.0,),),
        range=lambda beta: (0, math.inf) if beta > 0 else (-math.inf, 0),
        monotone=True,
    ),
    "squareplus": Reference(
        forward=_squareplus,
        derivative=_squareplus_slope,
        second_derivative=_squareplus_curvature,
        from_output=lambda m, y, b: m.maximum(y, 0) * m.maximum(y, 0) / (m.maximum(y, 0) * m.maximum(y, 0) + b / 4),
        parameter_derivatives=lambda m, x, b: (m.divide(1, 4 * m.sqrt(x * x + b)),),
        parameter_sets=((1.0,), (1e-6,), (1e6,)),
        from_output_holds=lambda b: b > 0,
        outside=((-1.0,),),
        range=lambda b: (0, math.inf),
        monotone=True,
    ),
    "sparse_plus": Reference(
        forward=lambda m, x: m.where(x <= -1, 0, m.where(x < 1, (x + 1) * (x + 1) / 4, x)),
        derivative=lambda m, x: _clip(m, (x + 1) / 2, 0, 1),
        second_derivative=lambda m, x: _inside(m, x, -1, 1, 0.5),
        from_output=lambda m, y: m.sqrt(_clip(m, y, 0, 1)),
        borders=lambda: (-1, 1),
        range=lambda: (0, math.inf),
        monotone=True,
    ),
    "sparse_sigmoid": Reference(
        forward=lambda m, x: _clip(m, (x + 1) / 2, 0, 1),
        derivative=lambda m, x: _inside(m, x, -1, 1, 0.5),
        from_output=lambda m, y: _inside(m, y, 0, 1, 0.5),
        borders=lambda: (-1, 1),
        range=lambda: (0, 1),
        monotone=True,
    ),
    "hardtanh": Reference(
        forward=_clip,
        derivative=_inside,
        from_output=_inside,
        parameter_derivatives=lambda m, x, low, high: (m.where(x <= low, 1, 0), m.where(x >= high, 1, 0)),
        parameter_sets=((-2.0, 6.0), (-0.5, 0.25), (0.75, 3.0)),
        borders=lambda low, high: (low, high),
        outside=((1.0, -1.0),),
        bounds=(0, 1),
        range=lambda low, high: (low, high),
        monotone=True,
        zero=-0.0,
        keeps_integers=True,
    ),
    "hardsigmoid": Reference(
        forward=lambda m, x: _clip(m, (x + 3) / 6, 0, 1),
        derivative=lambda m, x: _inside(m, x, -3, 3, m.constant("1") / 6),
        from_output=lambda m, y: _inside(m, y, 0, 1, m.constant("1") / 6),
        borders=lambda: (-3, 3),
        range=lambda: (0, 1),
        monotone=True,
    ),
    "clipped_linear": Reference(
        forward=lambda m, x, slope, offset: _clip(m, slope * x + offset, 0, 1),
        derivative=lambda m, x, slope, offset: _clipped_linear_inside(m, x, slope, offset, slope),
        from_output=lambda m, y, slope, offset: _inside(m, y, 0, 1, slope),
        parameter_derivatives=lambda m, x, slope, offset: (
            _clipped_linear_inside(m, x, slope, offset, x),
            _clipped_linear_inside(m, x, slope, offset, 1),
        ),
        parameter_sets=((1 / 6, 0.5), (-0.3, 0.2), (5.0, -2.0)),
        borders=lambda slope, offset: (-offset / slope, (1 - offset) / slope) if slope else (),
        from_output_holds=lambda slope, offset: slope != 0,
        selecting=(0, 1),
        range=lambda slope, offset: (0, 1),
        monotone=True,
    ),
    "hardswish": Reference(
        forward=lambda m, x: x * _clip(m, (x + 3) / 6, 0, 1),
        derivative=lambda m, x: m.where(x <= -3, 0, m.where(x < 3, (2 * x + 3) / 6, 1)),
        second_derivative=lambda m, x: _inside(m, x, -3, 3, m.constant("1") / 3),
        borders=lambda: (-3, 3),
        **_UNDERFLOWS_TO_MINUS_ZERO,
    ),
    "hard_mish": Reference(
        forward=lambda m, x: x * _clip(m, x + 2, 0, 2) / 2,
        derivative=lambda m, x: m.where(x <= -2, 0, m.where(x < 0, x + 1, 1)),
        second_derivative=lambda m, x: _inside(m, x, -2, 0),
        borders=lambda: (-2, 0),
        **_UNDERFLOWS_TO_MINUS_ZERO,
    ),
    "softshrink": Reference(
        forward=lambda m, x, lambd: m.where(x > 0, 1, -1) * m.maximum(abs(x) - lambd, 0),
        derivative=lambda m, x, lambd: m.where(abs(x) > lambd, 1, 0),
        from_output=lambda m, y, lambd: m.where(abs(y) > 0, 1, 0),
        parameter_derivatives=lambda m, x, lambd: (m.where(abs(x) > lambd, m.where(x > 0, -1, 1), 0),),
        parameter_sets=((0.0,), (2.5,), (1e-3,)),
        borders=lambda lambd: (-lambd, lambd),
        outside=((-1.0,),),
        bounds=(0,),
        monotone=True,
        zero=-0.0,
    ),
    "hardshrink": Reference(
        forward=lambda m, x, lambd: m.where(abs(x) > lambd, x, 0),
        derivative=lambda m, x, lambd: m.where(abs(x) > lambd, 1, 0),
        from_output=lambda m, y, lambd: m.where(abs(y) > 0, 1, 0),
        parameter_sets=((0.0,), (2.5,), (1e-3,)),
        borders=lambda lambd: (-lambd, lambd),
        outside=((-1.0,),),
        bounds=(0,),
        monotone=True,
        zero=-0.0,
    ),
    "tanhshrink": Reference(
        forward=_tanhshrink,
        derivative=lambda m, x: m.tanh(x) * m.tanh(x),
        second_derivative=lambda m, x: -_tanh_curvature(m, x),
        monotone=True,
        zero=-0.0,
    ),
    "softsign": Reference(
        forward=lambda m, x: x / (1 + abs(x)),
        derivative=lambda m, x: 1 / (1 + abs(x)) / (1 + abs(x)),
        second_derivative=lambda m, x: (
            m.where(x > 0, -2, m.where(x < 0, 2, 0)) / (1 + abs(x)) / (1 + abs(x)) / (1 + abs(x))
        ),
        from_output=lambda m, y: (1 - m.minimum(abs(y), 1)) * (1 - m.minimum(abs(y), 1)),
        range=lambda: (-1, 1),
        monotone=True,
        zero=-0.0,
    ),
    "sigmoid": _sigmoid_reference,
    "logsigmoid": Reference(
        forward=lambda m, x: -_softplus(m, -x),
        derivative=lambda m, x: _sigmoid(m, -x),
        second_derivative=lambda m, x: -_sigmoid_slope(m, x),
        from_output=lambda m, y: -m.expm1(m.minimum(y, 0)),
        range=lambda: (-math.inf, 0),
        monotone=True,
    ),
    "tanh": Reference(
        forward=lambda m, x: m.tanh(x),
        derivative=_tanh_slope,
        second_derivative=_tanh_curvature,
        from_output=lambda m, y: (1 - _clip(m, y, -1, 1)) * (1 + _clip(m, y, -1, 1)),
        range=lambda: (-1, 1),
        monotone=True,
        zero=-0.0,
    ),
    "squared_relu": Reference(
        forward=lambda m, x: m.maximum(x, 0) * m.maximum(x, 0),
        derivative=lambda m, x: 2 * m.maximum(x, 0),
        second_derivative=lambda m, x: m.where(x > 0, 2, 0),
        from_output=lambda m, y: 2 * m.sqrt(m.maximum(y, 0)),
        borders=lambda: (0,),
        range=lambda: (0, math.inf),
        monotone=True,
        zero=0.0,
    ),
    "star_relu": Reference(
        forward=lambda m, x, s, b: s * m.maximum(x, 0) * m.maximum(x, 0) + b,
        derivative=lambda m, x, s, b: 2 * s * m.maximum(x, 0),
        second_derivative=lambda m, x, s, b: m.where(x > 0, 2 * s, 0),
        from_output=lambda m, y, s, b: 2 * m.sqrt(m.maximum(s * (y - b), 0)),
        parameter_derivatives=lambda m, x, s, b: (m.maximum(x, 0) * m.maximum(x, 0), 1),
        parameter_sets=((2.0, -3.0), (0.5, 1.0), (-1.5, 0.75), (1.0, 0.0)),
        borders=lambda s, b: (0,),
        from_output_holds=lambda s, b: s > 0,
        hard=(float.fromhex("-0x1.856afep-3"), float.fromhex("-0x1.628703d551473p-3")),
        monotone=True,
    ),
    "xielu": Reference(
        forward=_xielu,
        derivative=_xielu_slope,
        second_derivative=lambda m, x, p, n, b: m.where(x > 0, 2 * p, n * m.exp(x)),
        parameter_derivatives=lambda m, x, p, n, b: (
            m.where(x > 0, x * x, 0),
            m.where(x > 0, 0, _expm1_minus_x(m, x)),
            x,
        ),
        parameter_sets=((1.3, 0.4, 0.9), (-0.7, 2.0, 0.5), (0.5, 0.5, 0.5), (0.1, 3.0, -1.0), (0.8, 0.8, 0.0)),
        borders=lambda p, n, b: (0,),
        float64_terms={
            "forward": lambda m, x, p, n, b: m.maximum(
                abs(b * x), m.where(x > 0, abs(p * x * x), abs(n * _expm1_minus_x(m, x)))
            ),
            "backward": lambda m, x, p, n, b: m.maximum(abs(b), m.where(x > 0, abs(2 * p * x), abs(n * m.expm1(x)))),
        },
    ),
    "laplace": Reference(
        forward=lambda m, x, mu, sigma: _normal_cdf(m, _standardised(x, mu, sigma)),
        derivative=lambda m, x, mu, sigma: _normal_pdf(m, _standardised(x, mu, sigma)) / sigma,
        second_derivative=lambda m, x, mu, sigma: (
            -_standardised(x, mu, sigma) / sigma * _normal_pdf(m, _standardised(x, mu, sigma)) / sigma
        ),
        parameter_derivatives=lambda m, x, mu, sigma: (
            -_normal_pdf(m, _standardised(x, mu, sigma)) / sigma,
            -_standardised(x, mu, sigma) * _normal_pdf(m, _standardised(x, mu, sigma)) / sigma,
        ),
        parameter_sets=((0.0, 1.0), (1.0, 0.1), (-3.0, 2.5)),
        outside=((0.5, 0.0), (0.5, -1.0)),
        range=lambda mu, sigma: (0, 1),
        monotone=True,
    ),
    "identity": _identity,
    "glu": _gated(_sigmoid_reference),
    "bilinear": _gated(_identity),
    "reglu": _gated(_relu),
    "geglu": _gated(_gelu_reference),
    "geglu_tanh": _gated(_gelu_tanh_reference),
    "geglu_quick": _gated(_quick_gelu),
    "swiglu": _gated(_silu),
    "swiglu_clamped": Reference(
        forward=lambda m, gate, up, alpha, limit: _gpt_oss(m, gate, alpha, limit) * (_clip(m, up, -limit, limit) + 1),
        derivative_gate=lambda m, gate, up, alpha, limit: (
            _gpt_oss_slope(m, gate, alpha, limit) * (_clip(m, up, -limit, limit) + 1)
        ),
        derivative_up=lambda m, gate, up, alpha, limit: _gpt_oss(m, gate, alpha, limit) * _inside(m, up, -limit, limit),
        parameter_sets=((1.0, 7.0), (1.702, 2.0), (-0.5, 3.0), (0.0, 1.5), (1.702, math.inf)),
        borders=lambda alpha, limit: (limit,),
        outside=((1.702, -1.0),),
        bounds=(1,),
    ),
}
