"""Masks of one bit per element: which bits are set, what the backward pass makes of them, where they are written."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from typing import Any

import halfwave as hw
import numpy as np
import pytest
from halfwave import _core
from halfwave.verify.rounding import FORMATS, Format
from halfwave.verify.samples import everything

from tests import floating_point
from tests.cases import each_dtype, equal_bits, instruction_set
from tests.memory import Guarded, needs_mprotect, with_stride

INF, NAN = np.inf, np.nan

# Where the derivative is 1; what NumPy's packbits makes of it is the mask. NaN counts as inside.
INNER: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda x: ~(x <= 0),
    "leaky_relu": lambda x: ~(x <= 0),
    "relu6": lambda x: ~((x <= 0) | (x >= 6)),
}
PARAMETERS: dict[str, list[tuple[float, ...]]] = {
    "relu": [()],
    "leaky_relu": [(), (0.2,), (-1.5,), (0.0,), (-0.0,), (INF,), (-INF,), (NAN,), (1e-45,), (3e38,)],
    "relu6": [()],
}

each_name = pytest.mark.parametrize("name", INNER)
each_instruction_set = pytest.mark.parametrize("instructions", hw.instruction_sets())
FLOATS = [FORMATS[d] for d in ("float16", "float32", "float64")]


def expected_mask(name: str, x: Any) -> np.ndarray:
    """The reference."""
    with np.errstate(invalid="ignore"):
        inner = INNER[name](np.asarray(x))
    return np.packbits(inner, bitorder="little")  # in C order, whatever the layout


def sample(fmt: Format, size: int, seed: int = 0) -> np.ndarray:
    """Numbers on all pieces, and at the borders."""
    rng = np.random.default_rng(seed)
    special = [0.0, -0.0, 6.0, np.nextafter(np.float32(6), 0), INF, -INF, 3.0, -3.0, 1e-7, -1e-7, 65504.0]
    values = np.where(rng.random(size) < 0.3, rng.choice(special, size), rng.normal(2, 4, size))
    with np.errstate(over="ignore"):
        return values.astype(fmt.dtype)


def gradient(fmt: Format, size: int) -> np.ndarray:
    """Gradients of which some are zeros, infinities and NaN."""
    rng = np.random.default_rng(1)
    special = [0.0, -0.0, INF, -INF, NAN, 1.0]
    values = np.where(rng.random(size) < 0.3, rng.choice(special, size), rng.normal(size=size))
    return values.astype(fmt.dtype)


def functions(name: str) -> tuple[Any, Any, Any, Any]:
    """An activation, its backward pass, and both by a mask."""
    forward = hw.functions()[name]
    return forward, forward.backward, forward.with_mask, forward.backward_from_mask


@pytest.fixture(params=[True, False], ids=["direct", "through Python"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test with the calls on plain arrays that bypass the checks, and without."""
    if not request.param:
        for name in ("forward_with_mask_directly", "backward_from_mask_directly"):
            monkeypatch.setattr(_core, name, lambda *arguments: None)


# ---- The functions ---------------------------------------------------------------------------------------------------


def test_which_functions_have_masks() -> None:
    """The others say that they have none."""
    assert {n for n, f in hw.functions().items() if f.with_mask} == set(INNER)
    assert {n for n, f in hw.functions().items() if f.backward_from_mask} == set(INNER)


@each_name
def test_attributes(name: str) -> None:
    """As of all functions."""
    forward = hw.functions()[name]
    for role in ("with_mask", "backward_from_mask"):
        function = getattr(forward, role)
        assert getattr(hw, f"{name}_{role}") is function
        assert f"{name}_{role}" in hw.__all__
        assert function.__name__ == function.__qualname__ == f"{name}_{role}"
        assert function.__module__ == "halfwave"
        assert function.forward is forward
        assert function.parameters == forward.parameters
        assert set(function.error_bound) == {"float16", "bfloat16", "float32", "float64"}
        names = [*inspect.signature(function).parameters]
        assert names == [
            *(["x"] if role == "with_mask" else ["g", "mask"]),
            *(p.name for p in forward.parameters),
            "out",
        ]
        for section in ("Parameters\n-----", "Returns\n-----", "Raises\n-----", "Notes\n-----", "References\n-----"):
            assert section in function.__doc__
        assert "{" not in function.__doc__


# ---- Values ----------------------------------------------------------------------------------------------------------


