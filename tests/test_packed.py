"""Gated units of one array that holds gate and up: the same results as of two, in every layout, without copies."""

from __future__ import annotations

import inspect
import itertools
import tracemalloc
from typing import Any

import halfwave as hw
import numpy as np
import pytest
from halfwave._packed import LAYOUTS
from halfwave.verify.rounding import FORMATS

from tests.cases import DTYPES, defaults, direct_calls, equal_bits

GATED = [name for name, function in hw.functions().items() if function.packed]
SHAPES = [
    ((10,), -1),
    ((10,), 0),
    ((4, 6), 1),
    ((4, 6), 0),
    ((2, 3, 8), -1),
    ((2, 4, 3), 1),
    ((0, 4), 1),
    ((3, 0), 1),
]

pytestmark = pytest.mark.usefixtures("both_ways")
each_unit = pytest.mark.parametrize("name", GATED)
each_layout = pytest.mark.parametrize("layout", LAYOUTS)


def pack(gate: np.ndarray, up: np.ndarray, layout: str, axis: int = -1) -> np.ndarray:
    """Both operands in one array, by a way of its own: element by element."""
    axis %= gate.ndim
    n = gate.shape[axis]
    packed = np.zeros((*gate.shape[:axis], 2 * n, *gate.shape[axis + 1 :]), gate.dtype)
    rows, gates, ups = (np.moveaxis(a, axis, 0) for a in (packed, gate, up))
    for i in range(n):
        places = {"gate_first": (i, n + i), "gate_last": (n + i, i), "interleaved": (2 * i, 2 * i + 1)}[layout]
        rows[places[0]], rows[places[1]] = gates[i], ups[i]
    return packed


def operands(shape: tuple[int, ...], axis: int, dtype: Any) -> list[np.ndarray]:
    """A gradient, gates and ups, for a packed array of this shape."""
    half = list(shape)
    half[axis] //= 2
    rng = np.random.default_rng(1)
    return [np.asarray(rng.normal(size=half) * 4, dtype) for _ in range(3)]


def test_the_gated_units_of_the_catalogue_have_them() -> None:
    """As attributes, and by name; one leads to the other."""
    assert [
        *("glu", "bilinear", "reglu", "geglu", "geglu_tanh", "geglu_quick", "swiglu", "swiglu_clamped"),
    ] == GATED
    for name, function in hw.functions().items():
        assert (function.packed is not None) == (function.packed_backward is not None) == (name in GATED)
    for name in GATED:
        unit = hw.functions()[name]
        assert unit.packed is getattr(hw, f"{name}_packed")
        assert unit.packed.backward is unit.packed_backward is getattr(hw, f"{name}_packed_backward")
        assert unit.packed.forward is unit.packed_backward.forward is unit
        parameters = inspect.signature(unit.packed_backward).parameters
        assert list(parameters) == ["g", "x", *(p.name for p in unit.parameters), "layout", "axis", "out"]
        assert parameters["layout"].default is parameters["layout"].empty
        for layout in LAYOUTS:
            assert f'"{layout}"' in unit.packed.__doc__


@pytest.mark.parametrize("dtype", DTYPES)
@each_layout
@each_unit
def test_the_bits_are_those_of_two_arrays(name: str, layout: str, dtype: str) -> None:
    """Forward and backward, along every axis, into a new array, into `out` and into the input."""
    unit = hw.functions()[name]
    for (shape, axis), parameters in itertools.product(SHAPES, {(), defaults(unit, name)}):
        g, gate, up = operands(shape, axis, FORMATS[dtype].dtype)
        x = pack(gate, up, layout, axis)
        expected = unit(gate, up, *parameters)
        assert equal_bits(unit.packed(x, *parameters, layout=layout, axis=axis), expected)
        out = np.full_like(expected, 7)
        assert unit.packed(x, *parameters, layout=layout, axis=axis, out=out) is out
        assert equal_bits(out, expected)

        gradients = pack(*unit.backward(g, gate, up, *parameters), layout, axis)
        assert equal_bits(unit.packed_backward(g, x, *parameters, layout=layout, axis=axis), gradients)
        out = np.full_like(x, 7)
        assert unit.packed_backward(g, x, *parameters, layout=layout, axis=axis, out=out) is out
        assert equal_bits(out, gradients)
        assert unit.packed_backward(g, x, *parameters, layout=layout, axis=axis, out=x) is x
        assert equal_bits(x, gradients)


