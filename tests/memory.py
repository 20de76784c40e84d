"""Arrays in awkward places: guarded by unreadable pages, unaligned, or strided by anything."""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import numpy as np
import pytest

needs_mprotect = pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="needs mmap and mprotect")

_NONE = 0  # PROT_NONE
_mappings: list[mmap.mmap] = []  # a mapping that is freed while protected would take its neighbours' pages with it


class Guarded:
    """Memory between two pages that nobody may touch: an access outside of it is a crash."""

    def __init__(self, pages: int = 4) -> None:
        page = mmap.PAGESIZE
        self._map = mmap.mmap(-1, (pages + 2) * page)
        _mappings.append(self._map)
        self.bytes = np.frombuffer(self._map, np.uint8)[page : (pages + 1) * page]
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        for guard in (start, start + (pages + 1) * page):
            if ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(guard), page, _NONE) != 0:
                raise OSError(ctypes.get_errno(), "mprotect")

    def at_end(self, values: np.ndarray) -> np.ndarray:
        """A copy of the values that ends where the memory does."""
        return self._place(values, self.bytes.size - values.nbytes)

    def at_start(self, values: np.ndarray) -> np.ndarray:
        """A copy of the values that starts where the memory does."""
        return self._place(values, 0)

    def _place(self, values: np.ndarray, offset: int) -> np.ndarray:
        placed = self.bytes[offset : offset + values.nbytes].view(values.dtype).reshape(values.shape)
        placed[...] = values
        return placed


def with_stride(values: np.ndarray, stride: int) -> np.ndarray:
    """A copy of a 1-D array whose elements are `stride` bytes apart, and at odd addresses if that is odd."""
    item, n = values.dtype.itemsize, values.size
    memory = np.zeros(abs(stride) * max(n - 1, 0) + item + 1, np.uint8)
    first = (abs(stride) & 1) + (abs(stride) * (n - 1) if stride < 0 and n else 0)
    view: Any = np.ndarray((n,), values.dtype, memory.data, first, (stride,))
    view[...] = values
    return view
