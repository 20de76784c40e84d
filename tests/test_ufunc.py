"""Every function is a real numpy.ufunc: its keywords, dtypes, methods, overrides and attributes are NumPy's."""

from __future__ import annotations

import copy
import inspect
import itertools
import pickle
import pydoc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import halfwave as hw
import numpy as np
import pytest
from halfwave._functions import _ROLES
from halfwave.verify.reference import REFERENCES
from halfwave.verify.rounding import Format

from tests.cases import (
    CASES,
    Case,
    canonical,
    defaults,
    direct_calls,
    each_case,
    each_dtype,
    each_forward,
    equal_bits,
)

FLOATS = (np.float16, np.float32, np.float64)
INTEGERS = (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64)

pytestmark = pytest.mark.usefixtures("both_ways")
with_parameters = pytest.mark.parametrize("case", [c for c in CASES if c.ufunc.parameters], ids=str)
binary = pytest.mark.parametrize("case", [c for c in CASES if c.ufunc.nin == 2], ids=str)


def numbers(case: Case, dtype: Any = np.float32, shape: Any = (3, 5)) -> list[np.ndarray]:
    """Data operands without NaN."""
    rng = np.random.default_rng(11)
    return [(rng.normal(size=shape) * 3).astype(dtype) for _ in case.data]


def base(case: Case) -> tuple[float, ...]:
    """The default parameters."""
    return defaults(case.ufunc, case.name)


def required(case: Case) -> tuple[float, ...]:
    """The parameters that have to be given: up to the last that has no default."""
    given = [k + 1 for k, p in enumerate(case.ufunc.parameters) if p.default is None]
    return base(case)[: max(given, default=0)]


def as_exp(dtype: Any) -> np.dtype[Any]:
    """What np.exp makes of a dtype."""
    return np.exp.resolve_dtypes((np.dtype(dtype), None))[-1]


# ---- What they are ---------------------------------------------------------------------------------------------------


@each_case
def test_is_a_ufunc(case: Case) -> None:
    """With the operands that its signature tells, and loops in ascending order."""
    f = case.ufunc
    assert isinstance(f, np.ufunc)
    assert (f.nin, f.nout) == (len(case.data) + len(f.parameters), 1)
    assert f.nargs == f.nin + 1
    assert f.identity is None
    assert f.signature is None
    assert f.ntypes == len(f.types)
    results = [np.dtype(t.split("->")[1]) for t in f.types if t.split("->")[1] in "efd"]
    assert results == [np.dtype(t) for t in FLOATS]


@each_case
def test_names(case: Case) -> None:
    """It is found under its name in the module that it says it is from."""
    f = case.ufunc
    name = case.name if case.role == "forward" else f"{case.name}_{case.role}"
    assert f.__name__ == f.__qualname__ == name
    assert f.__module__ == "halfwave"
    assert getattr(hw, name) is f
    assert name in hw.__all__
    assert repr(f) == f"<ufunc '{name}'>"


@each_forward
def test_attributes_lead_from_one_to_the_other(case: Case) -> None:
    """A layer can be written over `act` alone."""
    f = case.ufunc
    assert hw.functions()[case.name] is f
    assert f.forward is f
    for role in _ROLES:
        other = getattr(f, role)
        if other is not None:
            assert other.forward is f
            assert other.parameters == f.parameters
            assert other.__module__ == "halfwave"
            assert getattr(hw, f"{case.name}_{role}") is other
            assert other.__name__ == other.__qualname__ == f"{case.name}_{role}"
    assert f.backward is not None
    for role in ("backward_gate", "backward_up", "packed", "packed_backward"):
        assert (getattr(f, role) is not None) == case.reference.gated
    assert (f.second_derivative is None) == case.reference.gated
    assert (f.parameter_backward is None) == (case.reference.parameter_derivatives is None)
    assert (f.backward_from_output is not None) == (case.reference.from_output is not None)
    assert isinstance(f.formula, str)
    assert isinstance(f.derivative, str)