@each_layout
def test_other_memory_layouts(layout: str) -> None:
    """Transposed, reversed, and every second element of something larger."""
    g, gate, up = operands((12, 10), 1, np.float32)
    x = pack(gate, up, layout)
    expected, gradients = hw.swiglu(gate, up), pack(*hw.swiglu_backward(g, gate, up), layout)
    wide = np.zeros((24, 30), np.float32)
    for view in (np.asfortranarray(x), wide[::2, ::3], wide[::-2, ::-3]):
        view[...] = x
        assert equal_bits(hw.swiglu_packed(view, layout=layout), expected)
        assert equal_bits(hw.swiglu_packed_backward(g, view, layout=layout), gradients)
        hw.swiglu_packed_backward(g, view, layout=layout, out=view)
        assert equal_bits(view, gradients)


@each_layout
def test_parameters_and_gradients_broadcast(layout: str) -> None:
    """By position, by keyword, as arrays; a gradient of one number is that of every element."""
    _, gate, up = operands((4, 6), 1, np.float64)
    x = pack(gate, up, layout)
    alpha, limit = np.linspace(0.5, 2, 3), np.array([[1.0], [2.0], [3.0], [np.inf]])
    expected = hw.swiglu_clamped(gate, up, alpha, limit)
    assert equal_bits(hw.swiglu_clamped_packed(x, alpha, limit, layout=layout), expected)
    assert equal_bits(hw.swiglu_clamped_packed(x, limit=limit, alpha=alpha, layout=layout), expected)
    assert hw.swiglu_clamped_packed(x, limit=np.ones((2, 1, 1)), layout=layout).shape == (2, 4, 3)
    gradients = pack(*hw.swiglu_clamped_backward(np.ones_like(gate), gate, up, alpha, limit), layout)
    assert equal_bits(hw.swiglu_clamped_packed_backward(1.0, x, alpha, limit=limit, layout=layout), gradients)


