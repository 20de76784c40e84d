"""f(x)[i] depends on x[i] and the parameters, and on nothing else: not on length, place, layout or processor."""

from __future__ import annotations

import itertools
from typing import Any

import halfwave as hw
import numpy as np
import pytest
from halfwave.verify.rounding import FORMATS, Format

from tests import digests
from tests.cases import (
    CASES,
    Case,
    defaults,
    direct_calls,
    each_case,
    each_dtype,
    equal_bits,
    instruction_set,
    parameter_sets,
)
from tests.memory import Guarded, needs_mprotect, with_stride

FLOAT16, FLOAT32, FLOAT64 = FORMATS["float16"], FORMATS["float32"], FORMATS["float64"]


def operands(case: Case, fmt: Format, shape: Any = 2100, seed: int = 8) -> list[np.ndarray]:
    """All data operands: everyday numbers, with specials and large ones among them."""
    rng = np.random.default_rng(seed)
    arrays = []
    for _ in case.data:
        values = rng.normal(size=shape) * np.exp2(rng.integers(-3, 4, shape))
        values = np.where(
            rng.uniform(size=shape) < 0.02, rng.choice([0.0, -0.0, np.inf, -np.inf, 1e4, -1e4], shape), values
        )
        arrays.append(values.astype(fmt.dtype))
    return arrays


def call(case: Case, arrays: list[np.ndarray], **keywords: Any) -> np.ndarray:
    """The ufunc at its default parameters."""
    return case.ufunc(*arrays, *defaults(case.ufunc, case.name), **keywords)


# ---- Lengths, places and strides -------------------------------------------------------------------------------------


@each_dtype
@each_case
def test_instruction_sets_agree(case: Case, fmt: Format) -> None:
    """All of them give the same bits, with every set of parameters, called directly or through NumPy."""
    arrays = operands(case, fmt)
    for parameters in parameter_sets(case):
        expected = case.ufunc(*arrays, *parameters)
        for name, direct in itertools.product(hw.instruction_sets(), (True, False)):
            with instruction_set(name), direct_calls(direct):
                assert equal_bits(case.ufunc(*arrays, *parameters), expected), name


@each_dtype
@each_case
def test_lengths_and_offsets(case: Case, fmt: Format) -> None:
    """Each length from 0 to 67, at offsets that run through all that a vector can have."""
    arrays = operands(case, fmt)
    expected = call(case, arrays)
    for name, direct in itertools.product(hw.instruction_sets(), (True, False)):
        with instruction_set(name), direct_calls(direct):
            for n in range(68):
                part = slice(n % 17, n % 17 + n)
                assert equal_bits(call(case, [a[part] for a in arrays]), expected[part])


@each_dtype
@each_case
def test_lengths_around_a_chunk(case: Case, fmt: Format) -> None:
    """Where staging through a buffer begins anew, contiguous or not, for scalar and for array parameters."""
    arrays = operands(case, fmt)
    expected = call(case, arrays)
    base = defaults(case.ufunc, case.name)
    for n in (255, 256, 257, 511, 513, 1023, 1024, 1025, 2047):
        part = [a[:n] for a in arrays]
        assert equal_bits(call(case, part), expected[:n])
        assert equal_bits(call(case, [with_stride(a, 2 * a.itemsize) for a in part]), expected[:n])
        full = [np.full(n, p, fmt.computed) for p in base]
        assert equal_bits(case.ufunc(*part, *full), expected[:n])


@each_dtype
@each_case
def test_strides(case: Case, fmt: Format) -> None:
    """Negative, odd and unaligned ones, for each operand by itself and for all, and for the output."""
    arrays = operands(case, fmt, 300)
    expected = call(case, arrays)
    item = fmt.dtype.itemsize
    strides = (item, 2 * item, 3 * item, item + 1, -item, -2 * item, -(item + 3), 64)
    for name, stride in itertools.product(hw.instruction_sets(), strides):
        placed = [with_stride(a, stride) for a in arrays]
        out = with_stride(np.zeros_like(expected), stride)
        with instruction_set(name):
            assert call(case, placed, out=out) is out
            assert equal_bits(out, expected)
            for k in range(len(arrays)):
                mixed = [placed[i] if i == k else a for i, a in enumerate(arrays)]
                assert equal_bits(call(case, mixed), expected)
    everywhere = [np.broadcast_to(a[:1], 300) for a in arrays]
    assert equal_bits(call(case, everywhere), np.repeat(expected[:1], 300))


