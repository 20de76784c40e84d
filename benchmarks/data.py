"""The arrays of a cell, the same for every library."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cells import Cell
from .formulas import GATED, Unsupported, expressions, operands

Array = NDArray[Any]

NUMPY_NAMES: dict[str, Any] = {
    **{n: getattr(np, n) for n in ("where", "exp", "expm1", "log1p", "tanh", "sqrt", "abs", "maximum", "minimum")},
    "indicator": lambda condition: condition,
}


@dataclass(frozen=True)
class Data:
    """Operands by name, and arrays for the results."""

    operands: dict[str, Array]
    outputs: tuple[Array, ...]

    @property
    def names(self) -> dict[str, Array]:
        """The arrays under the names that calls use."""
        return self.operands | {f"out{i}": out for i, out in enumerate(self.outputs)} | {"out": self.outputs[0]}


def dtype_of(name: str) -> np.dtype[Any]:
    """Return the dtype, bfloat16 from ml_dtypes."""
    if name != "bfloat16":
        return np.dtype(name)
    try:
        from ml_dtypes import bfloat16
    except ImportError as error:
        raise Unsupported(str(error)) from error
    dtype: np.dtype[Any] = np.dtype(bfloat16)
    return dtype


def _values(rng: np.random.Generator, kind: str, size: int, dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "i":
        return rng.integers(-100, 100, size, dtype=dtype)
    wide: Any = np.float64 if dtype == np.float64 else np.float32
    if kind == "uniform10":
        return (20 * rng.random(size, dtype=wide) - 10).astype(dtype, copy=False)
    values = rng.standard_normal(size, dtype=wide)
    if kind == "normal3":
        values *= 3
    return values.astype(dtype, copy=False)


HUGE_PAGE = 2 << 20
OFFSET = 16  # of the data in NumPy's own large arrays, from the beginning of a page


def _placed(values: Array) -> Array:
    """Copy an array into huge pages, where there are any, at the alignment that NumPy gives.

    Which physical pages of 4 KiB a process gets decides how they share the sets of a cache, and so by a fifth how fast
    it is. Every library has a process of its own; in huge pages they are alike.
    """
    if values.nbytes < HUGE_PAGE // 64:
        return values
    memory = mmap.mmap(-1, values.nbytes + 2 * HUGE_PAGE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    raw = np.frombuffer(memory, np.uint8)
    first = -raw.ctypes.data % HUGE_PAGE + OFFSET
    placed: Array = raw[first : first + values.nbytes].view(values.dtype).reshape(values.shape)
    placed[...] = values
    return placed


@lru_cache(maxsize=1)
def _sources(kind: str, size: int, dtype_name: str) -> tuple[Array, Array, Array, Array]:
    """Return x, g and two outputs; cached, since cells that follow each other share them."""
    dtype, rng = dtype_of(dtype_name), np.random.default_rng(0)
    x, g = _placed(_values(rng, kind, size, dtype)), _placed(_values(rng, "normal", size, dtype))
    return x, g, _placed(np.zeros_like(x)), _placed(np.zeros_like(x))


def data_of(cell: Cell) -> Data:
    """Return the arrays of a cell."""
    x, g, first, second = _sources(cell.inputs, cell.size, cell.dtype)
    named = {"x": x, "g": g, "gate": x, "up": g}
    wanted = operands(cell.function, cell.direction)
    if "y" in wanted:
        (expression,) = expressions(cell.function, "forward")
        with np.errstate(all="ignore"):
            named["y"] = np.asarray(eval(expression, NUMPY_NAMES | {"x": x})).astype(x.dtype, copy=False)
        named["y"] = _placed(named["y"])
    two = cell.function in GATED and cell.direction == "backward"
    return Data({name: named[name] for name in wanted}, (first, second) if two else (first,))
