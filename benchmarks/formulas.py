"""Every function as an expression, for the libraries that have to compose it.

The expressions are what a user of NumPy would write, naive tails included: they are here to be timed. They stand in the
common subset of NumPy, numexpr, jax.numpy and Python's `math`, with `indicator(c)` for 1 where c holds and 0 elsewhere.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass


@dataclass(frozen=True)
class Formula:
    """Forward from x, the derivative from x, and the derivative from the output y where there is one."""

    forward: str
    derivative: str
    from_output: str | None = None


SIGMOID = "1 / (1 + exp(-x))"
NORMAL_CDF = "0.5 * (1 + erf(x * 0.7071067811865476))"
NORMAL_PDF = "0.3989422804014327 * exp(-0.5 * x * x)"
GELU_TANH_U = "(0.7978845608028654 * (x + 0.044715 * x * x * x))"
SOFTPLUS = "maximum(x, 0) + log1p(exp(-abs(x)))"
LAPLACE_T = "((x - 0.7071067811865476) * 3.5449077018110318)"  # 1 / 0.28209479177387814


def _rectifier(slope: float) -> Formula:
    derivative = f"where({{}} > 0, 1, {slope!r})"
    return Formula(f"where(x > 0, x, {slope!r} * x)", derivative.format("x"), derivative.format("y"))


def _clip(low: float, high: float) -> Formula:
    inside = f"indicator(({{0}} > {low!r}) & ({{0}} < {high!r}))"
    return Formula(f"minimum(maximum(x, {low!r}), {high!r})", inside.format("x"), inside.format("y"))


def _exponential(scale: float, alpha: float) -> Formula:
    product = scale * alpha
    return Formula(
        f"where(x > 0, {scale!r} * x, {product!r} * expm1(x))",
        f"where(x > 0, {scale!r}, {product!r} * exp(x))",
        f"where(y > 0, {scale!r}, y + {product!r})",
    )


def _line(slope: str, offset: float, width: float) -> Formula:
    """A line that is clipped to 0 and 1, of this slope, offset and half width about its middle."""
    middle = (0.5 - offset) * width * 2
    return Formula(
        f"minimum(maximum(x * {slope} + {offset!r}, 0), 1)",
        f"where(abs(x - {middle!r}) < {width!r}, {slope}, 0)",
        f"where((y > 0) & (y < 1), {slope}, 0)",
    )


def _swish(beta: str) -> Formula:
    s = f"1 / (1 + exp(-{beta}x))"
    return Formula(f"x / (1 + exp(-{beta}x))", f"{s} * (1 + {beta}x * (1 - {s}))")


FORMULAS = {
    "relu": Formula("maximum(x, 0)", "indicator(x > 0)", "indicator(y > 0)"),
    "relu6": _clip(0, 6),
    "clipped_relu": _clip(0, 1),
    "threshold": Formula("where(x > 1, x, -2)", "indicator(x > 1)", "indicator(y > 1)"),
    "thresholded_relu": Formula("where(x > 1, x, 0)", "indicator(x > 1)", "indicator(y > 1)"),
    "leaky_relu": _rectifier(0.01),
    "prelu": _rectifier(0.25),
    "rrelu": _rectifier(11 / 48),
    "elu": _exponential(1.0, 1.0),
    "selu": _exponential(1.0507009873554805, 1.6732632423543772),
    "celu": _exponential(1.0, 1.0),
    "gelu": Formula(f"x * {NORMAL_CDF}", f"{NORMAL_CDF} + x * {NORMAL_PDF}"),
    "gelu_tanh": Formula(
        f"0.5 * x * (1 + tanh{GELU_TANH_U})",
        f"0.5 * (1 + tanh{GELU_TANH_U})"
        f" + 0.5 * x * (1 - tanh{GELU_TANH_U} ** 2) * 0.7978845608028654 * (1 + 0.134145 * x * x)",
    ),
    "quick_gelu": _swish("1.702 * "),
    "silu": _swish(""),
    "swish": _swish(""),
    "mish": Formula(
        "x * tanh(log1p(exp(x)))",
        f"tanh(log1p(exp(x))) + x * (1 - tanh(log1p(exp(x))) ** 2) * ({SIGMOID})",
    ),
    "softplus": Formula(SOFTPLUS, SIGMOID, "1 - exp(-y)"),
    "squareplus": Formula("0.5 * (x + sqrt(x * x + 4))", "0.5 * (1 + x / sqrt(x * x + 4))"),
    "sparse_plus": Formula(
        "where(x <= -1, 0, where(x >= 1, x, 0.25 * (x + 1) ** 2))", "minimum(maximum(0.5 * (x + 1), 0), 1)"
    ),
    "sparse_sigmoid": _line("0.5", 0.5, 1.0),
    "hardtanh": _clip(-1, 1),
    "hardsigmoid": _line("0.16666666666666666", 0.5, 3.0),
    "clipped_linear": _line("0.2", 0.5, 2.5),
    "hardswish": Formula(
        "x * minimum(maximum(x + 3, 0), 6) * 0.16666666666666666",
        "where(x <= -3, 0, where(x >= 3, 1, x * 0.3333333333333333 + 0.5))",
    ),
    "hard_mish": Formula("0.5 * x * minimum(maximum(x + 2, 0), 2)", "where(x <= -2, 0, where(x >= 0, 1, x + 1))"),
    "softshrink": Formula(
        "where(x > 0.5, x - 0.5, where(x < -0.5, x + 0.5, 0))", "indicator(abs(x) > 0.5)", "indicator(abs(y) > 0)"
    ),
    "hardshrink": Formula("where(abs(x) > 0.5, x, 0)", "indicator(abs(x) > 0.5)", "indicator(abs(y) > 0)"),
    "tanhshrink": Formula("x - tanh(x)", "tanh(x) ** 2"),
    "softsign": Formula("x / (1 + abs(x))", "1 / (1 + abs(x)) ** 2", "(1 - abs(y)) ** 2"),
    "sigmoid": Formula(SIGMOID, f"{SIGMOID} * (1 - {SIGMOID})", "y * (1 - y)"),
    "logsigmoid": Formula("minimum(x, 0) - log1p(exp(-abs(x)))", "1 / (1 + exp(x))", "1 - exp(y)"),
    "tanh": Formula("tanh(x)", "1 - tanh(x) ** 2", "1 - y * y"),
    "squared_relu": Formula("maximum(x, 0) ** 2", "2 * maximum(x, 0)", "2 * sqrt(y)"),
    "star_relu": Formula(
        "0.8944271909999159 * maximum(x, 0) ** 2 - 0.4472135954999579", "1.7888543819998317 * maximum(x, 0)"
    ),
    "xielu": Formula(
        "where(x > 0, 0.8 * x * x, 0.8 * (expm1(x) - x)) + 0.5 * x", "where(x > 0, 1.6 * x, 0.8 * expm1(x)) + 0.5"
    ),
    "laplace": Formula(
        f"0.5 * (1 + erf({LAPLACE_T} * 0.7071067811865476))",
        f"1.4142135623730951 * exp(-0.5 * {LAPLACE_T} * {LAPLACE_T})",
    ),
    "identity": Formula("1 * x", "1"),
}


@dataclass(frozen=True)
class Gated:
    """Forward, and the derivatives in the gate and in up."""

    forward: str
    gate: str
    up: str


def _gated(activation: str) -> Gated:
    formula = FORMULAS[activation]
    forward, derivative = (rewrite(e, names={"x": "gate"}) for e in (formula.forward, formula.derivative))
    return Gated(f"({forward}) * up", f"up * ({derivative})", forward)


def _gated_and_clamped(alpha: float, limit: float) -> Gated:
    swish = _swish(f"{alpha!r} * ")
    clamped = f"minimum(gate, {limit!r})"
    forward = rewrite(swish.forward, names={"x": "gate"}).replace("gate", clamped)
    factor = f"(minimum(maximum(up, -{limit!r}), {limit!r}) + 1)"
    slope = rewrite(swish.derivative, names={"x": "gate"})
    return Gated(
        f"({forward}) * {factor}",
        f"where(gate < {limit!r}, {slope}, 0) * {factor}",
        f"where(abs(up) < {limit!r}, {forward}, 0)",
    )


# The limits of the machine: what the memory gives when next to nothing is computed.
LIMITS = ("copy", "add", "read", "negative")

# Parameters for functions that have some without a default; the formulas above have the same.
REQUIRED = {"clipped_relu": (1.0,), "threshold": (1.0, -2.0), "prelu": (0.25,)}


class Unsupported(Exception):
    """A library has no such function, or none for this dtype or direction."""


def operands(function: str, direction: str) -> tuple[str, ...]:
    """Return the names of the arrays that a call takes."""
    if function == "add":
        return ("g", "x")
    data = ("gate", "up") if function in GATED else ("y",) if direction == "output" else ("x",)
    return ("g", *data) if direction in ("backward", "output") else data


def expressions(function: str, direction: str) -> tuple[str, ...]:
    """Return the expression of each result."""
    if function in GATED:
        gated = GATED[function]
        return (gated.forward,) if direction in ("forward", "fresh") else (f"g * ({gated.gate})", f"g * ({gated.up})")
    if function not in FORMULAS:
        raise Unsupported("no formula")
    formula = FORMULAS[function]
    if direction in ("forward", "fresh"):
        return (formula.forward,)
    derivative = formula.derivative if direction == "backward" else formula.from_output
    if derivative is None:
        raise Unsupported("no formula from the output")
    return (f"g * ({derivative})",)


class _Rewriter(ast.NodeTransformer):
    """Renames, and writes helpers of ours in terms of what every library has."""

    def __init__(self, names: dict[str, str], constants: list[float] | None, conditional: bool, selects: bool) -> None:
        self.names, self.constants, self.conditional, self.selects = names, constants, conditional, selects

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Rename."""
        return ast.Name(self.names.get(node.id, node.id), ast.Load())

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """Replace a constant by a name, so that it can have the arrays' dtype."""
        if self.constants is None:
            return node
        value = float(node.value)  # type: ignore[arg-type]
        if value not in self.constants:
            self.constants.append(value)
        return ast.Name(f"c{self.constants.index(value)}", ast.Load())

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """Leave exponents as they are: an integer power is a product."""
        exponent = node.right if isinstance(node.op, ast.Pow) else self.visit(node.right)
        return ast.BinOp(self.visit(node.left), node.op, exponent)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Expand `indicator`, `maximum`, `minimum` and `where` as the target has them."""
        assert isinstance(node.func, ast.Name)
        name, arguments = node.func.id, node.args
        if self.selects and name == "indicator":
            name, arguments = "where", [*arguments, ast.Constant(1), ast.Constant(0)]
        elif self.selects and name in ("maximum", "minimum"):
            order: ast.cmpop = ast.Gt() if name == "maximum" else ast.Lt()
            name, arguments = "where", [ast.Compare(arguments[0], [order], [arguments[1]]), *arguments]
        arguments = [self.visit(a) for a in arguments]
        if name == "where" and self.conditional:
            return ast.IfExp(*arguments)
        return ast.Call(ast.Name(self.names.get(name, name), ast.Load()), arguments, [])


def rewrite(
    expression: str,
    *,
    names: dict[str, str] | None = None,
    constants: list[float] | None = None,
    conditional: bool = False,
    selects: bool = False,
) -> str:
    """Rewrite an expression.

    `names` are replaced; constants become c0, c1, … whose values are appended to `constants`; `selects` writes
    indicator, maximum and minimum by `where`, and `conditional` writes `where` as Python's `a if c else b`.
    """
    tree = _Rewriter(names or {}, constants, conditional, selects).visit(ast.parse(expression, mode="eval").body)
    return ast.unparse(ast.fix_missing_locations(tree))


def names_in(expression: str) -> set[str]:
    """Return the names that an expression uses, those of functions included."""
    return {node.id for node in ast.walk(ast.parse(expression)) if isinstance(node, ast.Name)}


GATED = {
    "glu": _gated("sigmoid"),
    "bilinear": _gated("identity"),
    "reglu": _gated("relu"),
    "geglu": _gated("gelu"),
    "geglu_tanh": _gated("gelu_tanh"),
    "geglu_quick": _gated("quick_gelu"),
    "swiglu": _gated("silu"),
    "swiglu_clamped": _gated_and_clamped(1.702, 7.0),
}
