"""Writes csrc/math/coefficients.hpp: every polynomial and constant of the vector mathematics.

    python tools/coefficients.py            write the header and print the errors
    python tools/coefficients.py --check    fail if the header on disk is not what this script makes

Needs mpmath and the program `sollya`. To add a polynomial, add an entry to STRUCTS.
"""

import argparse
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
PRECISION = 400
SAMPLES = 1500
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


# -- Formulas: one text that Sollya and mpmath both understand ---------------------------------------------------------

FUNCTIONS = {
    "logistic": "1/(1+exp(-x))",
    "silu_derivative": "logistic(x)*(1+x*logistic(-x))",
}


def exact_text(value):
    """A float as a quotient of integers, which neither Sollya nor Python rounds."""
    numerator, denominator = float(value).as_integer_ratio()
    return f"({numerator}/{denominator})"


def evaluate(formula, x, **known):
    names = {name: getattr(mpmath, name) for name in ("exp", "expm1", "log", "log1p", "tanh", "erf", "erfc", "sqrt")}
    names |= {name: (lambda text: lambda at: evaluate(text, at))(text) for name, text in FUNCTIONS.items()}
    return eval(formula.replace("^", "**"), names | {"x": x, "pi": mpmath.pi} | known)


def sollya(program):
    definitions = "".join(f"{name} = {text};\n" for name, text in FUNCTIONS.items())
    session = f"prec = {PRECISION}; display = dyadic;\n{definitions}{program}quit;\n"
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
        known[self.name] = value
        literal = str(value) if self.type else form.literal(form.round(value))
        return self.comment, f"static constexpr {self.type or form.name} {self.name} = {literal};"


@dataclass(frozen=True)
class Polynomial:
    """Coefficients p, ascending, for which given + x^shift p(x^step) approximates `function` in relative error.

    {name} in a formula stands for a constant of the same struct. `exact` and `approximation`, with p for the
    polynomial's value, say what the error in the comment is an error of where that is not the fit itself.
    """

    name: str
    comment: str
    function: str
    low: float
    high: float
    terms: dict[str, int]
    given: str = "0"
    shift: int = 0
    step: int = 1
    exact: str = ""
    approximation: str = ""

    def make(self, form, known):
        texts = {name: exact_text(form.round(value)) for name, value in known.items()}
        coefficients = self.fit(form, texts)
        error = self.error(coefficients, texts)
        print(f"  {form.name:8}{self.name:12}{len(coefficients):3} terms   2^{error:.2f}")
        literals = ", ".join(map(form.literal, coefficients))
        comment = f"{self.comment} {len(coefficients)} terms, relative error 2^{error:.1f}."
        return comment, f"static constexpr {form.name} {self.name}[{len(coefficients)}] = {{{literals}}};"

    def fit(self, form, texts):
        function, given = self.function.format(**texts), self.given.format(**texts)
        powers = [self.shift + self.step * i for i in range(self.terms[form.name])]
        output = sollya(
            f"p = fpminimax({function}, [|{listed(powers)}|], [|{listed([form.precision] * len(powers))}|], "
            f"[{exact_text(self.low)};{exact_text(self.high)}], relative, floating, {given});\n"
            + "".join(f"coeff(p, {power});\n" for power in powers)
        )
        found = re.findall(r"^(-?\d+)(?:b(-?\d+))?$", output, re.M)
        if len(found) != len(powers):
            raise RuntimeError(f"Sollya found no {self.name} for {form.name}:\n{output}")
        return [mpmath.ldexp(int(mantissa), int(exponent or 0)) for mantissa, exponent in found]

    def error(self, coefficients, texts):
        function = (self.exact or self.function).format(**texts)
        approximation = (self.approximation or f"{self.given}+x^{self.shift}*p").format(**texts)
        middle, radius = (mpf(self.high) + self.low) / 2, (mpf(self.high) - self.low) / 2
        worst = mpf(0)
        for i in range(SAMPLES):
            x = middle - radius * mpmath.cos(mpmath.pi * i / (SAMPLES - 1))
            p = mpmath.polyval(coefficients[::-1], x**self.step)
            exact = evaluate(function, x)
            worst = max(worst, abs((evaluate(approximation, x, p=p) - exact) / exact))
        return float(mpmath.log(worst, 2))


@dataclass(frozen=True)
class Struct:
    name: str
    comment: str
    members: tuple

    def make(self):
        print(self.name)
        parts = [f"{wrapped(self.comment)}template <class T>\nstruct {self.name};\n"]
        for form in FORMATS:
            known, body = {}, []
            for member in self.members:
                comment, line = member.make(form, known)
                body.append(indented(wrapped(comment, WIDTH - 4) + wrapped_code(line, WIDTH - 4)))
            parts.append(f"template <>\nstruct {self.name}<{form.name}> {{\n" + "".join(body) + "};\n")
        return "\n".join(parts)


def listed(values):
    return ", ".join(map(str, values))


def wrapped(comment, width=WIDTH):
    return "".join(f"// {line}\n" for line in textwrap.wrap(comment, width - 3, break_on_hyphens=False))


def wrapped_code(line, width):
    if len(line) <= width:
        return line + "\n"
    head, values = line.split("{")
    values = textwrap.wrap(values.removesuffix("};"), width - 4, break_on_hyphens=False)
    return head + "{\n" + "".join(f"    {row}\n" for row in values) + "};\n"


def indented(text):
    return textwrap.indent(text, "    ")


# -- The table ---------------------------------------------------------------------------------------------------------


def ln2_high(form, _):
    """ln 2 cut so short that its product with any exponent is exact."""
    bits = {"float": 16, "double": 42}[form.name]
    with mpmath.workprec(bits):
        return mpmath.ln2 + 0


def silu_root(form, _):
    return form.round(mpmath.findroot(lambda x: evaluate(FUNCTIONS["silu_derivative"], x), -1.2784645))


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
        "SiluDerivativeRoot",
        "silu'(root + d) = value + d slope(d), |d| < radius, about the representable number nearest to the zero.",
        (
            Constant("root", "", silu_root),
            Constant("value", "", lambda form, known: evaluate(FUNCTIONS["silu_derivative"], known["root"])),
            Constant("radius", "", lambda form, _: mpf(1) / 24),
            Polynomial(
                "slope",
                "(silu'(root + d) - silu'(root))/d for |d| < 1/24;",
                function="(silu_derivative({root}+x)-silu_derivative({root}))/x",
                low=-0.041667,
                high=0.041668,
                terms={"float": 4, "double": 9},
                approximation="{value}+x*p",
                exact="silu_derivative({root}+x)",
            ),
        ),
    ),
)


def header():
    banner = (
        "// Generated by tools/coefficients.py: change that, not this.\n"
        "// Errors are those of the rounded coefficients in exact arithmetic; arrays ascend in degree.\n"
    )
    structs = "\n".join(struct.make() for struct in STRUCTS)
    return f"{banner}#pragma once\n\nnamespace halfwave {{\nnamespace {{\n\n{structs}\n}}\n}}\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    text = header()
    if not check:
        HEADER.parent.mkdir(parents=True, exist_ok=True)
        HEADER.write_text(text)
    elif HEADER.read_text() != text:
        sys.exit(f"{HEADER} is not what {pathlib.Path(__file__).name} makes")


if __name__ == "__main__":
    main()
