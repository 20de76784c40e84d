"""The caller's floating-point environment: its exception flags, rounding mode and flush-to-zero, through libm."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import struct
import sys
from collections.abc import Iterator

import pytest

_X86 = platform.machine() in ("x86_64", "AMD64")
_ARM = platform.machine() in ("aarch64", "arm64")

needs_libm = pytest.mark.skipif(
    not (sys.platform == "linux" and (_X86 or _ARM)), reason="the constants of fenv.h are known for Linux only"
)
needs_mxcsr = pytest.mark.skipif(not (sys.platform == "linux" and _X86), reason="flush-to-zero is set in MXCSR")

# Inexact is left out: NumPy and Python themselves raise it whenever they round a number.
FLAGS = (
    {"invalid": 1, "divide": 4, "overflow": 8, "underflow": 16} if _X86 else {"invalid": 1, "divide": 2, "overflow": 4}
)
ROUNDING = {"down": 0x400, "up": 0x800, "zero": 0xC00} if _X86 else {"up": 0x400000, "down": 0x800000, "zero": 0xC00000}
_NEAREST = 0
_FLUSH = 0x8040  # FTZ and DAZ
_ENVIRONMENT = "7II"  # the x87's seven words, then MXCSR


def _libm() -> ctypes.CDLL:
    return ctypes.CDLL("libm.so.6")


def raised() -> int:
    """The flags that are raised."""
    return int(_libm().fetestexcept(sum(FLAGS.values())))


@contextlib.contextmanager
def flags(value: int) -> Iterator[None]:
    """Start with just these flags raised, and clear them all in the end."""
    libm, every = _libm(), sum(FLAGS.values())
    libm.feclearexcept(every)
    libm.feraiseexcept(value)
    try:
        yield
    finally:
        libm.feclearexcept(every)


@contextlib.contextmanager
def rounding(mode: int) -> Iterator[None]:
    """Round in another direction; fails if that was undone inside."""
    libm = _libm()
    assert libm.fesetround(mode) == 0
    try:
        yield
        assert libm.fegetround() == mode
    finally:
        libm.fesetround(_NEAREST)


@contextlib.contextmanager
def flush_to_zero() -> Iterator[None]:
    """Flush subnormal numbers to zero, in and out; fails if that was undone inside."""
    before = _environment()
    _set_environment((*before[:-1], before[-1] | _FLUSH))
    try:
        yield
        assert _environment()[-1] & _FLUSH == _FLUSH
    finally:
        _set_environment(before)


def _environment() -> tuple[int, ...]:
    buffer = ctypes.create_string_buffer(struct.calcsize(_ENVIRONMENT))
    _libm().fegetenv(buffer)
    return struct.unpack(_ENVIRONMENT, buffer.raw)


def _set_environment(words: tuple[int, ...]) -> None:
    _libm().fesetenv(ctypes.create_string_buffer(struct.pack(_ENVIRONMENT, *words)))