@pytest.mark.parametrize("shape", [(1 << 20,), (1 << 10, 1 << 10)])
@each_layout
def test_nothing_is_copied(layout: str, shape: tuple[int, ...]) -> None:
    """Neither the halves that are read nor those that are written, not even in place."""
    x = np.ones(shape, np.float32)
    half = (*shape[:-1], shape[-1] // 2)
    g, out, packed = np.ones(half, np.float32), np.empty(half, np.float32), np.empty_like(x)
    with direct_calls(True):
        for call in (
            lambda: hw.swiglu_packed(x, layout=layout, out=out),
            lambda: hw.swiglu_packed_backward(g, x, layout=layout, out=packed),
            lambda: hw.swiglu_packed_backward(g, x, layout=layout, out=x),
        ):
            tracemalloc.start()
            call()
            assert tracemalloc.get_traced_memory()[1] < 10_000
            tracemalloc.stop()


def test_lists_integers_and_mixed_dtypes() -> None:
    """They are converted as for two arrays; a Python number takes on the dtype of the array."""
    assert hw.swiglu_packed([1, 2], layout="gate_first") == hw.swiglu(1, 2)
    for dtype, result in (
        (np.int8, np.float16),
        (np.bool_, np.float16),
        (np.uint16, np.float32),
        (np.int64, np.float64),
    ):
        x = np.array([1, 0, 1, 1], dtype)
        assert hw.reglu_packed(x, layout="gate_last").dtype == result
        assert hw.reglu_packed_backward(x[:2], x, layout="gate_last").dtype == result
    x = np.ones(4, np.float32)
    assert hw.glu_packed_backward(np.ones(2), x, layout="gate_first").dtype == np.float64
    assert hw.glu_packed_backward(np.ones(2, np.float16), x, layout="gate_first").dtype == np.float32
    for number in (1, 1.0):
        assert hw.glu_packed_backward(number, x, layout="gate_first").dtype == np.float32
        assert hw.glu_packed_backward(number, x.astype(np.int8), layout="gate_first").dtype == np.float16
    assert hw.glu_packed(x, layout="gate_first", out=np.zeros(2)).dtype == np.float64


@each_layout
def test_arrays_of_dask(layout: str) -> None:
    """Each chunk is computed when it is asked for, both gradients too."""
    dask = pytest.importorskip("dask.array")
    g, gate, up = operands((6, 8), 1, np.float64)
    x = pack(gate, up, layout)
    lazy_g, lazy = dask.from_array(g, chunks=(2, 4)), dask.from_array(x, chunks=(2, 8))
    y, dx = hw.swiglu_packed(lazy, layout=layout), hw.swiglu_packed_backward(lazy_g, lazy, layout=layout)
    assert type(y) is type(dx) is type(lazy)
    assert equal_bits(y.compute(), hw.swiglu(gate, up))
    assert equal_bits(dx.compute(), hw.swiglu_packed_backward(g, x, layout=layout))
    with pytest.raises(TypeError, match="out must be None"):
        hw.swiglu_packed_backward(lazy_g, lazy, layout=layout, out=x)
    for result, expected in zip(hw.glu_backward(lazy_g, lazy_g, lazy_g), hw.glu_backward(g, g, g), strict=True):
        assert equal_bits(result.compute(), expected)


# ---- Errors ----------------------------------------------------------------------------------------------------------


@each_unit
def test_the_layout_must_be_named(name: str) -> None:
    """Missing or unknown, the message lists the three, and who uses which."""
    unit, x = hw.functions()[name], np.ones(4)
    words = [*LAYOUTS, *LAYOUTS.values()]
    for function, arguments in ((unit.packed, (x,)), (unit.packed_backward, (x[:2], x))):
        for keywords, error in (
            ({}, TypeError),
            ({"layout": "first"}, ValueError),
            ({"layout": 1}, ValueError),
            ({"layout": ["gate_first"]}, ValueError),
        ):
            with pytest.raises(error) as raised:
                function(*arguments, **keywords)
            assert all(word in str(raised.value) for word in (function.__name__, *words))


@each_unit
def test_one_operand_where_two_are_needed(name: str) -> None:
    """A gated unit of one array says where to find the packed function, and the other way round."""
    unit, x = hw.functions()[name], np.ones(4)
    with pytest.raises(TypeError, match=rf"\(gate, up\), 1 given; .*{name}_packed\(x, layout"):
        unit(x)
    for backward in (unit.backward, unit.backward_gate, unit.backward_up):
        with pytest.raises(TypeError, match=rf"\(g, gate, up\), 2 given; .*{name}_packed_backward\(g, x, layout"):
            backward(x, x)
    extra = [x] * len(unit.parameters)
    with pytest.raises(TypeError, match=rf"one array .*; for two arrays there is {name}\(gate, up\)"):
        unit.packed(x, x, *extra, layout="gate_first")


@each_layout
def test_what_else_is_wrong_is_named(layout: str) -> None:
    """Before anything is written."""
    x, g = np.ones((4, 6), np.float32), np.ones((4, 3), np.float32)
    out, packed = np.full((4, 3), 7, np.float32), np.full((4, 6), 7, np.float32)
    locked = np.ones((4, 3), np.float32)
    locked.flags.writeable = False
    forward, backward = hw.swiglu_packed, hw.swiglu_packed_backward
    clamped, clamped_backward = hw.swiglu_clamped_packed, hw.swiglu_clamped_packed_backward
    name = "swiglu_packed"
    for call, error, words in (
        (
            lambda: forward(x[:, :5], layout=layout, out=out),
            ValueError,
            f"{name}: x has shape (4, 5); .* 1 must be even",
        ),
        (lambda: forward(x[:3], layout=layout, axis=0), ValueError, "x has shape (3, 6); its length along axis 0"),
        (lambda: forward(x, layout=layout, axis=2), np.exceptions.AxisError, f"{name}: axis 2 is out of bounds"),
        (lambda: forward(1.0, layout=layout), np.exceptions.AxisError, f"{name}: axis -1 is out of bounds"),
        (lambda: forward(x, layout=layout, axis="a"), TypeError, "integer"),
        (lambda: forward(layout=layout), TypeError, f"{name}.. missing"),
        (lambda: forward(x + 0j, layout=layout, out=out), TypeError, f"{name}: x has dtype complex64; supported are"),
        (lambda: forward(np.array("a"), layout=layout), TypeError, f"{name}: x has dtype <U1"),
        (lambda: forward(x, layout=layout, out=[0.0]), TypeError, f"{name}: out must be an array, got list"),
        (lambda: forward(x, layout=layout, out=packed), ValueError, f"{name}: out has shape (4, 6); it must be (4, 3)"),
        (lambda: forward(x, layout=layout, out=out.astype(int)), TypeError, "Cannot cast"),
        (lambda: forward(x, layout=layout, out=locked), ValueError, "read-only"),
        (
            lambda: forward(x, layout=layout, dtype="f8"),
            TypeError,
            f"{name}.. got .* 'dtype'; allowed are layout, axis",
        ),
        (lambda: clamped(x, 1, alpha=2, layout=layout), TypeError, "multiple values for argument 'alpha'"),
        (lambda: clamped(x, limit=-1, layout=layout, out=out), ValueError, "limit must be >= 0"),
        (
            lambda: clamped(x, np.ones(4), layout=layout, out=out),
            ValueError,
            "half of x has shape (4, 3), alpha has shape (4,)",
        ),
        (
            lambda: backward(x, x, layout=layout, out=packed),
            ValueError,
            "half of x has shape (4, 3), g has shape (4, 6)",
        ),
        (lambda: backward(np.ones((2, 4, 3)), x, layout=layout), ValueError, "must broadcast to a half of x, (4, 3)"),
        (lambda: backward(g + 0j, x, layout=layout, out=packed), TypeError, "g has dtype complex64"),
        (lambda: backward(g, x, layout=layout, out=out), ValueError, "out has shape (4, 3); it must be (4, 6)"),
        (lambda: backward(g, x, layout=layout, out=packed.astype(int)), TypeError, "Cannot cast"),
        (lambda: clamped_backward(g, x, 1, np.ones((2, 1, 1)), layout=layout), ValueError, "must broadcast to a half"),
        (lambda: clamped_backward(g, x, limit=-1, layout=layout, out=packed), ValueError, "limit must be >= 0"),
    ):
        with pytest.raises(error, match=words.replace("(", r"\(").replace(")", r"\)")):
            call()
        assert (out == 7).all()
        assert (packed == 7).all()


def test_operands_that_do_not_broadcast_are_named() -> None:
    """With the shape of each, arrays or lists."""
    for call, words in (
        (lambda: hw.swiglu(np.ones(3), np.ones(4)), r"swiglu: .* gate has shape \(3,\), up has shape \(4,\)"),
        (lambda: hw.swiglu([1, 2], np.ones((2, 3))), r"gate has shape \(2,\), up has shape \(2, 3\)"),
        (lambda: hw.swiglu_backward(np.ones(2), np.ones(3), np.ones(3)), r"g has shape \(2,\), gate has shape \(3,\)"),
        (lambda: hw.swiglu_clamped(np.ones(3), np.ones(3), limit=np.ones(2)), r"limit has shape \(2,\)"),
        (lambda: hw.prelu(np.ones(3), np.ones(2)), r"prelu: .* x has shape \(3,\), weight has shape \(2,\)"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


# ---- Overlap ---------------------------------------------------------------------------------------------------------


def test_views_of_one_array_that_may_overlap() -> None:
    """Whether two views meet, or lie between one another, the result is that of copies."""
    rng = np.random.default_rng(8)
    views = itertools.count()
    for _ in range(3000):
        memory = rng.normal(size=200).astype(np.float32)
        shape = tuple(rng.integers(1, 5, rng.integers(1, 4)))
        strides = tuple(4 * rng.integers(-20, 21, len(shape)))
        span = sum(abs(s) // 4 * (n - 1) for n, s in zip(shape, strides, strict=True))
        down = sum(-s // 4 * (n - 1) for n, s in zip(shape, strides, strict=True) if s < 0)
        if span >= 190:
            continue
        first, second = (down + rng.integers(0, min(200 - span, 40)) for _ in range(2))
        x, out = (
            np.lib.stride_tricks.as_strided(memory[start:], shape, strides) for start in (int(first), int(second))
        )
        if (
            np.unique(
                np.lib.stride_tricks.as_strided(np.arange(200, dtype=np.float32)[int(second) :], shape, strides)
            ).size
            < out.size
        ):
            continue  # where an output has several places for one result, which one stays is up to NumPy
        expected = hw.softsign(x.copy())
        hw.softsign(x, out=out)
        assert equal_bits(out.copy(), expected), (shape, strides, first, second)
        next(views)
    assert next(views) > 300


def test_outputs_that_lie_between_one_another() -> None:
    """Along one axis too, where elements could depend on each other."""
    x = np.random.default_rng(9).normal(size=3000).astype(np.float32)
    expected = hw.swiglu_backward(x, x[::-1], x)
    for step, apart in ((2, 1), (3, 1), (3, 2), (5, 3)):
        memory = np.zeros((x.size, step), np.float32)
        for rows in (memory, memory[::-1]):
            out = rows[:, 0], rows[:, apart]
            hw.swiglu_backward(x, x[::-1], x, out=out)
            assert all(map(equal_bits, (a.copy() for a in out), expected))
