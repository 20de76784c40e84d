"""Whatever is wrong with a call is said, with the name of what is wrong, and before anything is written."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import halfwave as hw
import numpy as np
import pytest
from halfwave.verify.reference import REFERENCES

from tests.cases import CASES, Case, defaults, direct_calls, each_case

UNSUPPORTED: list[np.ndarray] = [
    np.ones(3, np.complex64),
    np.ones(3, np.complex128),
    np.array([1.5, None, "a"], object),
    np.array(["1.5", "a", ""]),
    np.array([b"1.5", b"a", b""]),
    np.array([1, 2, 3], "m8[s]"),
    np.array([1, 2, 3], "M8[s]"),
    np.zeros(3, [("a", np.float32)]),
]
if np.dtype(np.longdouble) != np.float64:
    UNSUPPORTED.append(np.ones(3, np.longdouble))

pytestmark = pytest.mark.usefixtures("both_ways")
with_parameters = pytest.mark.parametrize("case", [c for c in CASES if c.ufunc.parameters], ids=str)
each_sum = pytest.mark.parametrize("name", [n for n, f in hw.functions().items() if f.parameter_backward])


def base(case: Case) -> list[Any]:
    """The default parameters."""
    return list(defaults(case.ufunc, case.name))


def data(case: Case) -> list[Any]:
    """Good data operands."""
    return [np.array([-1.5, 0.25, 2.0], np.float32) for _ in case.data]


def refuses(call: Callable[..., Any], error: type[Exception], *words: str, out: bool = True) -> None:
    """Both ways of calling raise the error, its text has all the words, and an `out` keeps its bits."""
    for direct, with_out in itertools.product((True, False), (True, False) if out else (False,)):
        target = np.array([7.0, np.nan, -0.0], np.float32)
        before = target.tobytes()
        with direct_calls(direct), pytest.raises(error) as raised:
            call(**({"out": target} if with_out else {}))
        assert target.tobytes() == before
        for word in words:
            assert word in str(raised.value), str(raised.value)


# ---- Dtypes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", UNSUPPORTED, ids=lambda v: str(v.dtype))
@each_case
def test_dtype_of_data(case: Case, bad: np.ndarray) -> None:
    """The message names the function, the operand and what is supported."""
    for k, name in enumerate(case.data):
        operands = [bad if i == k else v for i, v in enumerate(data(case))]
        refuses(
            lambda x=operands, **keywords: case.ufunc(*x, *base(case), **keywords),
            TypeError,
            case.ufunc.__name__,
            f"{name} has dtype",
            "float16, bfloat16, float32",
        )


@pytest.mark.parametrize("bad", UNSUPPORTED, ids=lambda v: str(v.dtype))
@with_parameters
def test_dtype_of_parameters(case: Case, bad: np.ndarray) -> None:
    """As an array, as a 0-d array, by position and by keyword."""
    for (k, p), value in itertools.product(enumerate(case.ufunc.parameters), (bad, bad[:1].reshape(()))):
        given = [value if i == k else v for i, v in enumerate(base(case))]
        words = (case.ufunc.__name__, f"{p.name} has dtype")
        refuses(lambda g=given, **kw: case.ufunc(*data(case), *g, **kw), TypeError, *words)
        others = {q.name: v for q, v in zip(case.ufunc.parameters, base(case), strict=True) if q is not p}
        refuses(
            lambda v=value, o=others, n=p.name, **kw: case.ufunc(*data(case), **o, **{n: v}, **kw), TypeError, *words
        )


@with_parameters
def test_python_objects_as_parameters(case: Case) -> None:
    """A complex number, a string, None, a dictionary."""
    for (k, p), value in itertools.product(enumerate(case.ufunc.parameters), (1j, "0.5", None, {}, object())):
        given = [value if i == k else v for i, v in enumerate(base(case))]
        refuses(lambda g=given, **kw: case.ufunc(*data(case), *g, **kw), TypeError, case.ufunc.__name__, p.name)


@each_case
def test_python_objects_as_data(case: Case) -> None:
    """The same, for data."""
    for k, value in itertools.product(range(len(case.data)), (1j, "0.5", None, {}, object())):
        operands = [value if i == k else v for i, v in enumerate(data(case))]
        refuses(lambda x=operands, **kw: case.ufunc(*x, *base(case), **kw), TypeError, case.ufunc.__name__)


# ---- Shapes and outputs ----------------------------------------------------------------------------------------------


@each_case
def test_shapes_that_do_not_broadcast(case: Case) -> None:
    """Among data operands, with a parameter, with the output."""
    operands = data(case)
    for k in range(1, len(operands)):
        wrong = [np.ones(4, np.float32) if i == k else v for i, v in enumerate(operands)]
        refuses(lambda x=wrong, **kw: case.ufunc(*x, *base(case), **kw), ValueError, "broadcast", "(3,)", "(4,)")
    for k in range(len(base(case))):
        given = [np.full(4, v) if i == k else v for i, v in enumerate(base(case))]
        refuses(lambda g=given, **kw: case.ufunc(*operands, *g, **kw), ValueError, "broadcast", "(3,)", "(4,)")
    for shape in ((4,), (1,), (), (3, 2)):
        out = np.full(shape, 7, np.float32)
        refuses(lambda o=out: case.ufunc(*operands, *base(case), out=o), ValueError, out=False)
        assert (out == 7).all()


@each_case
def test_output_that_cannot_be_written(case: Case) -> None:
    """Read-only, of a dtype that would lose the result, not an array, too many."""
    operands = data(case)
    locked = np.full(3, 7, np.float32)
    locked.flags.writeable = False
    refuses(lambda: case.ufunc(*operands, *base(case), out=locked), ValueError, "read-only", out=False)
    refuses(lambda: case.ufunc(*operands, *base(case), locked), ValueError, "read-only", out=False)
    assert (locked == 7).all()
    for dtype in (np.int32, np.bool_, "m8[s]"):
        out = np.zeros(3, dtype)
        before = out.tobytes()
        refuses(lambda o=out: case.ufunc(*operands, *base(case), out=o), TypeError, out=False)
        assert out.tobytes() == before
    for out in ([0.0, 0.0, 0.0], 1.0, (np.zeros(3, np.float32),) * 2, "out"):
        refuses(lambda o=out: case.ufunc(*operands, *base(case), out=o), (TypeError, ValueError), out=False)
    good = np.zeros(3, np.float32)
    refuses(lambda: case.ufunc(*operands, *base(case), good, out=good), TypeError, out=False)


@each_case
def test_narrower_output(case: Case) -> None:
    """Same-kind casting is NumPy's default and allows it; a stricter one does not."""
    operands, out = [v.astype(np.float64) for v in data(case)], np.zeros(3, np.float32)
    expected = case.ufunc(*operands, *base(case))
    np.testing.assert_array_equal(case.ufunc(*operands, *base(case), out=out), expected.astype(np.float32))
    out[...] = 7
    for casting in ("no", "equiv", "safe"):
        call = lambda c=casting: case.ufunc(*operands, *base(case), out=out, casting=c)  # noqa: E731
        refuses(call, TypeError, out=False)
    assert (out == 7).all()


