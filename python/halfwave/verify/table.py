"""The table of errors: as text, line by line, and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .measure import Measurement
from .rows import Row

_HEADER = (
    f"{'function':34} {'dtype':8} {'inputs':>10} {'maximum':>9} {'bound':>5} {'mean':>7} {'wrong':>8}  "
    "at: result, exactly"
)


def line(row: Row, found: Measurement) -> str:
    """Return the row as a line of text."""
    parameters = [*map("{:.6g}".format, row.parameters), *([] if row.up is None else [f"up={row.up:g}"])]
    what = str(row.case) + (f"({', '.join(parameters)})" if parameters else "")
    where = ", ".join(map(float.hex, found.at))
    return (
        f"{what:34} {row.dtype:8} {found.count:>10} {found.maximum:9.4f} {row.bound:5g} {found.mean:7.4f} "
        f"{found.wrong / max(1, found.count):8.4%}  {where}: {found.computed.hex()}, {found.exact}"
        + ("  EXCEEDS THE BOUND" if row.exceeded_by(found) else "")
    )


def entry(row: Row, found: Measurement) -> dict[str, Any]:
    """Return the row as JSON has it: numbers that it cannot hold are text."""
    return {
        "name": row.name,
        "role": row.role,
        "dtype": row.dtype,
        "parameters": list(row.parameters),
        "up": row.up,
        "between": [_number(v) for v in row.between],
        "exhaustive": row.exhaustive or row.dtype.endswith("16"),
        "inputs": found.count,
        "bound": row.bound,
        "maximum": _number(found.maximum),
        "mean": _number(found.mean),
        "wrong": found.wrong / max(1, found.count),
        "at": [v.hex() for v in found.at],
        "computed": found.computed.hex(),
        "exact": found.exact,
        "exceeds": row.exceeded_by(found),
    }


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else repr(value)


class Table:
    """The rows in their order, each as soon as all of its tasks and those of the rows before it are done."""

    def __init__(self, rows: list[Row], write: Callable[[str], object]) -> None:
        self._rows, self._write = rows, write
        self._waiting = {row: set(row.tasks()) for row in rows}
        self._found: dict[Row, dict[int, Measurement]] = {row: {} for row in rows}
        self._next = 0
        write(_HEADER)

    def add(self, row: Row, task: int, found: Measurement) -> None:
        """Take a measurement, and print the rows that are complete now."""
        self._found[row][task] = found
        self._waiting[row].discard(task)
        while self._next < len(self._rows) and not self._waiting[self._rows[self._next]]:
            finished = self._rows[self._next]
            self._write(line(finished, self.total(finished)))
            self._next += 1

    def total(self, row: Row) -> Measurement:
        """The tasks of a row together, in their order, so that it does not matter which was done first."""
        total = Measurement()
        for task in sorted(self._found[row]):
            total.add(self._found[row][task])
        return total

    def finished(self) -> dict[Row, Measurement]:
        """The rows that are complete."""
        return {row: self.total(row) for row in self._rows if not self._waiting[row]}

    def save(self, path: Path, about: dict[str, Any]) -> None:
        """Write the complete rows; those of the same build that the file has already are kept."""
        entries = {row.key: entry(row, found) for row, found in self.finished().items()}
        path.write_text(
            json.dumps({**about, "rows": [*_kept(path, about, entries), *entries.values()]}, indent=1) + "\n"
        )


def _kept(path: Path, about: dict[str, Any], new: dict[str, Any]) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    old = json.loads(path.read_text())
    if old.get("library") != about["library"]:
        return []
    identity = ("name", "role", "dtype", "parameters", "up", "between", "exhaustive")
    replaced = [[e[k] for k in identity] for e in new.values()]
    return [e for e in old["rows"] if [e[k] for k in identity] not in replaced]
