"""How many threads a call may use."""

from __future__ import annotations

import ctypes
import operator
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import _core


def get_num_threads() -> int:
    """Return how many threads a call may use at most, the calling one included.

    Returns
    -------
    int
        What was set last; at first ``HALFWAVE_NUM_THREADS`` of the environment, or the number of processors that
        this process may use by its affinity and its control group's quota.

    """
    return _core.get_num_threads()


def set_num_threads(n: int) -> None:
    """Set how many threads a call may use at most, in the whole process.

    Results do not depend on it. A call on fewer than 65,536 elements uses one thread, and so does one that begins
    while another thread's call is using several: whoever brings threads of their own is not given more of them.

    Parameters
    ----------
    n : int
        At least 1, the calling thread included.

    Raises
    ------
    TypeError
        If `n` is no integer.
    ValueError
        If `n` is less than 1, or more than a thread count may be (65,535).

    """
    most = 65_535
    try:
        number = operator.index(n)
    except TypeError:
        raise TypeError(f"set_num_threads: n must be an integer of at least 1, got {type(n).__name__}") from None
    if isinstance(n, bool) or not 1 <= number <= most:
        raise ValueError(f"set_num_threads: n must be an integer from 1 to {most}, got {n!r}")
    _core.set_num_threads(number)


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Limit the threads that calls inside of a ``with`` may use; see `set_num_threads`.

    Parameters
    ----------
    n : int
        At least 1.

    """
    before = get_num_threads()
    set_num_threads(n)
    try:
        yield
    finally:
        set_num_threads(before)


def register_with_threadpoolctl() -> None:
    """Let ``threadpoolctl.threadpool_limits`` limit these threads too.

    Done by itself where threadpoolctl is imported before halfwave. Further calls do nothing.

    Raises
    ------
    ImportError
        If threadpoolctl is not installed.

    """
    import threadpoolctl

    class Controller(threadpoolctl.LibController):  # type: ignore[misc]
        """The threads of halfwave."""

        user_api = "halfwave"
        internal_api = "halfwave"
        filename_prefixes = ("_core",)
        check_symbols = ("halfwave_get_num_threads", "halfwave_set_num_threads")

        def get_num_threads(self) -> int:
            """Return the limit."""
            return int(self.dynlib.halfwave_get_num_threads())

        def set_num_threads(self, num_threads: int) -> None:
            """Set the limit."""
            self.dynlib.halfwave_set_num_threads(ctypes.c_int(num_threads))

        def get_version(self) -> str:
            """Return the package's version."""
            return str(_core.__version__)

    known: Any = threadpoolctl.ThreadpoolController().info()
    if all(library["internal_api"] != Controller.internal_api for library in known):
        threadpoolctl.register(Controller)


if "threadpoolctl" in sys.modules:
    register_with_threadpoolctl()