@each_dtype
@each_case
def test_unaligned_memory(case: Case, fmt: Format) -> None:
    """Elements at odd addresses, packed and in records."""
    arrays = operands(case, fmt, 100)
    expected = call(case, arrays)
    record = np.dtype({"names": ["a"], "formats": [fmt.dtype], "offsets": [1], "itemsize": fmt.dtype.itemsize + 2})
    for make in (
        lambda a: np.frombuffer(b"\0" + a.tobytes(), a.dtype, offset=1),
        lambda a: np.zeros(a.size, record)["a"],
    ):
        placed = [make(a) for a in arrays]
        for p, a in zip(placed, arrays, strict=True):
            if p.flags.writeable:
                p[...] = a
        assert not any(p.flags.aligned for p in placed)
        assert equal_bits(call(case, placed), expected)
        out = np.zeros(100, record)
        call(case, placed, out=out["a"])
        assert equal_bits(out["a"], expected)
        assert not out.view(np.uint8).reshape(100, -1)[:, [0, -1]].any(), "wrote between the elements"


@each_dtype
@each_case
def test_foreign_byte_order(case: Case, fmt: Format) -> None:
    """NumPy converts it, and the result is native."""
    arrays = operands(case, fmt, 50)
    swapped = [a.astype(a.dtype.newbyteorder()) for a in arrays]
    assert equal_bits(call(case, swapped), call(case, arrays))


@needs_mprotect
@each_dtype
@each_case
def test_no_access_beyond_the_ends(case: Case, fmt: Format) -> None:
    """Operands and output end, or start, at a page that cannot be touched."""
    arrays = operands(case, fmt)
    expected = call(case, arrays)
    guards = [Guarded() for _ in range(len(arrays) + 1)]
    base = defaults(case.ufunc, case.name)
    parameter_guards = [Guarded() for _ in base]
    for name, direct in itertools.product(hw.instruction_sets(), (True, False)):
        with instruction_set(name), direct_calls(direct):
            for n, place in itertools.product((*range(1, 68), 255, 257, 1025), ("at_end", "at_start")):
                placed = [getattr(g, place)(a[:n]) for g, a in zip(guards, arrays, strict=False)]
                out = getattr(guards[-1], place)(np.zeros(n, fmt.dtype))
                call(case, placed, out=out)
                assert equal_bits(out, expected[:n])
                if base and n % 8 == 3:
                    full = [
                        getattr(g, place)(np.full(n, p, fmt.computed))
                        for g, p in zip(parameter_guards, base, strict=True)
                    ]
                    case.ufunc(*placed, *full, out=out)
                    assert equal_bits(out, expected[:n])
                    case.ufunc(*(a[::-1] for a in placed), *(a[::-1] for a in full), out=out[::-1])
                    assert equal_bits(out, expected[:n])


# ---- Shapes ----------------------------------------------------------------------------------------------------------


@each_dtype
@each_case
def test_orders_and_axes(case: Case, fmt: Format) -> None:
    """C and Fortran order, transposed and sliced views, mixed among the operands."""
    arrays = operands(case, fmt, (5, 7, 11))
    expected = call(case, arrays)
    views = [
        np.asfortranarray,
        lambda a: np.ascontiguousarray(a.transpose(2, 0, 1)).transpose(1, 2, 0),
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
        lambda a: np.ascontiguousarray(a[::-1, :, ::-1])[::-1, :, ::-1],
    ]
    for view in views:
        assert equal_bits(call(case, [view(a) for a in arrays]), expected)
        for k in range(len(arrays)):
            assert equal_bits(call(case, [view(a) if i == k else a for i, a in enumerate(arrays)]), expected)
        out = view(np.zeros_like(expected))
        call(case, arrays, out=out)
        assert equal_bits(out, expected)
    assert equal_bits(call(case, [a.T for a in arrays]), expected.T)


@each_dtype
@each_case
def test_broadcasting(case: Case, fmt: Format) -> None:
    """Rows, columns and scalars give what full arrays give."""
    arrays = operands(case, fmt, (9, 13))
    parts = [lambda a: a[:1], lambda a: a[:, :1], lambda a: a[0], lambda a: a[0, 0], lambda a: a[:1, :1], lambda a: a]
    for k, part in itertools.product(range(len(arrays)), parts):
        some = [part(a) if i == k else a for i, a in enumerate(arrays)]
        full = [np.ascontiguousarray(np.broadcast_to(a, (9, 13))) for a in some]
        shape = np.broadcast_shapes(*(np.shape(a) for a in some))
        result = call(case, some)
        assert np.shape(result) == shape
        assert equal_bits(np.broadcast_to(result, (9, 13)), call(case, full))


@each_dtype
@pytest.mark.parametrize("case", [c for c in CASES if c.ufunc.parameters], ids=str)
def test_parameters_broadcast(case: Case, fmt: Format) -> None:
    """Scalar, row, column, channel and full parameters give what full ones give."""
    arrays = operands(case, fmt, (3, 4, 5))
    shapes = [(), (5,), (4, 1), (3, 1, 1), (1, 1, 1), (3, 4, 5), (3, 1, 5)]
    for k, shape in enumerate(shapes):
        given = parameter_sets(case)[k % len(parameter_sets(case))]
        others = [shapes[(k + 2 * i) % len(shapes)] for i in range(len(given))]
        rng = np.random.default_rng(k)
        parameters = [
            (p * rng.uniform(0.75, 1.25, s)).astype(fmt.computed)
            for p, s in zip(given, [shape, *others[1:]], strict=True)
        ]
        full = [np.broadcast_to(p, (3, 4, 5)).copy() for p in parameters]
        expected = case.ufunc(*arrays, *full)
        assert equal_bits(case.ufunc(*arrays, *parameters), expected)
        assert equal_bits(case.ufunc(*arrays, *map(np.asfortranarray, full)), expected)
        for i in np.ndindex(3, 4, 5):
            alone = case.ufunc(*(a[i] for a in arrays), *(f[i] for f in full))
            assert equal_bits(alone, expected[i])


