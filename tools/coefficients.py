"""Writes csrc/math/coefficients.hpp: every polynomial and constant of the vector mathematics.

    python tools/coefficients.py            write the header and print the errors
    python tools/coefficients.py --check    fail if the header on disk is not what this script makes
    python tools/coefficients.py Tanh …     the same for these structs, leaving the others as they are

Needs mpmath and the program `sollya`. To add a polynomial, add an entry to STRUCTS.
"""

import argparse
import functools
import itertools
import operator
import pathlib
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import mpmath
from mpmath import mpf

HEADER = pathlib.Path(__file__).resolve().parent.parent / "csrc/math/coefficients.hpp"
PRECISION = 200
SAMPLES = 700
SERIES_TERMS = 30
WIDTH = 120

mpmath.mp.prec = PRECISION


# -- The two formats ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Format:
    name: str
    suffix: str
    precision: int
    exponent_bias: int

    @property
    def mantissa_bits(self):
        return self.precision - 1

    def round(self, value):
        with mpmath.workprec(self.precision):
            return +mpf(value)

    def literal(self, value):
        mantissa, exponent = float(value).hex().split("p")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa}p{exponent}{self.suffix}"


FLOAT = Format("float", "f", 24, 127)
DOUBLE = Format("double", "", 53, 1023)
FORMATS = (FLOAT, DOUBLE)
FLOAT_MAX = mpf(2) ** 128 - mpf(2) ** 104


# -- Formulas: one text that Sollya and mpmath both understand ---------------------------------------------------------

FUNCTIONS = {
    "logistic": "1/(1+exp(-x))",
    "silu_derivative": "logistic(x)*(1+x*logistic(-x))",
    "quick_gelu_derivative": "silu_derivative(x*1702/1000)",
    "tanh_gate": "sqrt(8/pi)*(x+x^3*44715/1000000)",
    "gelu_tanh_derivative": "logistic(tanh_gate(x))*(1+logistic(-tanh_gate(x))*sqrt(8/pi)*(x+x^3*134145/1000000))",
    "mish_derivative": "exp(x)*(4*(x+1)+exp(x)*(4*x+6+exp(x)*(4+exp(x))))/(2+exp(x)*(2+exp(x)))^2",
    "silu_second_derivative": "logistic(x)*logistic(-x)*(2-x*(1-2*logistic(-x)))",
    "tanh_gate_slope": "sqrt(8/pi)*(1+x^2*134145/1000000)",
    "gelu_tanh_second_derivative": (
        "logistic(tanh_gate(x))*logistic(-tanh_gate(x))*(tanh_gate_slope(x)"
        "*(4-x*tanh_gate_slope(x)*(1-2*logistic(-tanh_gate(x))))-2*sqrt(8/pi))"
    ),
    "mish_second_derivative": ("4*exp(x)*(4+2*x+exp(x)*(8+2*x+exp(x)*(6-3*x+exp(x)*(2-2*x))))/(2+exp(x)*(2+exp(x)))^3"),
    "softplus": "log1p(exp(x))",
    "mills": "exp(x^2/2)*erfc(x/sqrt(2))/2",
    "gelu_derivative": "1-exp(-x^2/2)*(mills(x)-x/sqrt(2*pi))",
    "gelu_slope": "(mills(x)-x/sqrt(2*pi))/(x-gelu_root)",
}


@functools.cache
def compiled(formula):
    return compile(formula.replace("^", "**"), formula, "eval")


def evaluate(formula, x, known):
    names = {name: getattr(mpmath, name) for name in ("exp", "expm1", "log", "log1p", "tanh", "erf", "erfc", "sqrt")}
    names |= {name: (lambda text: lambda at: evaluate(text, at, known))(text) for name, text in FUNCTIONS.items()}  # noqa: B023
    return eval(compiled(formula), names | ROOTS | {"x": x, "pi": mpmath.pi} | known)


def root_near(formula, start):
    return mpmath.findroot(lambda x: evaluate(formula, x, {}), start)


ROOTS = {}
ROOTS |= {
    "silu_root": root_near("silu_derivative(x)", -1.2784645),
    "quick_gelu_root": root_near("quick_gelu_derivative(x)", -0.7511542),
    "gelu_root": root_near("mills(x)-x/sqrt(2*pi)", 0.7517915),
    "gelu_tanh_root": -root_near("gelu_tanh_derivative(x)", -0.7524614),
}


def exact_text(value):
    """A binary floating-point number in Sollya's notation, which rounds nothing."""
    sign, mantissa, exponent, _ = mpf(value)._mpf_
    return f"{'-' if sign else ''}{mantissa}b{exponent}"


def sollya(program, known):
    numbers = "".join(f"{name} = {exact_text(value)};\n" for name, value in (ROOTS | known).items())
    functions = "".join(f"{name} = {text};\n" for name, text in FUNCTIONS.items())
    session = f"prec = {PRECISION}; display = dyadic;\n{numbers}{functions}{program}quit;\n"
    result = subprocess.run(["sollya"], input=session, capture_output=True, text=True, check=True)
    return result.stdout