@each_case
def test_error_bounds_are_told(case: Case) -> None:
    """For each dtype that there is a loop for."""
    bound = case.ufunc.error_bound
    assert set(bound) == {"float16", "bfloat16", "float32", "float64"}
    assert all(isinstance(v, float) and v >= 0 for v in bound.values())


def test_functions_is_a_copy() -> None:
    """What a caller does to it is of no consequence."""
    hw.functions().clear()
    assert hw.functions()


@each_case
def test_pickle_and_copy(case: Case) -> None:
    """They give the same object, by its name."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(case.ufunc, protocol)) is case.ufunc
    assert copy.copy(case.ufunc) is case.ufunc
    assert copy.deepcopy(case.ufunc) is case.ufunc


@pytest.mark.parametrize("name", hw.functions())
def test_plain_functions_pickle(name: str) -> None:
    """Those that are not ufuncs too."""
    for function in (hw.functions()[name].backward, hw.functions()[name].parameter_backward):
        assert function is None or pickle.loads(pickle.dumps(function)) is function


@each_case
def test_signature(case: Case) -> None:
    """Data by position, parameters with their defaults, NumPy's keywords."""
    signature = inspect.signature(case.ufunc)
    parameters = list(signature.parameters.values())
    data, own = parameters[: len(case.data)], parameters[len(case.data) : case.ufunc.nin]
    assert all(p.kind is p.POSITIONAL_ONLY for p in data)
    assert [p.name for p in own] == [p.name for p in case.ufunc.parameters]
    for shown, p in zip(own, case.ufunc.parameters, strict=True):
        assert shown.default == (inspect.Parameter.empty if p.default is None else p.default)
    assert {"out", "where", "casting", "order", "dtype", "subok"} <= set(signature.parameters)
    signature.bind(*numbers(case), *required(case), out=None)


@each_case
def test_docstring(case: Case) -> None:
    """In NumPy's format, with all sections, and shown by help()."""
    doc = case.ufunc.__doc__
    for section in ("Parameters", "Returns", "Raises", "Notes", "References"):
        assert f"\n{section}\n{'-' * len(section)}\n" in doc
    for name in (*case.data, *(p.name for p in case.ufunc.parameters)):
        assert f"\n{name} : " in doc
    assert case.ufunc.formula in doc or case.ufunc.derivative in doc or "from its output" in doc
    assert inspect.getdoc(case.ufunc)
    assert case.ufunc.__name__ in pydoc.render_doc(case.ufunc)


# ---- Parameters ------------------------------------------------------------------------------------------------------


@with_parameters
def test_parameters_by_position_and_by_keyword(case: Case) -> None:
    """In every way of giving them, and by default."""
    x, values = numbers(case), base(case)
    names = [p.name for p in case.ufunc.parameters]
    expected = case.ufunc(*x, *values)
    for given in range(len(values) + 1):
        keywords = dict(zip(names[given:], values[given:], strict=True))
        for direct in (True, False):
            with direct_calls(direct):
                assert equal_bits(case.ufunc(*x, *values[:given], **keywords), expected)
                assert equal_bits(case.ufunc(*x, *values[:given], **dict(reversed(keywords.items()))), expected)
    needed = {p.name: v for p, v in zip(case.ufunc.parameters, values, strict=True) if p.default is None}
    assert equal_bits(case.ufunc(*x, **needed), expected)


@with_parameters
def test_each_parameter_is_its_own(case: Case) -> None:
    """A keyword changes the parameter of that name and no other."""
    x, values = numbers(case), list(base(case))
    for k, p in enumerate(case.ufunc.parameters):
        for other in (s[k] for s in REFERENCES[case.name].parameter_sets):
            changed = [other if i == k else v for i, v in enumerate(values)]
            try:
                expected = case.ufunc(*x, *changed)
            except ValueError:  # out of the domain in this combination
                continue
            needed = {
                q.name: v for q, v in zip(case.ufunc.parameters, values, strict=True) if q.default is None and q != p
            }
            assert equal_bits(case.ufunc(*x, **needed, **{p.name: other}), expected)


