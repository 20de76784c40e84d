"""Run cells: every library in turn, round by round, so that whatever else the machine does hits all of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from .cells import Cell, K
from .formulas import Unsupported
from .worker import Prepared, Worker

TOLERANCE = {"float32": 1e-3, "float64": 1e-6, "float16": 2e-2, "bfloat16": 5e-2, "int32": 0.0}


Slow = dict[tuple[str, ...], str]  # who was so slow at what that it is left out at large sizes, and how slow


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    seconds: float = 0.002  # of a library's turn, at least
    rounds: int = 7  # at least
    most_rounds: int = 21  # if the times scatter
    spread: float = 0.05  # the quartiles' distance, relative to the median, that is good enough
    slow: float = 10.0  # a library that takes so many times the fastest's time ...
    long: float = 0.02  # ... and at least this many seconds is measured once
    huge: int = 1 << 22  # from this size on, a library that was so slow at a smaller one is left out


def statistics(times: list[float]) -> dict[str, float]:
    """Return median, quartiles, minimum and number."""
    q1, median, q3 = np.quantile(times, (0.25, 0.5, 0.75))
    return {"median": float(median), "q1": float(q1), "q3": float(q3), "min": min(times), "rounds": len(times)}


def agree(ours: Prepared, theirs: Prepared, tolerance: float) -> bool:
    """Whether two results are those of the same function, loosely: tails are not what is compared here."""
    return len(ours.sample) == len(theirs.sample) and all(
        np.allclose(a, b, rtol=tolerance, atol=tolerance) for a, b in zip(ours.sample, theirs.sample, strict=True)
    )


def _kind(cell: Cell, peer: str) -> tuple[str, ...]:
    return (peer, cell.function, cell.direction, cell.dtype, cell.isa)


class Bench:
    """The workers of one thread count and instruction set."""

    def __init__(self, peers: Iterable[str], threads: int, isa: str, effort: Effort, slow: Slow) -> None:
        self.slow = slow
        self.effort, self.rest = effort, 0.003 if threads > 1 else 0.0
        self.workers = {peer: Worker(peer, threads, isa) for peer in peers}
        self.versions: dict[str, str] = {}
        self.missing: dict[str, str] = {}
        for worker in self.workers.values():
            worker.send("version")
        for peer, worker in list(self.workers.items()):
            try:
                self.versions[peer] = worker.receive()
            except Unsupported as error:
                self.missing[peer] = str(error)
                self.workers.pop(peer).stop()

    def stop(self) -> None:
        """End all workers."""
        for worker in self.workers.values():
            worker.stop()

    def measure(self, cell: Cell) -> dict[str, Any]:
        """Return the results of all libraries, by name."""
        results, ready = self._prepare(cell)
        counts: dict[str, int] = {}
        first: dict[str, float] = {}
        for peer in ready:
            counts[peer], first[peer] = self.workers[peer].ask("calibrate", self.effort.seconds)
        for peer, times in self._rounds(counts, first).items():
            results[peer] |= statistics(times)
        self._remember_slow(cell, results)
        return results

    def _remember_slow(self, cell: Cell, results: dict[str, Any]) -> None:
        """Note who need not be tried at larger sizes; threads that wait for each other would be no reason."""
        if cell.threads > 1 or cell.size < K:
            return
        least = {peer: r["min"] for peer, r in results.items() if "min" in r}
        for peer, seconds in least.items():
            if peer != "halfwave" and (factor := seconds / min(least.values())) > self.effort.slow:
                self.slow[_kind(cell, peer)] = f"{factor:.0f} times the fastest's time at {cell.size} elements"

    def _taking_part(self, cell: Cell) -> tuple[dict[str, Worker], dict[str, Any]]:
        """Return the workers for a cell, and the results of those that are left out."""
        if cell.size < self.effort.huge:
            return self.workers, {}
        left_out = {p: {"skipped": why} for p in self.workers if (why := self.slow.get(_kind(cell, p)))}
        return {p: w for p, w in self.workers.items() if p not in left_out}, left_out

    def _prepare(self, cell: Cell) -> tuple[dict[str, Any], list[str]]:
        """Let all libraries build their calls, in parallel, and compare what comes out."""
        workers, results = self._taking_part(cell)
        prepared: dict[str, Prepared] = {}
        for worker in workers.values():
            worker.send("prepare", cell)
        for peer, worker in workers.items():
            try:
                prepared[peer] = worker.receive()
                results[peer] = {"code": prepared[peer].code}
            except Unsupported as error:
                results[peer] = {"unsupported": str(error)}
        if ours := prepared.get("halfwave"):
            for peer, theirs in prepared.items():
                if not agree(ours, theirs, TOLERANCE[cell.dtype]):
                    results[peer]["differs"] = True
        return results, list(prepared)

    def _rounds(self, counts: dict[str, int], first: dict[str, float]) -> dict[str, list[float]]:
        """Take turns until the times of those that matter are steady."""
        if not first:
            return {}
        bar = max(self.effort.slow * min(first.values()), self.effort.long)
        times: dict[str, list[float]] = {peer: [] for peer in counts}
        slow = {peer for peer, seconds in first.items() if seconds > bar and peer != "halfwave"}
        for peer in slow:
            times[peer].append(first[peer])
        turns = [peer for peer in counts if peer not in slow]
        for done in range(self.effort.most_rounds):
            if done >= self.effort.rounds and self._steady(times, turns):
                break
            for peer in turns[done % len(turns) :] + turns[: done % len(turns)]:
                times[peer].append(self.workers[peer].ask("time", counts[peer]))
                if self.rest:
                    time.sleep(self.rest)  # threads that wait for more work spin for a while
        return times

    def _steady(self, times: dict[str, list[float]], turns: list[str]) -> bool:
        """Whether halfwave and whoever may be the best of the others have small spreads."""
        of = {peer: statistics(times[peer]) for peer in turns}
        best = min((s["median"] for peer, s in of.items() if peer != "halfwave"), default=0.0)
        matter = [s for peer, s in of.items() if peer == "halfwave" or s["min"] <= best]
        return all(s["q3"] - s["q1"] <= self.effort.spread * s["median"] for s in matter)


@contextmanager
def bench(peers: Iterable[str], threads: int, isa: str, effort: Effort, slow: Slow) -> Iterator[Bench]:
    """Start the workers, and end them."""
    made = Bench(peers, threads, isa, effort, slow)
    try:
        yield made
    finally:
        made.stop()