# ---- Arguments -------------------------------------------------------------------------------------------------------


@each_case
def test_too_few_operands(case: Case) -> None:
    """The message lists the operands that there have to be."""
    for given in range(len(case.data)):
        operands = data(case)[:given]
        refuses(lambda x=operands, **kw: case.ufunc(*x, **kw), TypeError, case.ufunc.__name__, ", ".join(case.data))


@each_case
def test_too_many_operands(case: Case) -> None:
    """After the parameters there is room for one output."""
    extra = [np.zeros(3, np.float32)] * 2
    refuses(lambda: case.ufunc(*data(case), *base(case), *extra), TypeError, case.ufunc.__name__, out=False)


@with_parameters
def test_missing_parameter(case: Case) -> None:
    """One that has no default is named."""
    missing = [p for p in case.ufunc.parameters if p.default is None]
    if missing:
        refuses(
            lambda **kw: case.ufunc(*data(case), **kw),
            TypeError,
            case.ufunc.__name__,
            "missing",
            f"'{missing[0].name}'",
        )
    for p in missing:
        others = {q.name: 0.5 for q in case.ufunc.parameters if q is not p}
        refuses(lambda o=others, **kw: case.ufunc(*data(case), **o, **kw), TypeError, f"'{p.name}'")


@each_case
def test_unknown_keyword(case: Case) -> None:
    """It is named, and so are those that there are; data operands are none of them."""
    allowed = [*(p.name for p in case.ufunc.parameters), "out", "where", "dtype"]
    for name in ("inplace", "axis", "Out", *case.data):
        refuses(
            lambda n=name, **kw: case.ufunc(*data(case), *base(case), **{n: 1}, **kw),
            TypeError,
            f"{case.ufunc.__name__}()",
            f"'{name}'",
            *allowed,
        )