# -- What a struct holds -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Constant:
    name: str
    comment: str
    value: Callable[[Format, dict], object]
    type: str = ""

    def make(self, form, known):
        value = self.value(form, known)
        known[self.name] = form.round(value)
        literal = str(value) if self.type else form.literal(known[self.name])
        return self.comment, f"static constexpr {self.type or form.name} {self.name} = {literal};"


@dataclass(frozen=True)
class Table:
    """Eight floats for lookup8, which serve double too."""

    name: str
    comment: str
    value: Callable[[Format, int], object]
    formats: tuple[Format, ...] = FORMATS

    def make(self, form, known):
        if form not in self.formats:
            return "", ""
        literals = [FLOAT.literal(FLOAT.round(self.value(form, i))) for i in range(8)]
        return self.comment, f"static constexpr float {self.name}[8] = {{{listed(literals)}}};"


@dataclass(frozen=True)
class Polynomial:
    """Coefficients p, ascending, for which given + x^shift p(x^step) approximates `function` in relative error.

    Formulas may name the constants that precede it in its struct. `exact` and `approximation`, with p for the
    polynomial's value, say what the error in the comment is an error of where that is not the fit itself.
    `leading_low` names a second word of the first coefficient.
    """

    name: str
    comment: str
    function: str
    low: float | dict[str, float]
    high: float | dict[str, float]
    terms: dict[str, int]
    given: str = "0"
    shift: int = 0
    step: int = 1
    exact: str = ""
    approximation: str = ""
    leading_low: str = ""

    def make(self, form, known):
        coefficients = self.fit(form, known)
        error = self.error(form, coefficients, known)
        print(f"  {form.name:8}{self.name:12}{len(coefficients):3} terms   2^{error:.2f}")
        values = list(map(form.round, coefficients))
        code = f"static constexpr {form.name} {self.name}[{len(values)}] = {{{listed(map(form.literal, values))}}};"
        if self.leading_low:
            low = form.literal(form.round(coefficients[0] - values[0]))
            code += f"\nstatic constexpr {form.name} {self.leading_low} = {low};"
        return f"{self.comment} {len(coefficients)} terms, relative error 2^{error:.1f}.", code

    def fit(self, form, known):
        powers = [self.shift + self.step * i for i in range(of(self.terms, form))]
        bits = [form.precision] * len(powers)
        if self.leading_low:
            bits[0] *= 2
        output = sollya(
            f"p = fpminimax({self.function}, [|{listed(powers)}|], [|{listed(bits)}|], "
            f"[{exact_text(of(self.low, form, known))};{exact_text(of(self.high, form, known))}], "
            f"relative, floating, {self.given});\n" + "".join(f"coeff(p, {power});\n" for power in powers),
            known,
        )
        found = re.findall(r"^(-?\d+)(?:b(-?\d+))?$", output, re.M)
        if len(found) != len(powers):
            raise RuntimeError(f"Sollya found no {self.name} for {form.name}:\n{output}")
        return [mpmath.ldexp(int(mantissa), int(exponent or 0)) for mantissa, exponent in found]

    def error(self, form, coefficients, known):
        function = self.exact or self.function
        approximation = self.approximation or f"{self.given}+x^{self.shift}*p"
        low, high = mpf(of(self.low, form, known)), mpf(of(self.high, form, known))
        middle, radius = (high + low) / 2, (high - low) / 2
        worst = mpf(0)
        for i in range(SAMPLES):
            x = middle - radius * mpmath.cos(mpmath.pi * i / (SAMPLES - 1))
            p = mpmath.polyval(coefficients[::-1], x**self.step)
            exact = evaluate(function, x, known)
            worst = max(worst, abs((evaluate(approximation, x, known | {"p": p}) - exact) / exact))
        return float(mpmath.log(worst, 2))


