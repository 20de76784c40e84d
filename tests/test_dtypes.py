"""bfloat16, integers and mixtures: what is kept, what is promoted, what is refused; that it is computed right."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import halfwave as hw
import ml_dtypes
import numpy as np
import pytest
from halfwave.verify.cases import Case, defaults, instruction_set
from halfwave.verify.rounding import FORMATS, error
from halfwave.verify.samples import everything

from tests.cases import (
    CASES,
    FORWARD,
    direct_calls,
    each_case,
    equal_bits,
)
from tests.memory import Guarded, needs_mprotect, with_stride

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
INTEGERS = tuple(np.dtype(t) for t in "bBhHiIlLqQ")
KEEPING = tuple(c for c in FORWARD if c.reference.keeps_integers)
TABLE = Path(__file__).parents[1] / "docs" / "dtypes.md"

each_keeping = pytest.mark.parametrize("case", KEEPING, ids=str)
each_integer = pytest.mark.parametrize("dtype", INTEGERS, ids=lambda d: d.char)


# ---- bfloat16 --------------------------------------------------------------------------------------------------------


def python(code: str) -> None:
    """Run code in a new process, where nothing is imported yet."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


FIRST = """
import sys
{imports}
x = np.linspace(-3, 3, 9).astype(ml_dtypes.bfloat16)
g = np.ones_like(x)
{calls}
for f in hw.functions().values():
    p = [0.25 if q.default is None else q.default for q in f.parameters]
    data = f.nin - len(p)
    assert f(*[x] * data, *p).dtype == x.dtype, f
    assert f(*[x[::2]] * data, *p).dtype == x.dtype, f
"""


@pytest.mark.parametrize(
    "imports",
    [
        "import numpy as np, halfwave as hw\nassert 'ml_dtypes' not in sys.modules\nimport ml_dtypes",
        "import numpy as np, ml_dtypes, halfwave as hw",
        "import ml_dtypes, halfwave as hw, numpy as np",
    ],
    ids=["after", "before", "first"],
)
@pytest.mark.parametrize(
    "calls",
    [
        "",
        "assert hw.gelu(np.ones(3, np.float32)).dtype == np.float32",
        "assert hw.gelu(np.ones(3, np.float32), dtype=x.dtype, casting='unsafe').dtype == x.dtype",
        "assert hw.gelu(x, out=np.empty(9, np.float32)).dtype == np.float32",
        "assert hw.gelu(x, dtype=np.float32).dtype == np.float32",
        "assert hw.gelu(x, signature=(None, np.float32)).dtype == np.float32",
        "assert hw.relu_backward(g, x.astype(np.float32)).dtype == np.float32",
        "assert hw.leaky_relu(np.ones(9, np.float32), x).dtype == np.float32",
        "hw.gelu.resolve_dtypes((x.dtype, None))",
    ],
)
def test_first_sight(imports: str, calls: str) -> None:
    """Whichever is imported first, and whatever the first call is, bfloat16 stays bfloat16."""
    python(FIRST.format(imports=imports, calls=calls))


@each_case
def test_bfloat16_is_kept(case: Case) -> None:
    """With parameters of any type, `out=`, `where=`, `dtype=`, scalars, views, and methods."""
    x = [np.linspace(-3, 3, 7).astype(BFLOAT16) + BFLOAT16.type(k) for k in range(len(case.data))]
    base = defaults(case.ufunc, case.name)
    expected = case.ufunc(*x, *base)
    assert expected.dtype == BFLOAT16
    for kind in (np.float64, np.float32, BFLOAT16.type, np.array, lambda p: np.full(7, p)):
        given = [kind(p) for p in base]
        assert case.ufunc(*x, *given).dtype == BFLOAT16
        assert case.ufunc(*(v[::2] for v in x), *(np.broadcast_to(p, 7)[::2] for p in given)).dtype == BFLOAT16
    out = np.zeros(7, BFLOAT16)
    assert case.ufunc(*x, *base, out=out) is out
    assert equal_bits(out, expected)
    mask = np.arange(7) % 2 == 0
    assert equal_bits(
        case.ufunc(*x, *base, out=np.zeros(7, BFLOAT16), where=mask), np.where(mask, expected, np.zeros(7, BFLOAT16))
    )
    wide = [v.astype(np.float64) for v in x]
    assert equal_bits(case.ufunc(*wide, *base, dtype=BFLOAT16, casting="unsafe"), expected)
    single = case.ufunc(*(v[0] for v in x), *base)
    assert isinstance(single, BFLOAT16.type)
    assert equal_bits(single, expected[0])
    resolved = case.ufunc.resolve_dtypes((*[BFLOAT16] * len(x), *[np.dtype(np.float64)] * len(base), None))
    assert resolved == (*[BFLOAT16] * len(x), *[np.dtype(np.float32)] * len(base), BFLOAT16)