def kinds_of(value: float) -> list[Any]:
    """One number as every type that a parameter may have."""
    kinds = [float(value), *(t(value) for t in FLOATS), *(np.array(value, t) for t in FLOATS), np.array([value])]
    if value == int(value):
        kinds += [
            int(value),
            *(t(value) for t in (np.int8, np.int64)),
            np.array(int(value)),
            np.array([value], np.int16),
        ]
    if value == 1:
        kinds += [True, np.True_, np.uint8(1), np.array(True)]
    return kinds


@each_dtype
@with_parameters
def test_parameters_never_change_the_dtype(case: Case, fmt: Format) -> None:
    """Whatever their type, the data decides."""
    x = numbers(case, fmt.dtype)
    for k in range(len(base(case))):
        for value in {base(case)[k], *(s[k] for s in REFERENCES[case.name].parameter_sets)}:
            values = [value if i == k else p for i, p in enumerate(base(case))]
            try:
                case.ufunc(*x, *values)
            except ValueError:
                continue
            for kind in kinds_of(value) if abs(value) < 100 else ():
                given = [kind if i == k else p for i, p in enumerate(base(case))]
                for direct in (True, False):
                    with direct_calls(direct):
                        assert case.ufunc(*x, *given).dtype == fmt.dtype, type(kind)
                        assert case.ufunc(*(v[0, 0] for v in x), *given).dtype == fmt.dtype, type(kind)
                exact = [
                    float(kind if np.ndim(kind) == 0 else kind[0]) if i == k else p for i, p in enumerate(base(case))
                ]
                assert equal_bits(case.ufunc(*x, *given), case.ufunc(*x, *exact))


@each_case
def test_positional_out_comes_after_all_parameters(case: Case) -> None:
    """Until then an array is a parameter."""
    x = numbers(case)
    expected = case.ufunc(*x, *base(case))
    for direct in (True, False):
        out = np.zeros_like(expected)
        with direct_calls(direct):
            assert case.ufunc(*x, *base(case), out) is out
            assert equal_bits(out, expected)
            assert equal_bits(case.ufunc(*x, *base(case), None), expected)
    if case.ufunc.parameters:
        out = np.full_like(expected, base(case)[0])
        result = case.ufunc(*x, out, *base(case)[1:])
        assert result is not out
        assert equal_bits(result, expected)


# ---- Dtypes ----------------------------------------------------------------------------------------------------------


@each_case
def test_promotion_of_data(case: Case) -> None:
    """The result has the promotion of the data operands; integers are kept, or count as np.exp counts them."""
    dtypes = FLOATS if len(case.data) > 1 and case.role != "forward" else (*FLOATS, *INTEGERS)
    integral = case.role == "forward" and case.reference.keeps_integers
    for combination in itertools.product(dtypes, repeat=len(case.data)):
        kept = integral and not any(np.issubdtype(d, np.floating) for d in combination)
        x = [np.ones((2, 3), d) for d in combination]
        expected = np.dtype(*combination) if kept else as_exp(np.result_type(*combination))
        parameters = [2 for _ in base(case)] if kept else base(case)
        assert case.ufunc(*x, *parameters).dtype == expected, combination
        computed = np.dtype(np.int64 if kept else np.float64)
        resolved = case.ufunc.resolve_dtypes((*map(np.dtype, combination), *[computed] * len(base(case)), None))
        assert resolved[-1] == expected


CONVERTING = [c for c in CASES if c.role != "forward" or not c.reference.keeps_integers]


@pytest.mark.parametrize("case", CONVERTING, ids=str)
def test_integers_are_converted_as_by_exp(case: Case) -> None:
    """Each integer dtype and bool, in each operand; the values are those of the converted operands."""
    for dtype in (*INTEGERS, np.bool_):
        x = [np.array([0, 1, 1], dtype)] * len(case.data)
        expected = case.ufunc(*(v.astype(as_exp(dtype)) for v in x), *base(case))
        assert equal_bits(case.ufunc(*x, *base(case)), expected)
    for k in range(len(case.data) if len(case.data) > 1 else 0):
        mixed = [np.ones(3, np.int8 if i == k else np.float32) for i in range(len(case.data))]
        assert case.ufunc(*mixed, *base(case)).dtype == np.float32