@each_dtype
@each_case
def test_scalars_and_zero_dimensions(case: Case, fmt: Format) -> None:
    """A scalar, a 0-d array and an array of one give the same; the first two give a scalar."""
    arrays = operands(case, fmt, 20)
    expected = call(case, arrays)
    for i in range(20):
        for make in (lambda v: v, np.array):
            result = call(case, [make(a[i]) for a in arrays])
            assert isinstance(result, np.generic)
            assert equal_bits(result, expected[i])
        out = np.zeros((), fmt.dtype)
        assert call(case, [np.array(a[i]) for a in arrays], out=out) is out
        assert equal_bits(out, expected[i])
    for shape in ((0,), (0, 3), (3, 0, 2)):
        assert equal_bits(call(case, [np.zeros(shape, fmt.dtype)] * len(arrays)), np.zeros(shape, fmt.dtype))


# ---- Outputs ---------------------------------------------------------------------------------------------------------


@each_dtype
@each_case
def test_in_place(case: Case, fmt: Format) -> None:
    """Any operand may be the output, whole or in part, contiguous or not."""
    arrays = operands(case, fmt, 1100)
    expected = call(case, arrays)
    for k, direct in itertools.product(range(len(arrays)), (True, False)):
        with direct_calls(direct):
            for make in (np.copy, lambda a: with_stride(a, 2 * a.itemsize), lambda a: with_stride(a, -a.itemsize)):
                placed = [make(a) for a in arrays]
                assert call(case, placed, out=placed[k]) is placed[k]
                assert equal_bits(placed[k], expected)
            same = [arrays[0].copy()] * len(arrays)
            wanted = call(case, [arrays[0]] * len(arrays))
            call(case, same, out=same[0])
            assert equal_bits(same[0], wanted)


@each_dtype
@each_case
def test_overlapping_output(case: Case, fmt: Format) -> None:
    """An output that shares memory with an operand, shifted, reversed or strided, gives what a fresh one gives."""
    n = 600
    views = [slice(0, n), slice(1, n + 1), slice(3, n + 3), slice(n, 0, -1), slice(0, 2 * n, 2)]
    for k, (source, target) in itertools.product(range(len(case.data)), itertools.permutations(views, 2)):
        arrays = operands(case, fmt, 2 * n)
        memory = arrays[k]
        parts = [a[source] if i == k else a[:n] for i, a in enumerate(arrays)]
        expected = call(case, [p.copy() for p in parts])
        call(case, parts, out=memory[target])
        assert equal_bits(memory[target], expected), (source, target)


@each_dtype
@each_case
def test_where(case: Case, fmt: Format) -> None:
    """Elements that are masked out stay as they were."""
    arrays = operands(case, fmt, (40, 30))
    expected = call(case, arrays)
    for mask in (
        np.random.default_rng(9).uniform(size=(40, 30)) < 0.5,
        np.arange(30) % 3 == 0,
        np.zeros((40, 1), bool),
    ):
        out = np.full((40, 30), 7, fmt.dtype)
        call(case, arrays, out=out, where=mask)
        assert equal_bits(out, np.where(mask, expected, fmt.dtype.type(7)))


@each_case
def test_casting(case: Case) -> None:
    """Operands of other dtypes are converted, in pieces, to the one that is asked for."""
    arrays = operands(case, FLOAT64, 20_000)
    for fmt in FLOAT32, FLOAT64:
        expected = call(case, [a.astype(fmt.dtype) for a in arrays])
        result = call(case, arrays, dtype=fmt.dtype, casting="same_kind")
        assert equal_bits(result, expected)
        out = np.zeros(20_000, np.float64)
        with np.errstate(over="ignore"):
            call(case, [a.astype(fmt.dtype) for a in arrays], out=out)
        np.testing.assert_array_equal(out, expected.astype(np.float64))


# ---- Committed bits --------------------------------------------------------------------------------------------------


@each_dtype
@each_case
def test_digest(case: Case, fmt: Format) -> None:
    """The bits are those of every other processor and version, until somebody changes them on purpose."""
    known = digests.load().get(case.name, {}).get(case.role, {}).get(fmt.name)
    how = "run `python -m tests.digests --update`, and commit what has changed on purpose"
    assert known is not None, f"{case} has no digest for {fmt.name}: {how}"
    assert digests.digest(case, fmt) == known, (
        f"{case} has other bits in {fmt.name} than tests/digests.json says: {how}"
    )