@each_case
def test_python_numbers_are_weak_beside_bfloat16(case: Case) -> None:
    """As beside every other array."""
    x, base = np.ones(3, BFLOAT16), defaults(case.ufunc, case.name)
    for k, number in itertools.product(range(len(case.data) if len(case.data) > 1 else 0), (0.5, 1)):
        mixed = [number if i == k else x for i in range(len(case.data))]
        assert case.ufunc(*mixed, *base).dtype == BFLOAT16


def test_plain_functions_keep_bfloat16() -> None:
    """Those that are made of ufuncs, and the sums."""
    x = np.linspace(-3, 3, 12).astype(BFLOAT16).reshape(3, 4)
    y, slope = hw.rrelu_sample(x, rng=np.random.default_rng(1))
    results = [hw.crelu(x), hw.crelu_backward(hw.crelu(x), x), hw.unbroadcast(x, (4,)), y, slope]
    results += [*hw.prelu_parameter_backward(x, x, 0.25), *hw.swiglu_backward(x, x, x)]
    assert {np.asarray(r).dtype for r in results} == {BFLOAT16}
    np.testing.assert_array_equal(hw.unbroadcast(x, (4,)).astype(float), x.astype(float).sum(0).astype(BFLOAT16))


OTHERS = [np.dtype(getattr(ml_dtypes, n)) for n in ("float8_e4m3fn", "float8_e5m2", "int4") if hasattr(ml_dtypes, n)]


@pytest.mark.parametrize("dtype", OTHERS, ids=str)
@each_case
def test_other_types_of_ml_dtypes(case: Case, dtype: np.dtype[Any]) -> None:
    """A message that names the function, the operand, the dtype and what is supported."""
    base, good = defaults(case.ufunc, case.name), np.ones(3, np.float32)
    for k, name in enumerate(case.data):
        data = [good.astype(dtype) if i == k else good for i in range(len(case.data))]
        if any(c is not None for c in _promoted(*(d.dtype for d in data))):
            continue
        with pytest.raises(TypeError, match=f"{case.ufunc.__name__}: {name} has dtype {dtype}.*bfloat16"):
            case.ufunc(*data, *base)
    with pytest.raises(TypeError, match=f"{dtype} is not supported; allowed are float16, bfloat16"):
        case.ufunc(*[good] * len(case.data), *base, dtype=dtype)


def _promoted(*dtypes: np.dtype[Any]) -> list[np.dtype[Any] | None]:
    """What NumPy promotes these to, if that is a dtype of ours."""
    try:
        common = np.result_type(*(np.empty(0, d) for d in dtypes))
    except TypeError:
        return [None]
    return [common if common in (*map(np.dtype, "efd"), BFLOAT16) else None]


# ---- 16 bits at any gradient -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
@pytest.mark.parametrize("case", [c for c in CASES if len(c.data) > 1], ids=str)
def test_factors_of_any_size(case: Case, name: str) -> None:
    """At most 0.51 units for normal results, whatever the gradient or `up`: no bits are lost to float's subnormals."""
    fmt = FORMATS[name]
    x = everything(fmt)[:: 7 if name == "float16" else 5]
    base = fmt.parameters(defaults(case.ufunc, case.name))
    rng = np.random.default_rng(3)
    exponents = rng.integers(fmt.minimum, fmt.maximum + 1, x.size)
    factor = (rng.choice([-1, 1], x.size) * np.ldexp(rng.uniform(1, 2, x.size), exponents)).astype(fmt.dtype)
    ones = np.ones_like(x)
    if case.role == "forward":
        operands, inputs, factors = (x, factor), (x, factor), ones
    elif case.role == "backward_gate":
        operands, inputs, factors = (ones, x, factor), (x, factor), ones
    elif case.role == "backward_up":
        operands, inputs, factors = (factor, x, ones), (x, ones), factor
    else:
        operands, inputs, factors = (factor, x), (x,), factor
    values = case.values(*inputs, *base)
    exact = values * factors.astype(np.float64)
    found = case.ufunc(*operands, *base)
    trusted = ~case.ill_conditioned(*inputs, *base) & (np.abs(exact) >= fmt.tiny) & (np.abs(exact) < fmt.largest)
    trusted &= np.abs(values) < 2.0**126  # what overflows float32 before it is multiplied is infinite
    errors = np.where(trusted, error(found, exact, fmt), 0)
    worst = int(np.argmax(errors))
    assert errors[worst] <= 0.51, (float(x[worst]), float(factor[worst]), float(found[worst]), exact[worst])


# ---- Integers --------------------------------------------------------------------------------------------------------