@each_instruction_set
@each_dtype
@each_name
def test_every_length(name: str, fmt: Format, instructions: str) -> None:
    """The output is the forward pass's, the bits are packbits', and the gradient is the backward pass's."""
    forward, backward, with_mask, from_mask = functions(name)
    lengths = [*range(68), 127, 128, 129, 1000, 4096 + 5, 8192 + 64]
    with instruction_set(instructions):
        for n, parameters in itertools.product(lengths, PARAMETERS[name]):
            x, g = sample(fmt, n, n), gradient(fmt, n)
            y, mask = with_mask(x, *parameters)
            assert equal_bits(y, forward(x, *parameters))
            assert mask.dtype == np.uint8
            assert np.array_equal(mask, expected_mask(name, x)), (n, parameters)
            assert equal_bits(from_mask(g, mask, *parameters), backward(g, x, *parameters)), (n, parameters)


@each_instruction_set
@pytest.mark.parametrize("fmt", [FORMATS["float16"], FORMATS["bfloat16"]], ids=lambda f: f.name)
@each_name
def test_every_16_bit_number(name: str, fmt: Format, instructions: str) -> None:
    """NaN included, whose bit is set."""
    forward, backward, with_mask, from_mask = functions(name)
    x = everything(fmt)
    x = np.concatenate([x, np.full(3, NAN, fmt.dtype)])
    g = np.linspace(-3, 3, x.size).astype(fmt.dtype)
    with instruction_set(instructions):
        for parameters in PARAMETERS[name]:
            y, mask = with_mask(x, *parameters)
            assert equal_bits(y, forward(x, *parameters))
            assert np.array_equal(mask, expected_mask(name, x))
            number = ~np.isnan(x)
            dx = from_mask(g, mask, *parameters)
            assert equal_bits(dx[number], backward(g, x, *parameters)[number])
            assert equal_bits(dx[~number], g[~number])


@each_instruction_set
@each_dtype
@each_name
def test_the_gradient_passes_where_x_is_nan(name: str, fmt: Format, instructions: str) -> None:
    """At every position; and so does that of the smallest positive number."""
    tiny = np.array(np.finfo(np.float64).smallest_subnormal if fmt.name == "float64" else 0, fmt.dtype)
    _, _, with_mask, from_mask = functions(name)
    with instruction_set(instructions):
        for n in (1, 8, 9, 67):
            for at in range(n):
                x = np.full(n, -1, fmt.dtype)
                x[at] = NAN
                y, mask = with_mask(x)
                assert np.isnan(y[at])
                assert np.flatnonzero(np.unpackbits(mask, bitorder="little")).tolist() == [at]
                assert from_mask(np.full(n, 5, fmt.dtype), mask)[at] == 5
        assert with_mask(np.append(tiny, tiny))[1] == (3 if tiny else 0)


@pytest.mark.usefixtures("both_ways")
@each_dtype
@each_name
def test_flat_pieces_give_plus_zero(name: str, fmt: Format) -> None:
    """Whatever g is, an infinity and -0.0 included, but for NaN, which stays NaN."""
    parameters = (0.0,) if name == "leaky_relu" else ()
    _, _, _, from_mask = functions(name)
    g = np.array([1, -1, 0.0, -0.0, INF, -INF, NAN], fmt.dtype)
    dx = from_mask(g, np.zeros(1, np.uint8), *parameters)
    assert np.isnan(dx[-1])
    assert equal_bits(dx[:-1], np.zeros(6, fmt.dtype))


@each_dtype
def test_a_slope_may_be_infinite(fmt: Format) -> None:
    """As in the backward pass: 0 times it is 0."""
    g = np.array([1, -1, 0.0, NAN], fmt.dtype)
    found = hw.leaky_relu_backward_from_mask(g, np.zeros(1, np.uint8), INF)
    assert equal_bits(found, hw.leaky_relu_backward(g, np.full_like(g, -1), INF))
    assert found.tolist()[:3] == [INF, -INF, 0]


def test_a_negative_slope_is_allowed() -> None:
    """Where the derivative from the output would not know on which side x was."""
    x = np.array([-2.0, 3.0])
    with pytest.raises(ValueError, match="must be >= 0"):
        hw.leaky_relu_backward_from_output(x, x, -1)
    y, mask = hw.leaky_relu_with_mask(x, -1)
    assert y.tolist() == [2, 3]
    assert hw.leaky_relu_backward_from_mask(np.ones(2), mask, -1).tolist() == [-1, 1]