@each_case
def test_python_numbers_and_lists(case: Case) -> None:
    """Python floats are float64 by themselves, and weak beside an array."""
    parameters = base(case)
    assert case.ufunc(*[0.5] * len(case.data), *parameters).dtype == np.float64
    assert case.ufunc(*[[0.5, 1.5]] * len(case.data), *parameters).dtype == np.float64
    for k, fmt in itertools.product(range(len(case.data) if len(case.data) > 1 else 0), FLOATS):
        mixed = [0.5 if i == k else np.ones(3, fmt) for i in range(len(case.data))]
        assert case.ufunc(*mixed, *parameters).dtype == fmt
        mixed[k] = 1
        assert case.ufunc(*mixed, *parameters).dtype == fmt
        mixed[k] = np.float64(0.5)
        assert case.ufunc(*mixed, *parameters).dtype == np.float64


# ---- NumPy's keywords ------------------------------------------------------------------------------------------------


@each_case
def test_out(case: Case) -> None:
    """As an array, in a tuple, as None; in a wider dtype; returned as the object that was given."""
    x = numbers(case)
    expected = case.ufunc(*x, *base(case))
    for direct in (True, False):
        with direct_calls(direct):
            for wrap in (lambda o: o, lambda o: (o,)):
                out = np.full_like(expected, 9)
                assert case.ufunc(*x, *base(case), out=wrap(out)) is out
                assert equal_bits(out, expected)
            assert equal_bits(case.ufunc(*x, *base(case), out=None), expected)
            assert equal_bits(case.ufunc(*x, *base(case), out=(None,)), expected)
            wide = np.zeros((2, *expected.shape), np.float64)
            assert case.ufunc(*x, *base(case), out=wide) is wide
            np.testing.assert_array_equal(wide, np.broadcast_to(expected, wide.shape))


@each_case
def test_dtype_and_casting(case: Case) -> None:
    """`dtype=` decides what is computed in, as far as `casting=` allows."""
    x = numbers(case, np.float64)
    for dtype in FLOATS:
        expected = case.ufunc(*(v.astype(dtype) for v in x), *base(case))
        assert equal_bits(case.ufunc(*x, *base(case), dtype=dtype), expected)
        assert equal_bits(case.ufunc(*x, *base(case), dtype=np.dtype(dtype).name), expected)
    integers = [np.arange(6)] * len(case.data)
    assert case.ufunc(*integers, *base(case), dtype=np.float32).dtype == np.float32
    with pytest.raises(TypeError):
        case.ufunc(*x, *base(case), dtype=np.float32, casting="safe")
    with pytest.raises(TypeError):
        case.ufunc(*x, *base(case), dtype=np.complex64)
    with pytest.raises(TypeError):
        case.ufunc(*x, *base(case), dtype=np.int32)


@each_case
def test_signature_keyword(case: Case) -> None:
    """A loop may be chosen by its types; one that there is not is refused."""
    x = numbers(case, np.float64)
    for loop in case.ufunc.types[:3]:
        dtype = np.dtype(loop[-1])
        expected = case.ufunc(*(v.astype(dtype) for v in x), *base(case))
        for signature in (loop, tuple(np.dtype(c) for c in loop.replace("->", "")), (*[None] * case.ufunc.nin, dtype)):
            given = [np.asarray(p) for p in base(case)]
            assert equal_bits(case.ufunc(*x, *given, signature=signature, casting="same_kind"), expected)
    with pytest.raises(TypeError):
        case.ufunc(*x, *base(case), signature="D" * case.ufunc.nin + "->D")


