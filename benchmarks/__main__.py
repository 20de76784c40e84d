"""The command line: what to measure, how long, and where the results go."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from tqdm import tqdm

from . import cells, machine, report
from .cells import Cell
from .measure import Effort, Slow, bench
from .results import Results
from .worker import PEERS

FOLDER = Path(__file__).with_name("results")


def size(text: str) -> int:
    """Read 4096, 64k or 16M, in powers of two."""
    units = {"k": cells.K, "M": cells.M}
    return int(text[:-1]) * units[text[-1]] if text[-1] in units else int(text)


def threads(text: str) -> int:
    """Read a number, or `all`."""
    return cells.all_threads() if text == "all" else int(text)


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    grids = made.add_mutually_exclusive_group()
    grids.add_argument("--quick", action="store_true", help="main functions, under two minutes; the default")
    grids.add_argument("--full", action="store_true", help="everything, up to about 35 minutes on two cores")
    grids.add_argument("--training", action="store_true", help="steps of training a small network")
    grids.add_argument("--report", action="store_true", help="measure nothing, write docs/speed.md and the README")
    chosen = made.add_argument_group("cells", "any of these selects a grid of its own")
    names = (*cells.ACTIVATIONS, "main", "all")
    chosen.add_argument("--functions", nargs="+", choices=names, metavar="NAME")
    chosen.add_argument("--directions", nargs="+", choices=cells.DIRECTIONS)
    chosen.add_argument("--dtypes", nargs="+", choices=cells.DTYPES)
    chosen.add_argument("--sizes", nargs="+", type=size, metavar="N", help="such as 16 64k 16M")
    chosen.add_argument("--inputs", nargs="+", choices=tuple(cells.INPUTS))
    chosen.add_argument("--threads", nargs="+", type=threads, metavar="N", help="a number, or all")
    chosen.add_argument("--isas", nargs="+", choices=(cells.NATIVE, "avx2"))
    made.add_argument("--peers", nargs="+", choices=tuple(PEERS), help="default: all that are installed")
    made.add_argument("--rounds", type=int, default=7, help="rounds at least, default 7")
    made.add_argument("--seconds", type=float, default=0.002, help="of a library's turn, default 0.002")
    made.add_argument("--statistic", default="median", choices=("median", "q1", "min"), help="in the printed tables")
    made.add_argument("--output", type=Path, help="JSON file, resumed where it exists; --full has a default")
    made.add_argument("--markdown", type=Path, help="write the tables here too")
    made.add_argument("--plots", type=Path, help="folder for plots")
    made.add_argument("--restart", action="store_true", help="discard what the file has")
    made.add_argument("--list", action="store_true", help="print the cells only")
    return made


def selection(options: argparse.Namespace) -> list[Cell]:
    """Return the cells that were asked for."""
    axes = ("functions", "directions", "dtypes", "sizes", "inputs", "threads", "isas")
    choices = {n: getattr(options, n) for n in axes}
    given: dict[str, Any] = {n: v for n, v in choices.items() if v is not None}
    if options.full:
        return cells.with_limits(cells.full())
    if options.training:
        return cells.with_limits(cells.training(given.get("threads", (1, cells.all_threads()))))
    if not given:
        return cells.with_limits(cells.quick())
    groups = {"main": cells.MAIN, "all": cells.ACTIVATIONS}
    named = given.pop("functions", cells.MAIN)
    given["functions"] = [f for name in named for f in groups.get(name, (name,))]
    return cells.with_limits(cells.grid(**given))


def run(chosen: list[Cell], results: Results, peers: Sequence[str], effort: Effort) -> None:
    """Measure what the results lack, and keep it cell by cell."""
    slow: Slow = {}
    todo = [cell for cell in chosen if cell.key not in results.cells]
    with tqdm(total=len(todo), unit="cell", disable=None, smoothing=0.05) as progress:
        for (isa, count), members in groupby(todo, key=lambda c: (c.isa, c.threads)):
            with bench(peers, count, isa, effort, slow) as made:
                for peer, why in made.missing.items():
                    progress.write(f"without {peer}: {why.splitlines()[-1]}")
                for cell in members:
                    progress.set_postfix_str(cell.key, refresh=True)
                    results.put(cell, made.measure(cell))
                    progress.update()


def complaints(results: Results) -> list[str]:
    """Return what a user should know of libraries that failed or disagreed."""
    return [
        f"{key}: {peer} computes something else: {r['code']}"
        for key, found in results.cells.items()
        for peer, r in found.items()
        if r.get("differs")
    ]


def default_output(options: argparse.Namespace) -> Path | None:
    """Return where the results go."""
    given: Path | None = options.output
    return given or (FOLDER / "speed.json" if options.full or options.report else None)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, and write what was asked for."""
    options = parser().parse_args(argv)
    path = default_output(options)
    if options.report:
        assert path is not None
        for written in report.write(Results.read(path)):
            print(f"wrote {written}")
        return
    chosen = selection(options)
    if options.list:
        print("\n".join(cell.key for cell in chosen))
        return
    peers = list(dict.fromkeys(["halfwave", *(options.peers or PEERS)]))
    results = Results.resume(path, machine.describe(peers), options.restart)
    effort = Effort(seconds=options.seconds, rounds=options.rounds, most_rounds=max(3 * options.rounds, options.rounds))
    try:
        run(chosen, results, peers, effort)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here" if path else "interrupted")
    text = f"{report.machine_text(results.machine)}\n\n{report.tables(results, options.statistic)}"
    print("\n".join([text, *complaints(results)]))
    if options.markdown:
        options.markdown.write_text(text + "\n", encoding="utf-8")
    if options.plots:
        from .plots import draw

        draw(results, options.plots)


if __name__ == "__main__":
    main()