@each_name
def test_bits_beyond_the_last_element_do_not_matter(name: str) -> None:
    """They are 0 in what is written; others are not looked at."""
    x = np.full(11, 3, np.float32)
    _, _, with_mask, from_mask = functions(name)
    mask = with_mask(x)[1]
    assert mask.tolist() == [0xFF, 0b111]
    assert equal_bits(from_mask(x, mask | np.array([0, 0xF8], np.uint8)), x)


# ---- Layouts ---------------------------------------------------------------------------------------------------------


def layouts(a: np.ndarray) -> dict[str, np.ndarray]:
    """Views, and a copy in another order, of an array of shape (6, 35, 24)."""
    return {
        "C": a,
        "Fortran": np.asfortranarray(a),
        "transposed": a.transpose(2, 0, 1),
        "reversed": a[::-1, :, ::-1],
        "every second row": a[:, ::2],
        "every third column": a[..., 1::3],
        "broadcast": np.broadcast_to(a[:, :1], a.shape),
        "one": a[:1, :1, 3:4],
        "0-d": a[0, 1, 2, ...],
        "empty": a[:, :0],
        "column": a[:, 0, 0],
        "row of Fortran": np.asfortranarray(a)[2, 3],
    }


@pytest.mark.usefixtures("both_ways")
@each_instruction_set
@each_dtype
@each_name
def test_every_layout(name: str, fmt: Format, instructions: str) -> None:
    """Bits are in C order, results C-contiguous; `out` may lie in any way."""
    forward, backward, with_mask, from_mask = functions(name)
    size = 6 * 35 * 24
    x3, g3 = (a.reshape(6, 35, 24) for a in (sample(fmt, size), gradient(fmt, size)))
    with instruction_set(instructions):
        for layout, x in layouts(x3).items():
            g = layouts(g3)[layout]
            y, mask = with_mask(x)
            assert equal_bits(y, forward(x)), layout
            assert np.array_equal(mask, expected_mask(name, x)), layout
            dx = from_mask(g, mask)
            assert equal_bits(dx, backward(g, x)), layout
            assert np.asarray(y).flags.c_contiguous
            assert np.asarray(dx).flags.c_contiguous
            own = np.full(2 * x.size + 1, 7, fmt.dtype)[1::2].reshape(x.shape[::-1]).T
            mask_out = np.full(2 * mask.size, 7, np.uint8)[::2]
            found = with_mask(x, out=(own, mask_out))
            assert found[0] is own
            assert found[1] is mask_out
            assert equal_bits(own, y), layout
            assert np.array_equal(mask_out, mask), layout
            assert from_mask(g, mask_out, out=own) is own
            assert equal_bits(own, dx), layout


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("stride", [1, 3, -4, 5, 7, 12, -24, 0])
@pytest.mark.parametrize("fmt", FLOATS, ids=lambda f: f.name)
@each_name
def test_strides_of_bytes(name: str, fmt: Format, stride: int) -> None:
    """They need not be multiples of the item size, nor addresses aligned."""
    forward, backward, with_mask, from_mask = functions(name)
    if abs(stride) < fmt.dtype.itemsize:
        stride = 0
    n = 3001
    x = with_stride(sample(fmt, n), stride) if stride else np.broadcast_to(sample(fmt, 1), (n,))
    y, mask = with_mask(x)
    assert equal_bits(y, forward(x))
    assert np.array_equal(mask, expected_mask(name, x))
    g = x[::-1]
    assert equal_bits(from_mask(g, mask), backward(g, x))


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("fmt", FLOATS, ids=lambda f: f.name)
@each_name
def test_offsets_and_unaligned_memory(name: str, fmt: Format) -> None:
    """Of operands, results and masks."""
    _, _, with_mask, from_mask = functions(name)
    item = fmt.dtype.itemsize
    x = sample(fmt, 200)
    y, mask = with_mask(x)
    memory = np.zeros(2 * item * 200 + 400, np.uint8)
    for offset in range(1, 2 * item + 1):
        there = memory[offset : offset + 200 * item].view(fmt.dtype)
        there[...] = x
        out = memory[220 * item + offset :][: 200 * item].view(fmt.dtype)
        bits = np.empty(40, np.uint8)[offset % 15 :][:25]
        with_mask(there, out=(out, bits))
        assert equal_bits(out, y)
        assert np.array_equal(bits, mask)
        assert equal_bits(from_mask(there, bits, out=out), from_mask(x, mask))


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("fmt", FLOATS, ids=lambda f: f.name)
@each_name
def test_in_place(name: str, fmt: Format) -> None:
    """Also where x is strided; and where `out` overlaps with other elements, the operand is copied first."""
    _, _, with_mask, from_mask = functions(name)
    for n in (1, 7, 64, 1000, 20_011):
        x, g = sample(fmt, n), gradient(fmt, n)
        y, mask = with_mask(x)
        dx = from_mask(g, mask)
        for step in (1, 2, -1):
            own = np.repeat(x, 2)[::2] if step == 2 else x[::step].copy()[::step]
            found, bits = with_mask(own, out=own)
            assert found is own
            assert equal_bits(own, y)
            assert np.array_equal(bits, mask)
            own[...] = g
            assert from_mask(own, mask, out=own) is own
            assert equal_bits(own, dx)
        for shift in (1, 3, 8):
            both = np.concatenate([x, np.zeros(shift, fmt.dtype)])
            with_mask(both[:n], out=both[shift:])
            assert equal_bits(both[shift:], y)
            both = np.concatenate([np.zeros(shift, fmt.dtype), g])
            from_mask(both[shift:], mask, out=both[:n])
            assert equal_bits(both[:n], dx)