@each_case
def test_order_and_subok(case: Case) -> None:
    """The memory order of a new result, and whether it may be of a subclass."""
    x = numbers(case)
    expected = case.ufunc(*x, *base(case))
    for order, contiguous in (("C", "C"), ("F", "F"), ("K", "C"), ("A", "C")):
        result = case.ufunc(*x, *base(case), order=order)
        assert result.flags[f"{contiguous}_CONTIGUOUS"]
        assert equal_bits(result, expected)
    assert case.ufunc(*map(np.asfortranarray, x), *base(case)).flags.f_contiguous
    assert case.ufunc(*map(np.asfortranarray, x), *base(case), order="C").flags.c_contiguous
    views = [v.view(Subclass) for v in x]
    assert type(case.ufunc(*views, *base(case))) is Subclass
    assert type(case.ufunc(*views, *base(case), subok=False)) is np.ndarray


# ---- Methods ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [c for c in CASES if c.ufunc.nin <= 2], ids=str)
def test_at(case: Case) -> None:
    """Unbuffered, in place, repeated indices one after the other."""
    x = np.linspace(-3, 3, 7)
    second = [np.full(3, 0.5)] * (case.ufunc.nin - 1)
    result = x.copy()
    case.ufunc.at(result, [0, 4, 4], *second)
    expected = x.copy()
    for k, i in enumerate((0, 4, 4)):
        expected[i] = case.ufunc(expected[i], *(s[k] for s in second))
    assert equal_bits(result, expected)


@binary
def test_outer(case: Case) -> None:
    """Every element of one operand with every element of the other."""
    a, b = np.linspace(-3, 3, 7, dtype=np.float32), np.array([0.25, 0.5, 2], np.float32)
    result = case.ufunc.outer(a, b)
    assert equal_bits(result, case.ufunc(a[:, None], b))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@binary
def test_reduce_and_accumulate(case: Case, dtype: Any) -> None:
    """Operands that overlap with the output by one element: strictly one after the other."""
    x = np.abs(np.random.default_rng(12).normal(size=(50, 3))).astype(dtype)  # in the domain of every parameter
    steps = [x[0]]
    for row in x[1:]:
        steps.append(case.ufunc(steps[-1], row))
    assert equal_bits(case.ufunc.accumulate(x, axis=0), np.array(steps))
    assert equal_bits(case.ufunc.reduce(x, axis=0), steps[-1])
    column = [x[0, 0]]
    for v in x[1:, 0]:
        column.append(case.ufunc(column[-1], v))
    assert equal_bits(case.ufunc.accumulate(x[:, 0].copy()), np.array(column))
    assert equal_bits(case.ufunc.reduceat(x[:, 0].copy(), [0]), np.array(column[-1:]))


@each_case
def test_resolve_dtypes(case: Case) -> None:
    """Parameters are taken in the dtype that is computed with."""
    for dtype in FLOATS:
        data, parameters = [np.dtype(dtype)] * len(case.data), [np.dtype(np.float32)] * len(base(case))
        resolved = case.ufunc.resolve_dtypes((*data, *parameters, None))
        computed = np.dtype(np.float64 if dtype is np.float64 else np.float32)
        assert resolved == (*data, *[computed] * len(parameters), np.dtype(dtype))


# ---- Overrides -------------------------------------------------------------------------------------------------------


class Subclass(np.ndarray):
    """A plain subclass."""


class Recorder:
    """Something that takes part in ufuncs, and tells how it was called."""

    def __array_ufunc__(self, *call: Any, **keywords: Any) -> Any:
        return call, keywords