@with_parameters
def test_parameter_given_twice(case: Case) -> None:
    """By position and by keyword."""
    for k, p in enumerate(case.ufunc.parameters):
        given = base(case)[: k + 1]
        refuses(
            lambda g=given, n=p.name, **kw: case.ufunc(*data(case), *g, **{n: 0.5}, **kw),
            TypeError,
            f"{case.ufunc.__name__}()",
            "multiple values",
            f"'{p.name}'",
        )


# ---- Domains ---------------------------------------------------------------------------------------------------------


def conditions(case: Case) -> dict[str, Any]:
    """What the catalogue says of the function."""
    return next(e for e in hw._core.catalogue if e["name"] == case.name)


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.reference.outside and c.role != "backward_from_output"], ids=str
)
def test_scalar_outside_of_the_domain(case: Case) -> None:
    """Every kind of scalar is refused; an array follows the formula."""
    text = conditions(case)["domain"]
    assert text
    for outside in case.reference.outside:
        for convert in (float, np.float64, np.float32, np.float16, np.array):
            given = [convert(v) for v in outside]
            refuses(lambda g=given, **kw: case.ufunc(*data(case), *g, **kw), ValueError, case.ufunc.__name__, text)
        if all(v == int(v) for v in outside):
            refuses(lambda o=outside, **kw: case.ufunc(*data(case), *map(int, o), **kw), ValueError, text)
        keywords = {p.name: v for p, v in zip(case.ufunc.parameters, outside, strict=True)}
        refuses(lambda k=keywords, **kw: case.ufunc(*data(case), **k, **kw), ValueError, text)
        assert case.ufunc(*data(case), *(np.full(3, v) for v in outside)).shape == (3,)


@pytest.mark.parametrize("name", [n for n in hw.functions() if REFERENCES[n].outside])
def test_domain_is_told(name: str) -> None:
    """In the docstring of each function that checks it."""
    text = next(e for e in hw._core.catalogue if e["name"] == name)["domain"]
    assert text in hw.functions()[name].__doc__


def forbidden(case: Case) -> list[tuple[float, ...]]:
    """Parameters with which the output does not tell the derivative."""
    reference = case.reference
    sets = [defaults(case.ufunc, case.name), *reference.parameter_sets]
    sets += [tuple(factor * v for v in s) for factor in (-1.0, 0.0) for s in sets]
    wrong = [p for p in sets if not reference.from_output_holds(*p)]
    return list(dict.fromkeys([*wrong, *reference.outside]))


@pytest.mark.parametrize("case", [c for c in CASES if c.role == "backward_from_output"], ids=str)
def test_from_output_where_it_would_be_wrong(case: Case) -> None:
    """A scalar, or one element of an array, is enough for nothing to be written."""
    text = conditions(case)["from_output_domain"]
    assert bool(forbidden(case)) == bool(text)
    good = base(case)
    for bad in forbidden(case):
        refuses(lambda b=bad, **kw: case.ufunc(*data(case), *b, **kw), ValueError, case.ufunc.__name__, text)
        mixed = [np.array([g, g, b], np.float32) for g, b in zip(good, bad, strict=True)]
        refuses(lambda m=mixed, **kw: case.ufunc(*data(case), *m, **kw), ValueError, text)
        refuses(lambda m=mixed, **kw: case.ufunc(*data(case), *(v[::-1] for v in m), **kw), ValueError, text)
        columns = [v.astype(np.float64).reshape(3, 1) for v in mixed]
        refuses(lambda c=columns: case.ufunc(*data(case), *c), ValueError, text, out=False)
        lists = [v.tolist() for v in mixed]
        refuses(lambda v=lists, **kw: case.ufunc(*data(case), *v, **kw), ValueError, text)