def extremes(dtype: np.dtype[Any], n: int = 700) -> np.ndarray:
    """Numbers near 0 and near both ends."""
    info = np.iinfo(dtype)
    near = [0, 1, 2, 3, 5, 6, 7, 100, info.max, info.max - 1, info.min, info.min + 1, info.max // 2]
    near += [v for v in (-1, -2, -3, -6, -100) if v >= info.min]
    return np.random.default_rng(5).choice(np.array(near, dtype), n)


def expected(case: Case, x: np.ndarray, parameters: tuple[Any, ...]) -> np.ndarray:
    """The formula in Python's own integers, its bounds saturated to the dtype's range."""
    low, high = int(np.iinfo(x.dtype).min), int(np.iinfo(x.dtype).max)
    p = [int(v) for v in parameters]
    formulas: dict[str, Any] = {
        "relu": lambda v: max(v, 0),
        "relu6": lambda v: min(max(v, 0), 6),
        "clipped_relu": lambda v: min(max(v, 0), p[0]),
        "hardtanh": lambda v: min(max(v, p[0]), p[1]),
        "threshold": lambda v: v if v > p[0] else p[1],
        "thresholded_relu": lambda v: v if v > p[0] else 0,
    }
    formula = formulas[case.name]
    return np.array([min(max(formula(int(v)), low), high) for v in x], x.dtype)


def integral_sets(case: Case) -> list[tuple[int, ...]]:
    """Parameters inside of every dtype's range, and far outside."""
    if not case.ufunc.parameters:
        return [()]
    if case.name == "hardtanh":
        return [(-1, 1), (0, 5), (-300, 300), (2, 2), (-(2**63), 2**63 - 1), (-5, -2)]
    if case.name == "threshold":
        return [(0, 7), (3, 1), (-1000, 5), (2**40, 5), (-1, 0)]
    return [(1,), (0,), (6,), (-1,), (-1000,), (2**40,), (2**63 - 1,)]


@each_integer
@each_keeping
def test_integers_are_kept(case: Case, dtype: np.dtype[Any]) -> None:
    """The same dtype and the exact values, on every instruction set, in every layout and way of giving parameters."""
    x = extremes(dtype)
    for parameters in integral_sets(case):
        wanted = expected(case, x, parameters)
        for name, direct in itertools.product(hw.instruction_sets(), (True, False)):
            with instruction_set(name), direct_calls(direct):
                for given in (
                    parameters,
                    [np.int64(p) for p in parameters],
                    [float(p) for p in parameters if abs(p) < 2**53],
                    [np.full(x.size, p, np.int64) for p in parameters],
                ):
                    if len(given) < len(parameters):
                        continue
                    assert equal_bits(case.ufunc(x, *given), wanted), (name, direct, parameters)
                assert equal_bits(case.ufunc(x[::3], *parameters), wanted[::3])
                assert equal_bits(case.ufunc(x[::-1], *parameters), wanted[::-1])
                assert equal_bits(case.ufunc(x[5], *parameters), wanted[5])
                for n in range(1, 70):
                    assert equal_bits(case.ufunc(x[1 : n + 1], *parameters), wanted[1 : n + 1])
        same = x.copy()
        assert case.ufunc(same, *parameters, out=same) is same
        assert equal_bits(same, wanted)
        unaligned = np.frombuffer(b"\0" + x.tobytes(), dtype, offset=1)
        assert equal_bits(case.ufunc(unaligned, *parameters), wanted)
        record = np.zeros(x.size, np.dtype([("a", "u1"), ("b", dtype)]))
        record["b"] = x
        assert equal_bits(case.ufunc(record["b"], *parameters), wanted)
        swapped = case.ufunc(x.astype(dtype.newbyteorder()), *parameters)
        assert equal_bits(swapped, wanted)


@each_keeping
def test_defaults_and_lists_with_integers(case: Case) -> None:
    """A Python integer, a list, and parameters that are not given."""
    given = [p for p, q in zip(integral_sets(case)[0], case.ufunc.parameters, strict=True) if q.default is None]
    for x in (5, [5, -5, 0], np.arange(-3, 9), np.arange(9, dtype=np.uint8)):
        result = case.ufunc(x, *given)
        array = np.atleast_1d(np.asarray(x))
        assert result.dtype == array.dtype
        full = (*given, *(int(q.default) for q in case.ufunc.parameters if q.default is not None))
        np.testing.assert_array_equal(np.atleast_1d(result), expected(case, array, full))


@pytest.mark.parametrize("case", [c for c in KEEPING if c.ufunc.parameters], ids=str)
def test_parameters_of_integers(case: Case) -> None:
    """Whole numbers of any type; others are refused, and so is what has no place in int64."""
    x, good = np.arange(-4, 9, dtype=np.int16), integral_sets(case)[1]
    wanted = case.ufunc(x, *good)
    names = [p.name for p in case.ufunc.parameters]
    for convert in (float, np.float16, np.float32, np.array, np.uint64, BFLOAT16.type, lambda p: np.full(13, float(p))):
        if convert is np.uint64 and min(good) < 0:
            continue
        assert equal_bits(case.ufunc(x, *map(convert, good)), wanted)
        assert equal_bits(case.ufunc(x, **dict(zip(names, map(convert, good), strict=True))), wanted)
    for (k, name), bad in itertools.product(enumerate(names), (0.5, np.float32(1.5), np.nan, np.inf, np.full(13, 2.5))):
        given = [bad if i == k else p for i, p in enumerate(good)]
        with pytest.raises(ValueError, match=f"{name} must be a whole number|must be <="):
            case.ufunc(x, *given)
    with pytest.raises(ValueError, match=r"below 2\*\*63|must be <="):
        case.ufunc(x.astype(np.uint64), *(2**63 for _ in good))
    floats = case.ufunc(x, *good, dtype=np.float32)
    assert floats.dtype == np.float32


def test_a_value_must_fit() -> None:
    """What is stored is not saturated."""
    x = np.arange(-3, 4, dtype=np.int8)
    for bad in (128, -129, 1e9, np.array([5, 200, 5, 5, 5, 5, 5])):
        with pytest.raises(ValueError, match="threshold: value must fit into the dtype of x"):
            hw.threshold(x, 0, bad)
    with pytest.raises(ValueError, match="must fit"):
        hw.threshold(x.astype(np.uint8), 0, -1)
    assert hw.threshold(x, 10**6, 127).tolist() == [127] * 7


@each_keeping
def test_booleans_are_refused_where_integers_are_kept(case: Case) -> None:
    """They would be neither kept nor converted."""
    base = integral_sets(case)[0]
    for x in (np.array([True]), True, [True, False]):
        with pytest.raises(TypeError, match="integers"):
            case.ufunc(x, *base)


@needs_mprotect
@each_integer
@each_keeping
def test_integers_stay_in_their_memory(case: Case, dtype: np.dtype[Any]) -> None:
    """No access beyond the ends, at every stride."""
    x, parameters = extremes(dtype, 200), integral_sets(case)[0]
    wanted = expected(case, x, parameters)
    source, target = Guarded(), Guarded()
    for name in hw.instruction_sets():
        with instruction_set(name):
            for n in (1, 7, 31, 64, 65, 200):
                for place in ("at_end", "at_start"):
                    out = getattr(target, place)(np.zeros(n, dtype))
                    case.ufunc(getattr(source, place)(x[:n]), *parameters, out=out)
                    assert equal_bits(out, wanted[:n])
            for stride in (dtype.itemsize + 1, -dtype.itemsize, 3 * dtype.itemsize):
                out = with_stride(np.zeros(200, dtype), stride)
                case.ufunc(with_stride(x, stride), *parameters, out=out)
                assert equal_bits(out, wanted)


def test_integer_loops_are_listed() -> None:
    """In ascending order after those of floats; bfloat16 has no letter."""
    assert hw.relu.types[:3] == ["e->e", "f->f", "d->d"]
    assert [t[0] for t in hw.relu.types[3:]] == list("bBhHiIlLqQ")
    assert hw.silu.types == ["e->e", "f->f", "d->d"]
    assert all(t.split("->")[0][0] == t[-1] for t in hw.hardtanh.types)


# ---- Mixtures --------------------------------------------------------------------------------------------------------


def documented() -> dict[tuple[str, str], str]:
    """The table of docs/dtypes.md."""
    section = TABLE.read_text(encoding="utf-8").split("## Mixed operands")[1]
    lines = [line.strip().strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    header, _, *body = [[cell.strip() for cell in line] for line in lines]
    return {(row[0], name): cell for row in body for name, cell in zip(header[1:], row[1:], strict=True)}


@pytest.mark.parametrize("direct", [True, False])
def test_mixed_operands_promote_as_documented(direct: bool) -> None:
    """The table holds for data operands in either order, in every function that has two."""
    table = documented()
    names = {first for first, _ in table}
    assert {"float16", "bfloat16", "float32", "float64", "int8", "int64", "uint8"} <= names
    assert set(table) == set(itertools.product(names, repeat=2))
    with direct_calls(direct):
        for (first, second), wanted in table.items():
            a, b = (np.ones(3, BFLOAT16 if n == "bfloat16" else n) for n in (first, second))
            for case in CASES:
                if len(case.data) != 2:
                    continue
                base = defaults(case.ufunc, case.name)
                if wanted == "TypeError":
                    with pytest.raises(TypeError, match=case.ufunc.__name__):
                        case.ufunc(a, b, *base)
                else:
                    assert case.ufunc(a, b, *base).dtype.name == wanted, (case, first, second)