@pytest.mark.usefixtures("both_ways")
def test_given_results_are_returned() -> None:
    """Either of them may be left to be allocated."""
    x = np.array([[1, -1, 2]], np.float32)
    y, mask = np.empty_like(x), np.empty(1, np.uint8)
    for out in (y, (y, None), (None, mask), (y, mask), (None, None), None):
        found, bits = hw.relu_with_mask(x, out=out)
        assert equal_bits(found, hw.relu(x))
        assert bits == 0b101
        given = out if isinstance(out, tuple) else (out, None)
        assert given[0] is None or found is given[0]
        assert given[1] is None or bits is given[1]
    assert hw.relu_backward_from_mask(x, mask, out=(y,)) is y


@pytest.mark.usefixtures("both_ways")
def test_scalars() -> None:
    """Without dimensions the result is a scalar, as a ufunc's is, unless it was given."""
    for x in (2.5, np.float32(2.5), np.array(2.5, np.float16)):
        y, mask = hw.relu_with_mask(x)
        assert isinstance(y, np.generic)
        assert y == 2.5
        assert mask.tolist() == [1]
        assert isinstance(hw.relu_backward_from_mask(x, mask), np.generic)
    out = np.empty(())
    assert hw.relu_with_mask(2.5, out=out)[0] is out


@pytest.mark.usefixtures("both_ways")
@each_name
def test_lists_and_integers(name: str) -> None:
    """They become floats, as in the backward pass."""
    forward, backward, with_mask, from_mask = functions(name)
    for x in ([1, -2, 7], [[1.5], [-1]], [True, False], (1, 2)):
        y, mask = with_mask(x)
        assert y.dtype == backward(x, x).dtype
        assert np.allclose(y, forward(np.asarray(x, y.dtype)))
        assert equal_bits(from_mask(x, mask), backward(x, x))
    for dtype in (bool, np.int8, np.uint8, np.int16, np.int32, np.uint64):
        x = np.array([0, 1, 5, 7], dtype)
        y, mask = with_mask(x)
        assert y.dtype == np.exp(x).dtype
        assert np.array_equal(mask, expected_mask(name, x))
        assert from_mask(x, mask).dtype == np.exp(x).dtype


@pytest.mark.usefixtures("both_ways")
def test_other_byte_orders_and_subclasses() -> None:
    """What is an array but in its memory gives the same results, as plain arrays."""
    x = np.linspace(-3, 3, 50, dtype=np.float32)
    y, mask = hw.relu_with_mask(x)
    swapped = x.astype(x.dtype.newbyteorder())
    assert equal_bits(hw.relu_with_mask(swapped)[0], y)
    assert np.array_equal(hw.relu_with_mask(swapped)[1], mask)
    view = x.view(np.recarray)
    assert type(hw.relu_with_mask(view)[0]) is np.ndarray
    with pytest.raises(TypeError, match="out, for y, has dtype"):
        hw.relu_with_mask(x, out=np.empty_like(swapped))