# ---- Sums of parameter gradients -------------------------------------------------------------------------------------


@each_sum
def test_parameter_backward(name: str) -> None:
    """The plain functions say what is wrong too."""
    function, values = hw.functions()[name].parameter_backward, defaults(hw.functions()[name], name)
    x = np.linspace(-1, 1, 3)
    first = function.parameters[0].name
    for call, error, word in (
        (lambda: function(x), TypeError, function.__name__),
        (lambda: function(x, x, *values, 0.5), TypeError, function.__name__),
        (lambda: function(x, x, *values, inplace=True), TypeError, "inplace"),
        (lambda: function(x, x, *values, **{first: 0.5}), TypeError, first),
        (lambda: function(x, np.ones(4), *values), ValueError, "broadcast"),
        (lambda: function(x, x, np.ones(4), *values[1:]), ValueError, "broadcast"),
        (lambda: function(x.astype(complex), x, *values), TypeError, "g has dtype"),
        (lambda: function(x, x.astype(object), *values), TypeError, "x has dtype"),
        (lambda: function(x, x, 1j, *values[1:]), TypeError, first),
        (lambda: function(x, x, "a", *values[1:]), TypeError, first),
    ):
        with pytest.raises(error, match=word):
            call()
    for outside in REFERENCES[name].outside:
        with pytest.raises(ValueError, match=first):
            function(x, x, *outside)


# ---- References and instruction sets ---------------------------------------------------------------------------------


@each_case
def test_no_reference_is_lost_or_kept(case: Case) -> None:
    """Neither by calls that succeed nor by those that fail."""
    operands, out = data(case), np.zeros(3, np.float32)
    parameters = [np.array(v, np.float32) for v in base(case)]
    arrays = [np.full(3, v, np.float32) for v in base(case)]
    watched = [*operands, *parameters, *arrays, out]

    def calls() -> None:
        for direct in (True, False):
            with direct_calls(direct):
                case.ufunc(*operands, *parameters)
                case.ufunc(*operands, *parameters, out)
                case.ufunc(*operands, *arrays, out=out)
                case.ufunc(*operands, *base(case), out=(out,))
                for wrong in ({"inplace": True}, {"dtype": np.complex64}, {"out": np.zeros(4)}):
                    with pytest.raises((TypeError, ValueError)):
                        case.ufunc(*operands, *parameters, **wrong)

    calls()
    before = [sys.getrefcount(v) for v in watched]
    for _ in range(5):
        calls()
    assert [sys.getrefcount(v) for v in watched] == before


def test_unknown_instruction_set() -> None:
    """The message lists those that there are."""
    before = hw.instruction_set()
    with pytest.raises(ValueError, match=r"allowed here: .*scalar"):
        hw._core.use_instruction_set("sse9")
    assert hw.instruction_set() == before


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own."""
    given = {k: v for k, v in os.environ.items() if not k.startswith("HALFWAVE_")} | environment
    return subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "value", ["nonsense", "AVX2", "neon" if "neon" not in hw.instruction_sets() else "avx2", " scalar"]
)
def test_environment_variable_with_a_wrong_value(value: str) -> None:
    """An ImportError names the variable, the value and what is allowed on this machine."""
    done = run("import halfwave", HALFWAVE_ISA=value)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ")
    for word in ("HALFWAVE_ISA", value, *hw.instruction_sets()):
        assert word in last


@pytest.mark.parametrize("name", hw.instruction_sets())
def test_environment_variable_chooses(name: str) -> None:
    """Each of those that this machine has."""
    done = run("import halfwave; print(halfwave.instruction_set())", HALFWAVE_ISA=name)
    assert done.stdout.strip() == name


def test_empty_environment_variable() -> None:
    """The same as none: the best that there is."""
    done = run("import halfwave; print(halfwave.instruction_set())", HALFWAVE_ISA="")
    assert done.stdout.strip() == hw.instruction_sets()[0]