@each_case
def test_override_receives_filled_in_operands(case: Case) -> None:
    """Dask, xarray and their like see a call with all operands, by position."""
    recorder = Recorder()
    for k in range(len(case.data)):
        x: list[Any] = numbers(case)
        x[k] = recorder
        names = [p.name for p in case.ufunc.parameters]
        last = {names[-1]: base(case)[-1]} if names else {}
        ways = [(*x, *base(case)), (*x, *base(case)[: len(names) - len(last)]), (*x, *required(case))]
        for operands, keywords in zip(ways, ({}, last, {}), strict=True):
            (ufunc, method, *inputs), given = case.ufunc(*operands, **keywords)
            assert ufunc is case.ufunc
            assert method == "__call__"
            assert len(inputs) == case.ufunc.nin
            assert inputs[k] is recorder
            assert [float(p) for p in inputs[len(case.data) :]] == pytest.approx(base(case))
            assert given == {}
        out = np.zeros((3, 5))
        call, given = case.ufunc(*x, *base(case), out=out, where=True, dtype=np.float64)
        assert len(call) == 2 + case.ufunc.nin
        assert given["out"] == (out,)
        assert given["dtype"] is np.float64
    for k in range(len(case.ufunc.parameters)):
        parameters: list[Any] = list(base(case))
        parameters[k] = recorder
        call, _ = case.ufunc(*numbers(case), *parameters)
        assert call[2 + len(case.data) + k] is recorder
    if case.role == "forward":
        assert case.ufunc(*numbers(case), *base(case), out=recorder)[1] == {"out": (recorder,)}


@each_case
def test_override_may_decline(case: Case) -> None:
    """An operand whose __array_ufunc__ is None makes a TypeError."""

    class Declines:
        __array_ufunc__ = None

    with pytest.raises(TypeError):
        case.ufunc(*[Declines()] * len(case.data), *base(case))


@each_case
def test_masked_arrays(case: Case) -> None:
    """They come back masked in the same places."""
    mask = np.arange(15).reshape(3, 5) % 4 == 0
    x = numbers(case)
    result = case.ufunc(*(np.ma.array(v, mask=mask) for v in x), *base(case))
    assert isinstance(result, np.ma.MaskedArray)
    np.testing.assert_array_equal(result.mask, mask)
    assert equal_bits(result.data[~mask], case.ufunc(*x, *base(case))[~mask])


@each_case
def test_array_like_objects(case: Case) -> None:
    """What can be made an array is; matrices and memory maps stay what they are."""

    class ArrayLike:
        def __init__(self, values: np.ndarray) -> None:
            self.values = values

        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return self.values

    x = numbers(case)
    expected = case.ufunc(*x, *base(case))
    assert equal_bits(case.ufunc(*map(ArrayLike, x), *base(case)), expected)
    assert equal_bits(case.ufunc(*(memoryview(v) for v in x), *base(case)), expected)
    read_only = [v.copy() for v in x]
    for v in read_only:
        v.flags.writeable = False
    assert equal_bits(case.ufunc(*read_only, *base(case)), expected)


# ---- Threads ---------------------------------------------------------------------------------------------------------


def test_threads() -> None:
    """Many Python threads at once, on large and small arrays, through both ways of calling."""
    rng = np.random.default_rng(13)
    jobs = []
    for n in (7, 300, 20_000):
        for case, dtype in itertools.product(CASES, FLOATS):
            x = [rng.normal(size=n).astype(dtype) for _ in case.data]
            jobs.append((case, x, canonical(case.ufunc(*x, *base(case)))))

    def run(job: Any) -> bool:
        case, x, expected = job
        out = np.empty_like(x[0])
        case.ufunc(*x, *base(case), out=out)
        strided = case.ufunc(*(v[::2] for v in x), *base(case))
        return np.array_equal(canonical(out), expected) and np.array_equal(canonical(strided), expected[::2])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(run, jobs))


def test_sums_in_threads() -> None:
    """Sums of parameter gradients too."""
    x = np.random.default_rng(14).normal(size=(40, 500)).astype(np.float32)
    jobs = [(f.parameter_backward, defaults(f, n)) for n, f in hw.functions().items() if f.parameter_backward] * 4
    expected = [function(x, x, *parameters) for function, parameters in jobs]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda job: job[0](x, x, *job[1]), jobs))
    for totals, wanted in zip(results, expected, strict=True):
        assert all(map(equal_bits, totals, wanted))