# ---- Memory, threads, the floating-point environment -----------------------------------------------------------------


@pytest.mark.usefixtures("both_ways")
@needs_mprotect
@each_instruction_set
@each_dtype
@each_name
def test_nothing_beyond_the_ends(name: str, fmt: Format, instructions: str) -> None:
    """Neither of the data nor of the mask is anything read or written: the pages there are nobody's."""
    memory = [Guarded() for _ in range(3)]
    _, _, with_mask, from_mask = functions(name)
    with instruction_set(instructions):
        for n in (1, 7, 8, 9, 15, 63, 64, 65, 130, 1000):
            x, g = sample(fmt, n), gradient(fmt, n)
            y, mask = with_mask(x)
            dx = from_mask(g, mask)
            for place in ("at_end", "at_start"):
                there, out, bits = (
                    getattr(m, place)(a)
                    for m, a in zip(memory, (x, np.zeros_like(x), np.zeros_like(mask)), strict=True)
                )
                with_mask(there, out=(out, bits))
                assert equal_bits(out, y)
                assert np.array_equal(bits, mask)
                there[...] = g
                from_mask(there, bits, out=out)
                assert equal_bits(out, dx)


@each_dtype
@each_name
def test_a_mask_between_others_is_written_alone(name: str, fmt: Format) -> None:
    """Not one byte before it or after."""
    for n in (1, 8, 63, 64, 65, 1001):
        bits = np.full((n + 7) // 8 + 16, 0x5A, np.uint8)
        hw.functions()[name].with_mask(sample(fmt, n), out=(None, bits[8:-8]))
        assert (bits[:8] == 0x5A).all()
        assert (bits[-8:] == 0x5A).all()


@pytest.mark.parametrize("streaming", [1, 1 << 40], ids=["past the cache", "into the cache"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("fmt", FLOATS, ids=lambda f: f.name)
@each_name
def test_large_arrays(name: str, fmt: Format, threads: int, streaming: int) -> None:
    """Threads share no byte of the mask; results that outgrow the cache are written past it, whole lines or not."""
    forward, backward, with_mask, from_mask = functions(name)
    _core.set_streaming_size(streaming)
    try:
        with hw.num_threads(threads):
            for n in (65_535, 65_536 + 3, 200_001):
                x, g = sample(fmt, n), gradient(fmt, n)
                for offset in (0, 1, 5):
                    out = np.empty(n + 8, fmt.dtype)[offset:][:n]
                    y, mask = with_mask(x, out=out)
                    assert equal_bits(y, forward(x))
                    assert np.array_equal(mask, expected_mask(name, x))
                    assert equal_bits(from_mask(g, mask, out=out), backward(g, x))
                    assert equal_bits(from_mask(g[::-1], mask, out=out[::-1])[::-1], backward(g[::-1], x)[::-1])
    finally:
        _core.set_streaming_size(0)


def test_large_results_are_allocated_like_those_of_ufuncs() -> None:
    """With memory that earlier ones gave back, where the system has it cleared first."""
    x = np.ones(9 << 20, np.float32)
    first = hw.relu(x)
    address = first.ctypes.data
    del first
    reused = hw.relu_with_mask(x)[0].ctypes.data == address
    again = hw.relu(x).ctypes.data == address
    assert reused == again


@pytest.mark.usefixtures("both_ways")
@floating_point.needs_libm
@each_instruction_set
@each_dtype
@each_name
def test_the_floating_point_environment_is_left_alone(name: str, fmt: Format, instructions: str) -> None:
    """Flags are neither raised nor cleared, and rounding modes neither matter nor change."""
    _, _, with_mask, from_mask = functions(name)
    x = np.concatenate([sample(fmt, 300), np.array([NAN, INF], fmt.dtype)])
    g = np.concatenate([gradient(fmt, 300), np.array([fmt.largest, NAN], fmt.dtype)])
    parameters = (np.float32(0.3),) if name == "leaky_relu" else ()
    with instruction_set(instructions):
        y, mask = with_mask(x, *parameters)
        dx = from_mask(g, mask, *parameters)
        out, bits = np.empty_like(x), np.empty_like(mask)
        for flags in (0, sum(floating_point.FLAGS.values())):
            with floating_point.flags(flags):
                with_mask(x, *parameters, out=(out, bits))
                from_mask(g, mask, *parameters, out=out)
                assert floating_point.raised() == flags
        for mode in floating_point.ROUNDING.values():
            with floating_point.rounding(mode):
                with_mask(x, *parameters, out=(out, bits))
                given = from_mask(g, mask, *parameters)
            assert equal_bits(out, y)
            assert np.array_equal(bits, mask)
            assert equal_bits(given, dx)


# ---- Errors ----------------------------------------------------------------------------------------------------------


def refuses(call: Callable[[], Any], error: type[Exception], message: str, *untouched: np.ndarray) -> None:
    """An error that names the function and what is wrong, before anything was written."""
    before = [a.copy() for a in untouched]
    with pytest.raises(error, match=message):
        call()
    assert all(equal_bits(a, b) for a, b in zip(untouched, before, strict=True))


@pytest.mark.usefixtures("both_ways")
@each_name
def test_masks_that_do_not_fit(name: str) -> None:
    """Too short, too long, of another dtype or shape."""
    from_mask = hw.functions()[name].backward_from_mask
    g, out = np.ones((3, 7)), np.full((3, 7), 9.0)
    start = f"{name}_backward_from_mask: mask has "
    for size in (0, 2, 4):
        mask = np.zeros(size, np.uint8)
        message = rf"{start}shape \({size},\); for g of shape \(3, 7\) it must be \(3,\)"
        refuses(lambda m=mask: from_mask(g, m, out=out), ValueError, message, out)
    for shape in ((1, 3), (3, 1), ()):
        refuses(lambda s=shape: from_mask(g, np.zeros(s, np.uint8), out=out), ValueError, start + "shape", out)
    for mask in (g > 0, np.zeros(3, np.int8), np.zeros(3), [1, 2, 3], None, "abc"):
        refuses(lambda m=mask: from_mask(g, m, out=out), TypeError, start + "dtype .* must be the uint8 array", out)


@pytest.mark.usefixtures("both_ways")
@each_name
def test_outputs_that_do_not_fit(name: str) -> None:
    """Of another shape or dtype, read-only, or no arrays."""
    _, _, with_mask, from_mask = functions(name)
    x, y, mask = np.full((3, 7), 1.0), np.full((3, 7), 9.0), np.full(3, 9, np.uint8)
    locked, locked_mask = y.copy(), mask.copy()
    locked.flags.writeable = locked_mask.flags.writeable = False
    cases: list[tuple[Any, Any, type[Exception], str]] = [
        (y.astype(np.float32), mask, TypeError, "out, for y, has dtype float32; it must be float64"),
        (y[:2], mask, ValueError, r"out, for y, has shape \(2, 7\); it must be \(3, 7\)"),
        (y[None], mask, ValueError, "out, for y, has shape"),
        (locked, mask, ValueError, "out, for y, is read-only"),
        ([[0.0] * 7] * 3, mask, TypeError, "out, for y, must be a numpy.ndarray, got list"),
        (np.ma.MaskedArray(y), mask, TypeError, "out, for y, must be a numpy.ndarray, got MaskedArray"),
        (y, mask.astype(bool), TypeError, "out, for mask, has dtype bool; it must be uint8"),
        (y, mask[:2], ValueError, r"out, for mask, has shape \(2,\); it must be \(3,\)"),
        (y, mask[None], ValueError, "out, for mask, has shape"),
        (y, locked_mask, ValueError, "out, for mask, is read-only"),
        (y, y.reshape(-1).view(np.uint8)[5:8], ValueError, "the mask of out shares memory with the y of out"),
        (x, x.reshape(-1).view(np.uint8)[:3], ValueError, "the mask of out shares memory with x"),
        (None, x.reshape(-1).view(np.uint8)[:3], ValueError, "the mask of out shares memory with x"),
    ]
    for given, bits, error, message in cases:
        refuses(lambda o=(given, bits): with_mask(x, out=o), error, f"{name}_with_mask: {message}", x, y, mask)
    for given, _, error, message in cases[:6]:
        message = f"{name}_backward_from_mask: " + message.replace("for y", "for dx")
        refuses(lambda o=given: from_mask(x, mask, out=o), error, message, x, y, mask)
    for out in ((y,), (y, mask, None), ()):
        refuses(lambda o=out: with_mask(x, out=o), ValueError, rf"out has {len(out)} elements; .*\(y, mask\)", y, mask)
    refuses(lambda: from_mask(x, mask, out=(y, mask)), ValueError, "out has 2 elements", y, mask)


@pytest.mark.usefixtures("both_ways")
@each_name
def test_a_mask_in_the_memory_of_data(name: str) -> None:
    """It would be read while it is overwritten."""
    from_mask = hw.functions()[name].backward_from_mask
    g, out = np.ones(24), np.ones(24)
    refuses(lambda: from_mask(g, g.view(np.uint8)[:3]), ValueError, "mask shares memory with g", g)
    refuses(lambda: from_mask(g, out.view(np.uint8)[8:11], out=out), ValueError, "mask shares memory with out", out)


@each_name
def test_unsupported_operands(name: str) -> None:
    """The message says which dtypes there are."""
    _, _, with_mask, from_mask = functions(name)
    for x in (np.ones(3, complex), np.ones(3, np.longdouble), np.array([1, None]), ["a"], np.ones(3, "M8[s]"), {}):
        supported = "has dtype .*; supported are float16, bfloat16"
        refuses(lambda v=x: with_mask(v), TypeError, f"{name}_with_mask: x {supported}")
        refuses(lambda v=x: from_mask(v, np.zeros(1, np.uint8)), TypeError, f"{name}_backward_from_mask: g {supported}")
    masked = np.ma.masked_less(np.ones(3), 2)
    refuses(lambda: with_mask(masked), TypeError, "x is a masked array")
    refuses(lambda: from_mask(masked, np.zeros(1, np.uint8)), TypeError, "g is a masked array")


@pytest.mark.usefixtures("both_ways")
@each_name
def test_arguments_that_there_are_not(name: str) -> None:
    """Keywords, positions, and those that are missing."""
    _, _, with_mask, from_mask = functions(name)
    x, mask = np.ones(3), np.zeros(1, np.uint8)
    allowed = "allowed: negative_slope, out" if name == "leaky_relu" else "allowed: out"
    many = [0.1] * len(PARAMETERS[name][-1])
    for call, role in (
        (lambda *a, **k: with_mask(x, *a, **k), "with_mask"),
        (lambda *a, **k: from_mask(x, mask, *a, **k), "backward_from_mask"),
    ):
        unknown = rf"{name}_{role}\(\) got an unexpected keyword argument '{{}}'; {allowed}"
        refuses(lambda c=call: c(alpha=1), TypeError, unknown.format("alpha"))
        refuses(lambda c=call: c(where=True), TypeError, unknown.format("where"))
        refuses(
            lambda c=call: c(*many, x), TypeError, rf"{name}_{role}\(\) got 1 positional argument\(s\) too many; .*out="
        )
    refuses(lambda: with_mask(), TypeError, rf"{name}_with_mask\(\) missing 1 required positional argument: 'x'")
    refuses(lambda: from_mask(x), TypeError, rf"{name}_backward_from_mask\(\) missing 1 required .*: 'mask'")


@pytest.mark.usefixtures("both_ways")
def test_slopes() -> None:
    """Real scalars of any kind; an array would be a slope per element, which is prelu's."""
    x, mask = np.array([-2.0, 1.0], np.float32), np.array([2], np.uint8)
    for slope in (0.5, np.float16(0.5), np.float64(0.5), np.array(0.5)):
        assert hw.leaky_relu_with_mask(x, slope)[0].tolist() == [-1, 1]
        assert hw.leaky_relu_with_mask(x, negative_slope=slope)[0].dtype == np.float32
        assert hw.leaky_relu_backward_from_mask(x, mask, slope).tolist() == [-1, 1]
    assert hw.leaky_relu_with_mask(x, 2)[0].tolist() == [-4, 1]
    for slope in (1j, "0.1", None, np.datetime64("now"), {}):
        refuses(
            lambda s=slope: hw.leaky_relu_with_mask(x, s),
            TypeError,
            "leaky_relu_with_mask: negative_slope must be a real number",
        )
    refuses(
        lambda: hw.leaky_relu_with_mask(x, x),
        TypeError,
        r"negative_slope must be a scalar, got an array of shape \(2,\)",
    )
    refuses(
        lambda: hw.leaky_relu_with_mask(x, 0.1, negative_slope=0.1),
        TypeError,
        "multiple values for argument 'negative_slope'",
    )
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert hw.leaky_relu_with_mask(x, 1e300)[0][0] == -INF
