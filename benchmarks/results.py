"""The results file: written after every cell, so that a run can be interrupted and taken up again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cells import Cell
from .machine import same


@dataclass(frozen=True)
class Outcome:
    """A cell's times in short, in seconds a call."""

    cell: Cell
    ours: float
    best: float
    peer: str
    spread: float  # the larger of the two sides' quartile distance, relative to the median

    @property
    def ratio(self) -> float:
        """How many times halfwave's speed is that of the best of the others."""
        return self.best / self.ours

    def throughput(self, seconds: float) -> float:
        """Return billions of elements a second."""
        return self.cell.size / seconds / 1e9


class Results:
    """Cells and what was measured in them, on one machine with one set of versions."""

    def __init__(self, machine: dict[str, Any], cells: dict[str, Any] | None = None, path: Path | None = None) -> None:
        self.machine, self.path = machine, path
        self.cells: dict[str, dict[str, Any]] = cells or {}

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read a file."""
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(content["machine"], content["cells"], path)

    @classmethod
    def resume(cls, path: Path | None, machine: dict[str, Any], restart: bool) -> Results:
        """Take up what the file has, unless it comes from another machine or build."""
        if path is None or restart or not path.exists():
            return cls(machine, path=path)
        found = cls.read(path)
        if not same(found.machine, machine):
            raise SystemExit(f"{path} is from another machine, build or set of versions: --restart discards it")
        return found

    def put(self, cell: Cell, result: dict[str, Any]) -> None:
        """Add a cell's results and write the file."""
        self.cells[cell.key] = result
        self.write()

    def write(self) -> None:
        """Write the file at once, or not at all; a line for each cell."""
        if self.path is None:
            return
        lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(self.cells.items()))
        text = f'{{"machine": {json.dumps(self.machine, indent=1)},\n"cells": {{\n{lines}\n}}}}\n'
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".part")
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, self.path)

    def times(self, cell: Cell, statistic: str = "median") -> dict[str, float]:
        """Return the libraries' seconds a call; without those that computed something else."""
        found = self.cells.get(cell.key, {})
        return {p: r[statistic] for p, r in found.items() if statistic in r and not r.get("differs")}

    def spread(self, cell: Cell, peer: str) -> float:
        """Return the distance of the quartiles relative to the median."""
        r = self.cells[cell.key][peer]
        return float((r["q3"] - r["q1"]) / r["median"])

    def outcome(self, cell: Cell, statistic: str = "median") -> Outcome | None:
        """Return halfwave against the best of the others, if there are both."""
        times = self.times(cell, statistic)
        ours = times.pop("halfwave", None)
        if ours is None or not times or cell.function == "copy":
            return None
        peer = min(times, key=times.__getitem__)
        return Outcome(cell, ours, times[peer], peer, max(self.spread(cell, p) for p in ("halfwave", peer)))

    def outcomes(self, statistic: str = "median") -> Iterator[Outcome]:
        """Yield what can be compared."""
        for key in self.cells:
            if outcome := self.outcome(Cell.from_key(key), statistic):
                yield outcome

    def limit(self, cell: Cell, function: str) -> float | None:
        """Return the seconds of the fastest copy, addition or reading of arrays like the cell's."""
        same_arrays = Cell(cell.isa, cell.threads, cell.dtype, cell.size, "normal", function, "forward")
        times = self.times(same_arrays)
        times.pop("halfwave", None)
        return min(times.values(), default=None)
