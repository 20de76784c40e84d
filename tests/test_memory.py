"""Large results use memory again that earlier ones gave back, and are arrays like all others."""

from __future__ import annotations

import subprocess
import sys

import halfwave as hw
import numpy as np
import pytest

LARGE = 9 << 20  # float32 elements: 36 MB

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere NumPy's own memory is used")


@on_linux
def test_memory_is_used_again() -> None:
    """What a result gave back is the next one's, if it is of the same size."""
    x = np.ones(LARGE, np.float32)
    first = hw.relu(x)
    address = first.ctypes.data
    second = hw.relu(x)
    assert second.ctypes.data != address
    del first
    assert hw.relu(x).ctypes.data == address
    assert (second == 1).all()
    assert hw.relu(x[: LARGE // 8]).ctypes.data != address


@on_linux
def test_what_waits_is_bounded() -> None:
    """However many results are freed, at most four of their blocks are kept."""
    code = """
import numpy as np, halfwave as hw
def mapped():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize")) // 1024
x = np.ones(9 << 20, np.float32)
hw.relu(x)
before = mapped()
results = [hw.relu(x) for _ in range(10)]
during = mapped()
del results
print(during - before > 300, mapped() - before < 160)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"


def test_a_large_result_is_an_array_like_others() -> None:
    """It owns its memory, survives as long as a view of it, and can be resized in place."""
    x = np.arange(LARGE, dtype=np.float32)
    y = hw.relu(x)
    assert y.flags.owndata
    assert y.flags.writeable
    assert y.flags.c_contiguous
    assert np.array_equal(y, x)
    view = y[5:]
    del y
    hw.relu(-x)
    assert np.array_equal(view, x[5:])
    for size in (LARGE // 3, LARGE * 2, 10, LARGE):
        z = hw.relu(x)
        z.resize(size, refcheck=False)
        common = min(size, LARGE)
        assert np.array_equal(z[:common], x[:common])
        assert not z[common:].any()


def test_several_outputs() -> None:
    """Each has memory of its own."""
    x = np.ones(LARGE, np.float32)
    gate, up = hw.swiglu_backward(x, x, x)
    assert not np.shares_memory(gate, up)
    assert equal_to(gate, hw.swiglu_backward_gate(x[:1], x[:1], x[:1])[0])
    assert equal_to(up, hw.swiglu_backward_up(x[:1], x[:1], x[:1])[0])


def equal_to(array: np.ndarray, value: np.generic) -> bool:
    """Whether all elements have this value."""
    return bool((array == value).all())