@dataclass(frozen=True)
class Pieces:
    """Eight or sixteen polynomials for lookup8 or lookup16, one for each piece of a range, in float alone.

    With d = centre - x, or x - centre if `upward`: function = c[0] + c[1] d + c[2] d^2 + …, in relative error. A centre
    is a point next to the one given whose value is nearly a float (Gal's method), or, at a zero, that point itself.
    `low_words` are second words of c[0] and c[1]: with them it is that point everywhere, and at a zero the first word
    of c[0] is 0.
    """

    name: str
    comment: str
    function: str
    bounds: tuple[float, ...]
    centres: tuple[object, ...]
    terms: int
    zero: int = -1  # the piece whose centre is a zero
    low_words: bool = False
    value_bits: int = 24  # of the first words of c[0]; fewer keep its difference from a larger sum exact
    order: int = 0  # of the zero at 0, the centre of the first piece: its c[0] to c[order - 1] are 0
    identity: bool = False  # c[0] is x itself in the first piece, about 0, and the largest float in its place
    upward: bool = False
    series: bool = False  # Sollya gets the function as its Taylor series about each centre, which it is quicker with
    first: int = 0  # the index of the first piece; those that follow the last index begin at 0
    margin: float = 1e-4  # how far a piece reaches beyond its bounds, relative to their distance

    def make(self, form, known):
        pieces = [self.piece((i - self.first) % self.count) for i in range(self.count)]
        error = max(error for *_, error in pieces)
        print(f"  {form.name:8}{self.name:12}{self.count} x {self.terms} terms   2^{error:.2f}")
        rows = list(zip(*(coefficients for _, coefficients, _ in pieces), strict=True))
        centres = listed(form.literal(centre) for centre, *_ in pieces)
        code = f"static constexpr float {self.name}_centre[{self.count}] = {{{centres}}};\n"
        if self.low_words:
            zero = (self.zero + self.first) % self.count if self.zero >= 0 else -1
            short = [mpf(0) if i == zero else rounded_bits(self.value_bits, c) for i, c in enumerate(rows[0])]
            highs = [short, [form.round(c) for c in rows[1]]]
            lows = [
                [form.round(c - high) for c, high in zip(*both, strict=True)]
                for both in zip(rows[:2], highs, strict=True)
            ]
            rows[:2] = highs
            code += self.table(form, f"{self.name}_low", lows) + "\n"
        code += self.table(form, self.name, rows)
        return f"{self.comment} {self.terms} terms, relative error 2^{error:.1f}.", code

    @staticmethod
    def table(form, name, rows):
        text = "".join(wrapped_row(listed(map(form.literal, row))) for row in rows)
        return f"static constexpr float {name}[{len(rows)}][{len(rows[0])}] = {{\n{text}}};"

    @property
    def count(self):
        return len(self.bounds) - 1

    @property
    def first_bits(self):
        return 48 if self.low_words else 24

    def piece(self, i):
        reach = (self.bounds[i + 1] - self.bounds[i]) * self.margin
        low, high = mpf(self.bounds[i] - reach * (i > 0)), mpf(self.bounds[i + 1] + reach)
        centre, value = self.centre(i)
        sign = 1 if self.upward else -1
        ends = sorted((sign * (low - centre), sign * (high - centre)))
        # where the first term is given, the others must not all vanish at an end
        ends = [ends[0] or mpf(2) ** -30, ends[1] or -(mpf(2) ** -30)]
        function = re.sub(r"\by\b", f"({exact_text(centre)}{'+' if self.upward else '-'}x)", self.function)
        interval = f"[{exact_text(ends[0])};{exact_text(ends[1])}]"
        orders = range(1, self.terms)
        if self.series:
            return centre, *self.from_series(i, centre, value, low, high, interval)
        if i == 0 and self.identity:
            return self.near_identity(low, high)
        if i == 0 and self.order:
            return self.near_zero(high)
        if i == self.zero:  # there is no relative error at a zero
            program = f"(({function})-{exact_text(value)})/x, [|{listed(range(self.terms - 1))}|]"
            fit = f"p = x*fpminimax({program}, {self.bits}, {interval}, relative, floating);\n"
        else:
            fit = (
                f"p = fpminimax({function}, [|{listed(orders)}|], {self.bits}, {interval}, "
                f"relative, floating, {exact_text(value)});\n"
            )
        coefficients = [value, *self.coefficients(fit, orders)]
        return centre, coefficients, self.error(i, centre, coefficients, low, high, sign)

    def from_series(self, i, centre, value, low, high, interval):
        """The fit of the function's Taylor series; divided by the distance from a zero, that is a series still."""
        terms = mpmath.taylor(self.at, centre, SERIES_TERMS)
        text = "+".join(f"({exact_text(term)})*x^{k}" for k, term in enumerate(terms) if term)
        orders = range(1, self.terms)
        if i == self.zero:  # there is no relative error at a zero
            rest = "+".join(f"({exact_text(term)})*x^{k}" for k, term in enumerate(terms[1:]))
            powers = f"[|{listed(range(self.terms - 1))}|]"
            fit = f"p = x*fpminimax({rest}, {powers}, {self.bits}, {interval}, relative, floating);\n"
        else:
            given = exact_text(value)
            fit = (
                f"p = fpminimax({text}, [|{listed(orders)}|], {self.bits}, {interval}, relative, floating, {given});\n"
            )
        coefficients = [value, *self.coefficients(fit, orders)]
        return coefficients, self.error(i, centre, coefficients, low, high, 1)

    @property
    def bits(self):
        """The precisions of c[1], c[2], …, as Sollya wants them."""
        return f"[|{listed([self.first_bits] + [24] * (self.terms - 2))}|]"

    def coefficients(self, fit, orders):
        output = sollya(fit + "".join(f"coeff(p,{k});\n" for k in orders), {})
        found = re.findall(r"^(-?\d+)(?:b(-?\d+))?$", output, re.M)
        if len(found) != len(orders):
            raise RuntimeError(f"Sollya found no piece of {self.name}:\n{output}")
        return [mpmath.ldexp(int(mantissa), int(exponent or 0)) for mantissa, exponent in found]

    def near_identity(self, low, high):
        function, orders = re.sub(r"\by\b", "x", self.function), range(2, self.terms)
        fit = (
            f"p = x*fpminimax(({function})/x-1, [|{listed(range(1, self.terms - 1))}|], "
            f"[|{listed([24] * len(orders))}|], [1b-30;{exact_text(high)}], absolute, floating);\n"
        )
        coefficients = [mpf(0), *self.coefficients(fit, orders)]
        error = self.error(0, mpf(0), [mpf(0), mpf(1), *coefficients[1:]], mpf(2) ** -30, high, 1)
        return mpf(0), [mpf(FLOAT_MAX), *coefficients], error

    def near_zero(self, high):
        function, orders = re.sub(r"\by\b", "x", self.function), range(self.order, self.terms)
        fit = (
            f"p = fpminimax({function}, [|{listed(orders)}|], [|{listed([24] * len(orders))}|], "
            f"[1b-20;{exact_text(high)}], relative, floating);\n"
        )
        coefficients = [mpf(0)] * self.order + self.coefficients(fit, orders)
        return mpf(0), coefficients, self.error(0, mpf(0), coefficients, mpf(2) ** -20, high, 1)

    def at(self, y):
        return evaluate(self.function, mpf(0), {"y": y})

    def centre(self, i):
        start = FLOAT.round(self.centres[i])
        if i == self.zero or start == 0 or self.low_words:
            value = self.at(start)
            with mpmath.workprec(self.first_bits):
                return start, +value
        ulp = mpf(2) ** (mpmath.mag(start) - 24)

        def distance(y):
            exact = self.at(y)
            return abs(FLOAT.round(exact) / exact - 1)

        best = min((start + k * ulp for k in range(-1500, 1500)), key=distance)
        return best, FLOAT.round(self.at(best))

    def error(self, i, centre, coefficients, low, high, sign):
        worst = mpf(0)
        for k in range(SAMPLES // 4):
            y = (low + high) / 2 - (high - low) / 2 * mpmath.cos(mpmath.pi * k / (SAMPLES // 4 - 1))
            exact, d = self.at(y), sign * (y - centre)
            if i == self.zero and abs(d) < 1e-3:
                continue
            worst = max(worst, abs(mpmath.polyval(coefficients[::-1], d) / exact - 1))
        return float(mpmath.log(worst, 2))


def rounded_bits(bits, value):
    with mpmath.workprec(bits):
        return +value


def wrapped_row(values):
    if len(values) < WIDTH - 8:
        return f"    {{{values}}},\n"
    rows = textwrap.wrap(values, WIDTH - 12, break_on_hyphens=False)
    return "    {\n" + "".join(f"        {row}\n" for row in rows) + "    },\n"


@dataclass(frozen=True)
class Struct:
    name: str
    comment: str
    members: tuple
    formats: tuple[Format, ...] = FORMATS

    def make(self):
        print(self.name)
        parts = [f"{wrapped(self.comment)}template <class T>\nstruct {self.name};\n"]
        for form in self.formats:
            known, body = {}, []
            for member in self.members:
                comment, line = member.make(form, known)
                body.append(indented(wrapped(comment, WIDTH - 2) + wrapped_code(line, WIDTH - 2)))
            parts.append(f"template <>\nstruct {self.name}<{form.name}> {{\n" + "".join(body) + "};\n")
        return "\n".join(parts)


def of(value, form, known=None):
    value = value[form.name] if isinstance(value, dict) else value
    return value(known) if callable(value) else value


def listed(values):
    return ", ".join(map(str, values))


def wrapped(comment, width=WIDTH):
    return "".join(f"// {line}\n" for line in textwrap.wrap(comment, width - 3, break_on_hyphens=False))


def wrapped_code(code, width):
    """One declaration a line, but for a table of rows, which comes wrapped."""
    return "".join(line + "\n" if line.startswith(" ") else wrapped_line(line, width) for line in code.splitlines())


def wrapped_line(line, width):
    if len(line) <= width or "{" not in line:
        return line + "\n"
    head, values = line.split("{")
    values = textwrap.wrap(values.removesuffix("};"), width - 4, break_on_hyphens=False)
    return head + "{\n" + "".join(f"    {row}\n" for row in values) + "};\n"


def indented(text):
    return textwrap.indent(text, "  ")


# -- The table ---------------------------------------------------------------------------------------------------------


def ln2_high(form, _):
    """ln 2 cut so short that its product with any exponent is exact."""
    bits = {"float": 16, "double": 42}[form.name]
    with mpmath.workprec(bits):
        return mpmath.ln2 + 0


def gal_centre(formula):
    """The centre, of few bits, where the formula's value is nearest to a representable number (Gal's method)."""

    def value(form, known):
        def error(x):
            exact = evaluate(formula, x, known)
            return abs(form.round(exact) / exact - 1)

        return min((1 + mpf(k) / 128 for k in range(-32, 33)), key=error)

    return value


def root(name, function, label, start, radius, terms, leading_low="", formats=FORMATS):
    """A zero of a function: its expansion about the representable number nearest to it."""
    return Struct(
        name,
        f"{label}(root + d) = value + d slope(d), |d| < radius, about the representable number nearest to the zero.",
        (
            Constant("root", "", lambda form, _: root_near(f"{function}(x)", start)),
            Constant("value", "", lambda form, known: evaluate(f"{function}(root)", 0, known)),
            Constant("radius", "", lambda form, _: radius),
            Polynomial(
                "slope",
                f"({label}(root + d) - {label}(root))/d for |d| < radius;",
                function=f"({function}(root+x)-{function}(root))/x",
                low=-float(radius) * 1.0001,
                high=float(radius) * 1.0002,
                terms=terms,
                approximation="value+x*p",
                exact=f"{function}(root+x)",
                leading_low=leading_low,
            ),
        ),
        formats,
    )


def camel_case(name):
    return "".join(map(str.capitalize, name.split("_")))


def derivative_root(name, start, radius, terms, leading_low=""):
    function = f"{name}_derivative"
    return root(f"{camel_case(function)}Root", function, f"{name}'", start, radius, terms, leading_low)


def second_derivative_root(name, start, radius, terms, which=""):
    function = f"{name}_second_derivative"
    struct = f"{camel_case(function)}{which}Root"
    formats = tuple(form for form in FORMATS if form.name in terms)
    return root(struct, function, f"{name}''", start, radius, terms, formats=formats)


def rounded_to(bits, value):
    return mpmath.nint(value * mpf(2) ** bits) / mpf(2) ** bits


def two_parts(name, value, high=None):
    """A constant as name + name_low."""
    return (
        Constant(name, "", lambda form, _: high(form) if high else value),
        Constant(f"{name}_low", "", lambda form, known: value - known[name]),
    )


def rounded_down(value):
    return lambda form: mpmath.floor(value * mpf(2) ** (form.precision - 1)) / mpf(2) ** (form.precision - 1)


LOG1P_STEPS = FLOAT.round(7.49)


@functools.cache
def log1p_entry(form, i):
    """(reciprocal, log, log_low): of many reciprocals the one that the floats fit best (Gal's method)."""
    if i == 0:
        return mpf(1), mpf(0), mpf(0)

    def entry(reciprocal):
        exact = -mpmath.log(reciprocal)
        high = FLOAT.round(exact)
        low = FLOAT.round(exact - high) if form is DOUBLE else mpf(0)
        return abs(high + low - exact), reciprocal, high, low

    first = FLOAT.round(1 / (1 + i / LOG1P_STEPS))
    return min(entry(first + mpf(k) / 2**24) for k in range(-4096, 4096))[1:]


def gate_slope(name, function, zero, scale):
    """The derivative of x sigmoid(scale x), x <= 0, by pieces."""
    largest, near, far = 12.5 / scale, 0.86 * scale, 0.52 * scale
    bounds = (
        0.0,
        *((i + 0.5) / near for i in range(3)),
        *((i - 0.5) / far for i in range(3, 7)),
        largest,
    )
    return Struct(
        name,
        f"{function}(-a) for 0 <= a <= largest by eight polynomials in d = tail_centre[i] - a, "
        "i = rint(min(near_steps a, far_steps a + 1)). Each is about its right end, but for the one about the zero.",
        (
            Constant("largest", "", lambda *_: largest),
            Constant("near_steps", "", lambda *_: near),
            Constant("far_steps", "", lambda *_: far),
            Pieces(
                "tail",
                f"{function}(-a);",
                function=f"{function}(-y)",
                bounds=bounds,
                centres=(bounds[1], zero, *bounds[3:]),
                terms=10,
                zero=1,
            ),
        ),
        formats=(FLOAT,),
    )


def balanced_centre(function, low, high):
    """The point for which what follows the linear term is the same part of the function at both ends."""

    def imbalance(centre):
        value, slope = mpmath.taylor(function, centre, 1)
        parts = (abs(1 - (value + slope * (end - centre)) / function(end)) for end in (low, high))
        return operator.sub(*parts)

    return mpmath.findroot(imbalance, (low, high), solver="anderson", tol=1e-6)


def sixteen_pieces(name, function, steps, far_steps, skipped, terms, root=None):
    """A function by pieces of two widths, the first about 0, one about a zero if there is one.

    The centres of the others are so far right that what follows the linear term is a small part of the sum at both
    ends, and near enough to the left end for distances to be exact. Where there is a zero they are balanced.
    """

    def point(i):
        return max(i / steps, (i - skipped) / far_steps)

    largest = point(15.499)
    bounds = (0.0, *(point(i + 0.5) for i in range(15)), largest)
    pieces = list(itertools.pairwise(bounds))
    zero = next((i for i, (_, high) in enumerate(pieces) if root and high > root), -1)

    def centre(i):
        if i == 0:
            return 0
        if i == zero:
            return root
        if root:
            return balanced_centre(lambda a: evaluate(f"{function}(-y)", mpf(0), {"y": a}), *pieces[i])
        return 0.4 * pieces[i][0] + 0.6 * pieces[i][1]

    return Struct(
        name,
        f"{function}(-a) for 0 <= a <= largest by sixteen polynomials in d = tail_centre[i] - a, "
        "i = rint(min(steps a, far_steps a + skipped)).",
        (
            Constant("largest", "", lambda *_: largest),
            Constant("steps", "", lambda *_: steps),
            Constant("far_steps", "", lambda *_: far_steps),
            Constant("skipped", "", lambda *_: skipped, type="int"),
            Pieces(
                "tail",
                f"{function}(-a);",
                function=f"{function}(-y)",
                bounds=bounds,
                centres=tuple(map(centre, range(16))),
                terms=terms,
                zero=zero,
                low_words=root is not None,
            ),
        ),
        formats=(FLOAT,),
    )


SELU_SCALE, SELU_ALPHA = mpf("1.0507009873554804934"), mpf("1.6732632423543772848")
GELU_TANH = mpmath.sqrt(8 / mpmath.pi)

HALF_OCTAVES = (0, 0.5, 1, 2, 3, 5, 7, 11, 14.75)


def half_octaves(unit, largest):
    """The bounds of eight pieces that half octaves of 2t/unit + 2 count, as far as they are used."""
    return (*(unit * bound for bound in HALF_OCTAVES[:-1]), largest)


def centres(bounds, part=0.5):
    """Centres for pieces whose first is about 0; in the others low, for a function that grows fast."""
    return (0, *(a + (b - a) * part for a, b in itertools.pairwise(bounds[1:])))


BINARY_RATE, BINARY_UNIT, BINARY_LARGEST = 1 / mpmath.sqrt(2 * mpmath.ln2), mpf(59) / 64, mpf(13.82)
BINARY_BOUNDS = half_octaves(BINARY_UNIT, BINARY_LARGEST)


def gelu_slope(name, gate, growth, function, index, bounds, terms):
    """The derivative of a gate at -t without its decay: eight pieces, the second about its zero.

    The centres of the others are where the function is at most twice as large as at its smallest.
    """
    above = (a + (b - a) * 0.2 for a, b in itertools.pairwise(bounds[2:]))
    return Struct(
        name,
        f"{gate}'(-t) {growth} in d = t - centre[i], i counting half octaves of {index}, for 0 <= t <= {bounds[-1]}.",
        (
            Pieces(
                "slope",
                "One piece about the zero;",
                function=function,
                bounds=bounds,
                centres=(0, ROOTS[f"{gate}_root"], *above),
                terms=terms,
                zero=1,
                low_words=True,
                value_bits=20,
                first=int(bounds is NORMAL_SLOPE_BOUNDS),
                upward=True,
                series=True,
            ),
        ),
        formats=(FLOAT,),
    )


NORMAL_SLOPE_BOUNDS = tuple((end - 3) / mpf(3) for end in (3, 4, 6, 8, 12, 16, 24, 32, 48))
TANH_UNIT = 0.65
TANH_BOUNDS = half_octaves(TANH_UNIT, 9.1)

STRUCTS = (
    Struct(
        "Reduction",
        "e^x = 2^n e^r with n = rint(x log2e), r = (x - n ln2_high) - n ln2_low. n ln2_high is exact.",
        (
            Constant("log2e", "", lambda form, _: 1 / mpmath.ln2),
            Constant("ln2_high", "", ln2_high),
            Constant("ln2_low", "", lambda form, _: mpmath.ln2 - ln2_high(form, None)),
            Constant(
                "magic",
                "Adding it rounds to an integer, which the low bits of the sum then hold.",
                lambda form, _: mpf(3) * 2 ** (form.mantissa_bits - 1),
            ),
            Constant("exponent_bias", "", lambda form, _: form.exponent_bias, type="int"),
            Constant("mantissa_bits", "", lambda form, _: form.mantissa_bits, type="int"),
        ),
    ),
    Struct(
        "Expm1",
        "e^r - 1 = r + r^2 tail(r), |r| <= ln2/2.",
        (
            Polynomial(
                "tail",
                "(e^r - 1 - r)/r^2 for |r| < 0.3468;",
                function="expm1(x)",
                given="x",
                shift=2,
                low=-0.34679,
                high=0.3468,
                terms={"float": 5, "double": 11},
            ),
        ),
    ),
    Struct(
        "CeluAlpha",
        "expm1(t) - t e^t = t^2 quotient(t), |t| < radius.",
        (
            Constant("radius", "", lambda form, _: mpf("0.65")),
            Polynomial(
                "quotient",
                "(expm1(t) - t e^t)/t^2 for |t| < radius;",
                function="(expm1(x)-x*exp(x))/x^2",
                low=-0.65001,
                high=0.65002,
                terms={"float": 9, "double": 17},
            ),
        ),
    ),
    Struct(
        "Tanh",
        "tanh(p) = p + p z tail(z), z = p^2. p = x - n ln2/2 with n = rint(2 log2e x - 1/4) is in [-0.087, 0.26].",
        (
            Polynomial(
                "tail",
                "(tanh(p) - p)/p^3 in z = p^2 for |p| < 0.262;",
                function="tanh(x)",
                given="x",
                shift=3,
                step=2,
                low=2.0**-20,
                high=0.262,
                terms={"float": 3, "double": 7},
            ),
        ),
    ),
    Struct(
        "TanhPieces",
        "With d = t - centre[i], i counting half octaves of steps t + 2, for 0 <= t <= largest.",
        (
            Constant("steps", "", lambda *_: 2 / mpf(TANH_UNIT)),
            Constant("largest", "", lambda *_: TANH_BOUNDS[-1]),
            Pieces(
                "tanh",
                "tanh(t);",
                "tanh(y)",
                TANH_BOUNDS,
                (0, 0.336, 0.76, *centres(TANH_BOUNDS)[3:]),  # whose tanh is below t in the whole piece
                terms=8,
                identity=True,
                upward=True,
            ),
            Pieces(
                "shrink",
                "t - tanh(t);",
                "y-tanh(y)",
                TANH_BOUNDS,
                centres(TANH_BOUNDS, 0.25),
                terms=9,
                order=3,
                upward=True,
            ),
            Pieces(
                "square",
                "tanh(t)^2;",
                "tanh(y)^2",
                TANH_BOUNDS,
                centres(TANH_BOUNDS, 0.25),
                terms=9,
                order=2,
                upward=True,
            ),
        ),
        formats=(FLOAT,),
    ),
    derivative_root("silu", -1.2784645, mpf(1) / 24, {"float": 4, "double": 9}),
    derivative_root("quick_gelu", -0.7511542, mpf(1) / 32, {"float": 5, "double": 10}),
    derivative_root("gelu_tanh", -0.7524614, mpf(1) / 16, {"float": 5, "double": 12}),
    derivative_root("mish", -1.1924312, mpf(1) / 4, {"float": 8, "double": 20}, leading_low="slope_low"),
    second_derivative_root("silu", 2.3993573, mpf(3) / 8, {"float": 7, "double": 15}),
    second_derivative_root("gelu_tanh", 1.41, mpf(5) / 16, {"double": 16}),
    second_derivative_root("mish", -2.2564, mpf(3) / 8, {"double": 16}, "Lower"),
    second_derivative_root("mish", 1.4906, mpf(5) / 16, {"double": 16}, "Upper"),
    gate_slope("SiluSlope", "silu_derivative", -ROOTS["silu_root"], 1),
    sixteen_pieces("QuickGeluSlope", "quick_gelu_derivative", 2.72, 1.28, 2, terms=8, root=-ROOTS["quick_gelu_root"]),
    sixteen_pieces("SoftplusTail", "softplus", 1.24, 1.24, 0, terms=7),
    Struct(
        "SeluConstants",
        "scale + scale_low and scale alpha. The high parts are rounded down, so that the low ones are positive, and "
        "infinity times both parts is infinity.",
        (
            *two_parts("scale", SELU_SCALE, rounded_down(SELU_SCALE)),
            *two_parts("scale_alpha", SELU_SCALE * SELU_ALPHA, rounded_down(SELU_SCALE * SELU_ALPHA)),
        ),
    ),
    Struct("QuickGeluConstants", "1.702 = beta + beta_low.", two_parts("beta", mpf("1.702"))),
    Struct(
        "GeluTanhConstants",
        "a = sqrt(8/pi), b = 0.044715 a and b3 = 3 b. a is so short that its difference from a + b3 m^2 as rounded is "
        "exact, for every m up to where the tail is 0.",
        (
            *two_parts("a", GELU_TANH, lambda form: rounded_to(form.precision - 5 - (form is DOUBLE) * 3, GELU_TANH)),
            *two_parts("b", GELU_TANH * mpf("0.044715")),
            *two_parts("b3", GELU_TANH * 3 * mpf("0.044715")),
        ),
    ),
    Struct(
        "Log1p",
        "log(1 + e) = log[i] + z + z^2 tail(z), 0 <= e <= 1, i = rint(steps e), z = reciprocal[i] (1 + e) - 1. Each "
        "reciprocal is near 1/(1 + i/steps), and so chosen that one float (in double, two) holds its logarithm.",
        (
            Constant("steps", "", lambda *_: LOG1P_STEPS),
            Table("reciprocal", "", lambda form, i: log1p_entry(form, i)[0]),
            Table("log", "", lambda form, i: log1p_entry(form, i)[1]),
            Table("log_low", "", lambda form, i: log1p_entry(form, i)[2], formats=(DOUBLE,)),
            Polynomial(
                "tail",
                "(log(1 + z) - z)/z^2 for -0.059 < z < 0.067;",
                function="log1p(x)",
                given="x",
                shift=2,
                low=-0.05892,
                high=0.06682,
                terms={"float": 5, "double": 11},
            ),
        ),
    ),
    Struct(
        "TanhShrinkSeries",
        "p - tanh(p) = p z tail(z), z = p^2. p = x - n ln2/2 with n = rint(2 log2e x - 0.8), n >= 0, is in [0, 0.451].",
        (
            Polynomial(
                "tail",
                "(p - tanh(p))/p^3 in z = p^2 for |p| < 0.451;",
                function="x-tanh(x)",
                shift=3,
                step=2,
                low=2.0**-20,
                high=0.451,
                terms={"double": 10},
            ),
        ),
        (DOUBLE,),
    ),
    Struct(
        "NormalTailSeries",
        "With q = 1/(t + 3), for 0 <= t < largest: Phi(-t) = e^(-t^2/2) q mills(mills_centre - 8q) and "
        "gelu'(-t) = e^(-t^2/2) (t - root) slope(slope_centre - 8q), where root = root_high + root_low.",
        (
            Constant("root_high", "", lambda form, _: ROOTS["gelu_root"]),
            Constant("root_low", "", lambda form, known: ROOTS["gelu_root"] - known["root_high"]),
            Constant("mills_centre", "", gal_centre("8/x*mills(8/x-3)")),
            Polynomial(
                "mills",
                "e^(t^2/2) Phi(-t) (t + 3) in mills_centre - 8q;",
                function="8/(mills_centre-x)*mills(8/(mills_centre-x)-3)",
                low=lambda known: known["mills_centre"] - 8 / mpf(3),
                high={
                    "float": lambda known: known["mills_centre"] - 8 / mpf(17.8),
                    "double": lambda known: known["mills_centre"] - 8 / mpf(42.1),
                },
                terms={"float": 11, "double": 28},
            ),
            Constant("slope_centre", "", gal_centre("gelu_slope(8/x-3)")),
            Polynomial(
                "slope",
                "(e^(t^2/2) Phi(-t) - t/sqrt(2 pi))/(t - root) in slope_centre - 8q;",
                function="gelu_slope(8/(slope_centre-x)-3)",
                low=lambda known: known["slope_centre"] - 8 / mpf(3),
                high={
                    "float": lambda known: known["slope_centre"] - 8 / mpf(17.8),
                    "double": lambda known: known["slope_centre"] - 8 / mpf(42.1),
                },
                terms={"float": 10, "double": 25},
            ),
        ),
    ),
    Struct(
        "NormalPieces",
        "With h = t - centre[i], i counting half octaves of 2t + 2, for 0 <= t <= 14.75.",
        (
            Pieces(
                "gate",
                "2 t Phi(-t) e^(t^2/2);",
                function="2*y*mills(y)",
                bounds=HALF_OCTAVES,
                centres=centres(HALF_OCTAVES),
                terms=8,
                identity=True,
                upward=True,
            ),
        ),
        formats=(FLOAT,),
    ),
    Struct(
        "BinaryNormal",
        "In units of y = (rate + rate_low) t the normal density at t is a constant times 2^-(y^2). With "
        "h = y - tail_centre[i], i counting half octaves of steps y + 2, for 0 <= y <= range.",
        (
            *two_parts("rate", BINARY_RATE),
            Constant("ln2", "", lambda *_: mpmath.ln2),
            Constant(
                "range", "2^(64 - range^2) is less than any normal float, as a power of two.", lambda *_: BINARY_LARGEST
            ),
            Constant(
                "slope", "The density at 0 in these units.", lambda *_: 1 / (BINARY_RATE * mpmath.sqrt(2 * mpmath.pi))
            ),
            Constant("steps", "", lambda *_: 2 / BINARY_UNIT),
            Polynomial(
                "decay",
                "(2^-r - 1)/r for |r| <= 1/2;",
                function="expm1(-x*log(2))/x",
                low=-0.5001,
                high=0.5002,
                terms={"float": 6},
            ),
            Pieces(
                "tail",
                "Phi(-y / rate) 2^(y^2);",
                function="mills(y*sqrt(2*log(2)))",
                bounds=BINARY_BOUNDS,
                centres=centres(BINARY_BOUNDS),
                terms=9,
                upward=True,
                series=True,
            ),
        ),
        formats=(FLOAT,),
    ),
    gelu_slope(
        "GeluSlope", "gelu", "e^(t^2/2)", "mills(y)-y/sqrt(2*pi)", "3t + 3 from 1", NORMAL_SLOPE_BOUNDS, terms=8
    ),
    gelu_slope(
        "GeluTanhSlope",
        "gelu_tanh",
        "e^(2u)",
        "exp(tanh_gate(y))*gelu_tanh_derivative(-(y))",
        "2t + 2",
        HALF_OCTAVES,
        terms=9,
    ),
    Struct(
        "NormalPdf",
        "1/sqrt(2 pi) = scale e^log_low.",
        (
            Constant("scale", "", lambda form, _: 1 / mpmath.sqrt(2 * mpmath.pi)),
            Constant("log_low", "", lambda form, known: -mpmath.log(2 * mpmath.pi) / 2 - mpmath.log(known["scale"])),
        ),
    ),
)


BANNER = (
    "// Generated by tools/coefficients.py: change that, not this.\n"
    "// Errors are those of the rounded coefficients in exact arithmetic; arrays ascend in degree.\n"
    "#pragma once\n\nnamespace halfwave {\nnamespace {\n\n"
)
FOOTER = "\n}\n}\n"


def on_disk(text):
    """The text of each struct in the header, by name."""
    structs = re.split(r"(?<=\n)\n(?=//|template <class T>)", text.removeprefix(BANNER).removesuffix(FOOTER))
    return {re.search(r"^struct (\w+);", struct, re.M)[1]: struct for struct in structs}


def header(names, old):
    """What this script makes, of the structs that are not named what there is."""
    kept = on_disk(old) if names else {}
    structs = [kept[it.name] if names and it.name not in names else it.make() for it in STRUCTS]
    return BANNER + "\n".join(structs) + FOOTER


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("structs", nargs="*", metavar="STRUCT", help="the structs to make; all, if none is named")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args()
    unknown = set(options.structs) - {struct.name for struct in STRUCTS}
    if unknown:
        parser.error(f"no such structs: {listed(sorted(unknown))}")
    old = HEADER.read_text() if HEADER.exists() else ""
    text = header(options.structs, old)
    if not options.check:
        HEADER.parent.mkdir(parents=True, exist_ok=True)
        HEADER.write_text(text)
    elif old != text:
        sys.exit(f"{HEADER} is not what {pathlib.Path(__file__).name} makes")


if __name__ == "__main__":
    main()
