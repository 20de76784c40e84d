"""One run of `python -m halfwave verify`: what to measure, by how many processes, and where the results go."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import hashlib
import json
import math
import multiprocessing
import platform
import signal
import sys
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import halfwave

from .. import _core
from .cases import DTYPES, ROLES, Case, cases, defaults, instruction_set
from .measure import Measurement
from .rounding import FORMATS
from .rows import Row, measure_task
from .table import Table

_UPS = (1.0, -1.7)  # at which a gated unit is measured; the result at the second is rounded twice
_INTERRUPTED = 130


class Mistake(Exception):
    """Something is wrong with the arguments."""


# ---- What to measure -------------------------------------------------------------------------------------------------


def rows(options: argparse.Namespace) -> list[Row]:
    """The rows that are asked for."""
    dtypes = options.dtype or (["float32"] if options.exhaustive else list(DTYPES))
    _check("name", options.names, halfwave.functions())
    _check("dtype", dtypes, FORMATS)
    _check("dtype of this build", dtypes, DTYPES)
    _check("role", options.role, ROLES)
    if options.exhaustive and "float64" in dtypes:
        raise Mistake("--exhaustive is for formats of at most 32 bits, float64 has too many numbers")
    if options.between and not options.exhaustive:
        raise Mistake("--between is for --exhaustive")
    if options.between and not options.between[0] <= options.between[1]:
        raise Mistake("--between needs LOW <= HIGH")
    chosen = [
        c
        for c in cases()
        if (not options.names or c.name in options.names) and (not options.role or c.role in options.role)
    ]
    if not chosen:
        raise Mistake(f"{', '.join(options.names)}: there is no {' or '.join(options.role)}")
    between = tuple(options.between) if options.between else (-math.inf, math.inf)
    return [
        Row(case.name, case.role, dtype, _parameters(case, dtype, options), up, between, options.exhaustive)
        for case in chosen
        for dtype in dtypes
        for up in _ups(case, dtype, options.exhaustive)
    ]


def _check(what: str, given: list[str], known: Any) -> None:
    unknown = [g for g in given if g not in known]
    if unknown:
        raise Mistake(f"unknown {what} {', '.join(unknown)}; known: {', '.join(known)}")


def _parameters(case: Case, dtype: str, options: argparse.Namespace) -> tuple[float, ...]:
    given = options.parameters
    if given is None:
        return FORMATS[dtype].parameters(defaults(case.ufunc, case.name))
    if len(options.names) != 1 or len(given) != len(case.ufunc.parameters):
        names = " ".join(p.name for p in case.ufunc.parameters) or "none"
        raise Mistake(f"--parameters needs one function and all of its parameters; {case.name} has {names}")
    try:
        _core.check_domain(case.ufunc, list(given))
    except ValueError as error:
        raise Mistake(str(error)) from None
    return FORMATS[dtype].parameters(given)


def _ups(case: Case, dtype: str, exhaustive: bool) -> tuple[float | None, ...]:
    """Constants in an exhaustive run, and many values in a sample."""
    if len(case.inputs) == 1 or not (exhaustive or dtype.endswith("16")):
        return (None,)
    return _UPS[:1] if dtype.endswith("16") else _UPS


# ---- Doing it --------------------------------------------------------------------------------------------------------


def _prepare(instructions: str) -> None:
    """Make a worker ready: the parent alone heeds Ctrl-C, and a process is enough for a processor."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    halfwave.set_num_threads(1)
    _core.use_instruction_set(instructions)
    keep_memory()


def keep_memory() -> None:
    """Make glibc keep the memory that arrays free; to get it from the system each time would halve the speed."""
    np.empty(1 << 20).fill(0)


Task = tuple[Row, int]


def measured(tasks: list[Task], instructions: str, jobs: int) -> Generator[tuple[Task, Measurement], None, None]:
    """The measurements of tasks, as they are ready."""
    if jobs == 1 or len(tasks) == 1:
        keep_memory()
        with instruction_set(instructions):
            for task in tasks:
                yield _measured(task)
        return
    # Leaving the `with` ends the processes at once, which is what an interruption needs.
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(tasks)), _prepare, (instructions,)) as pool:
        yield from pool.imap_unordered(_measured, tasks)


def _measured(task: Task) -> tuple[Task, Measurement]:
    return task, measure_task(*task)


class State:
    """What has been measured, a line for each task, in a file that later runs go on from."""

    def __init__(self, path: Path | None, about: dict[str, Any]) -> None:
        self.path = path
        self._done: dict[tuple[str, int], Measurement] = {}
        if path is None:
            return
        build = json.dumps({k: about[k] for k in ("library", "instruction_set", "numpy")})
        lines = path.read_text().split("\n")[:-1] if path.exists() else []  # the last one is empty, or was cut off
        if lines and lines[0] != build:
            raise Mistake(f"{path} is of another build or instruction set: remove it to begin anew")
        for line in lines[1:]:
            key, task, measurement = json.loads(line)
            self._done[key, task] = Measurement(**{**measurement, "at": tuple(measurement["at"])})
        path.write_text("\n".join([*(lines or [build]), ""]))

    def get(self, row: Row, task: int) -> Measurement | None:
        """The measurement of a task, if it has been made."""
        return self._done.get((row.key, task))

    def put(self, row: Row, task: int, measurement: Measurement) -> None:
        """Keep a measurement."""
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps([row.key, task, asdict(measurement)]) + "\n")


def description(instructions: str) -> dict[str, Any]:
    """What the results depend on, and when and where they were found."""
    sources = [Path(_core.__file__), *sorted(Path(__file__).parent.glob("*.py"))]
    return {
        "halfwave": halfwave.__version__,
        "library": hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16],
        "instruction_set": instructions,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "date": datetime.date.today().isoformat(),
    }


def run(options: argparse.Namespace) -> int:
    """Measure, print, write; see `command.run`."""
    wanted = rows(options)
    instructions = options.isa or halfwave.instruction_set()
    _check("instruction set", [instructions], halfwave.instruction_sets())
    if options.jobs < 1:
        raise Mistake("--jobs must be at least 1")
    about = description(instructions)
    beside = options.json.with_name(options.json.name + ".state") if options.exhaustive and options.json else None
    state = State(options.state or beside, about)
    tasks = [(row, task) for row in wanted for task in row.tasks()]
    interrupted = False
    with tqdm(total=len(tasks), disable=None, smoothing=0.02, unit="task") as progress:
        table = Table(wanted, progress.write)
        todo = []
        for row, task in tasks:
            if (found := state.get(row, task)) is None:
                todo.append((row, task))
            else:
                table.add(row, task, found)
        progress.reset(len(todo))
        try:
            with contextlib.closing(measured(todo, instructions, options.jobs)) as results:
                for (row, task), found in results:
                    state.put(row, task, found)
                    table.add(row, task, found)
                    progress.update()
        except KeyboardInterrupt:
            interrupted = True
    if options.json:
        table.save(options.json, about)
    if interrupted:
        then = f"; {state.path} has what was done, the same command goes on from it" if state.path else ""
        print(f"interrupted{then}", file=sys.stderr)
        return _INTERRUPTED
    if beside and not options.state:
        beside.unlink()
    return _verdict(table)


def _verdict(table: Table) -> int:
    exceeding = [row for row, found in table.finished().items() if row.exceeded_by(found)]
    for row in exceeding:
        print(f"{row.case} in {row.dtype} exceeds its bound of {row.bound:g} ULP", file=sys.stderr)
    return int(bool(exceeding))
