"""One process for each library, since threads and instruction sets can often be fixed only before it starts."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import timeit
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from .cells import NATIVE, Cell
from .formulas import Unsupported

PEERS = {
    "halfwave": ("peers", "Halfwave"),
    "numpy": ("peers", "NumPy"),
    "torch": ("peers", "Torch"),
    "jax": ("peers", "Jax"),
    "onnxruntime": ("onnx_peer", "OnnxRuntime"),
    "numba": ("peers", "Numba"),
    "numexpr": ("peers", "NumExpr"),
    "scipy": ("peers", "SciPy"),
}
SAMPLE = 4096  # elements of each result that are compared
PARTS = 5  # of a turn: an interruption spoils one of them only


@dataclass(frozen=True)
class Prepared:
    """A call that is ready to be timed: its source, and the beginning of its results."""

    code: str
    sample: list[np.ndarray[Any, Any]]


def numpy_features_beyond_avx2() -> str:
    """Return the names that NPY_DISABLE_CPU_FEATURES takes on this machine."""
    core: Any = importlib.import_module("numpy._core._multiarray_umath")
    enabled = core.__cpu_features__
    beyond = [n for n in core.__cpu_dispatch__ if n.startswith(("AVX512", "X86_V4")) and enabled.get(n)]
    return " ".join(beyond)


def environment(threads: int, isa: str) -> dict[str, str]:
    """Return the variables that fix threads and instruction set, for every library at once."""
    libraries = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMEXPR_MAX", "NUMBA", "HALFWAVE")
    variables = {f"{library}_NUM_THREADS": str(threads) for library in libraries}
    variables["NUMEXPR_MAX_THREADS"] = str(threads)
    if isa == "avx2":
        variables |= {
            "HALFWAVE_ISA": "avx2",
            "ATEN_CPU_CAPABILITY": "avx2",
            "ONEDNN_MAX_CPU_ISA": "AVX2",
            "MKL_ENABLE_INSTRUCTIONS": "AVX2",
            "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
            "NPY_DISABLE_CPU_FEATURES": numpy_features_beyond_avx2(),
            "NUMBA_CPU_NAME": "haswell",
            "NUMBA_CPU_FEATURES": "",  # those of the name: unset, it would be those of the machine
        }
    elif isa != NATIVE:
        raise ValueError(f"no rule for holding the libraries to {isa}")
    return variables


class Workplace:
    """What runs inside of the process."""

    def __init__(self, peer: str, threads: int, isa: str) -> None:
        module, class_name = PEERS[peer]
        self.peer: Any = getattr(importlib.import_module(f"benchmarks.{module}"), class_name)(threads)
        if isa != NATIVE and self.peer.fixed_isa:
            raise Unsupported("its instruction set cannot be chosen")
        self.timer: timeit.Timer | None = None

    def version(self) -> str:
        """Return the library's version."""
        version: str = self.peer.version()
        return version

    def prepare(self, cell: Cell) -> Prepared:
        """Build the cell's call and run it once, which compiles it and touches all memory."""
        from .data import data_of
        from .training import training_call

        self.timer = None
        outputs: tuple[Any, ...] = ()
        if cell.is_training:
            call = training_call(self.peer, cell)
        else:
            data = data_of(cell)
            call, outputs = self.peer.call(cell, data), data.outputs
        result = eval(call.code, call.names)
        results = result if isinstance(result, tuple) else (result,)
        if results[0] is None:
            results = outputs
        self.timer = timeit.Timer(call.code, globals=call.names)
        sample = [np.asarray(self.peer.array(r)).ravel()[:SAMPLE].astype(np.float64) for r in results]
        return Prepared(call.code, sample)

    def calibrate(self, seconds: float) -> tuple[int, float]:
        """Return how many calls take about this long, and the seconds of one."""
        assert self.timer is not None
        number = 1
        while (taken := self.timer.timeit(number)) < seconds / 4:
            number = min(10 * number, max(2 * number, int(number * seconds / max(taken, 1e-9))))
        return max(1, round(number * seconds / taken)), taken / number

    def time(self, number: int) -> float:
        """Return the seconds of one call: this many in up to five parts, of which the fastest counts."""
        assert self.timer is not None
        parts = min(number, PARTS)
        return min(self.timer.repeat(parts, number // parts)) / (number // parts)


def serve(connection: Connection, peer: str, threads: int, isa: str, processor: int | None) -> None:
    """Answer requests until the other side hangs up."""
    warnings.filterwarnings("ignore")
    if processor is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {processor})
    workplace: Workplace | None = None
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            method, arguments = connection.recv()
            try:
                workplace = workplace or Workplace(peer, threads, isa)
                with np.errstate(all="ignore"):
                    connection.send(("done", getattr(workplace, method)(*arguments)))
            except (Unsupported, ImportError, MemoryError) as error:
                connection.send(("unsupported", f"{error}"))
            except Exception as error:
                # Without the frames, which would name files of this machine in the results.
                connection.send(("failed", traceback.format_exception_only(error)[-1].strip()))


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Worker:
    """The handle on such a process."""

    def __init__(self, peer: str, threads: int, isa: str) -> None:
        self.peer = peer
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        arguments = (theirs, peer, threads, isa, _processor() if threads == 1 else None)
        self.process = context.Process(target=serve, args=arguments, daemon=True, name=f"benchmark-{peer}")
        with _environment(environment(threads, isa)):
            self.process.start()
        theirs.close()

    def send(self, method: str, *arguments: Any) -> None:
        """Ask without waiting."""
        self.connection.send((method, arguments))

    def receive(self) -> Any:
        """Wait for the answer; Unsupported where the library has none."""
        status, value = self.connection.recv()
        if status == "done":
            return value
        raise Unsupported(value)

    def ask(self, method: str, *arguments: Any) -> Any:
        """Ask and wait."""
        self.send(method, *arguments)
        return self.receive()

    def stop(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.join(timeout=2)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _processor() -> int | None:
    """The processor on which everybody runs whose cell has one thread."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
