"""Plots of results: throughput over size for each function, and a map of all ratios."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .cells import MAIN, NATIVE, Cell
from .report import NAMES, group_of, groups, size_text
from .results import Outcome, Results

COLOURS = {
    "halfwave": "#d62728",
    "torch": "#1f77b4",
    "jax": "#2ca02c",
    "onnxruntime": "#9467bd",
    "numba": "#ff7f0e",
    "numexpr": "#8c564b",
    "scipy": "#e377c2",
    "numpy": "#7f7f7f",
}


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw what the results have enough cells for, and return the files."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, figure in _figures(results, pyplot):
        files.append(folder / f"{name}.png")
        figure.savefig(files[-1], dpi=80, bbox_inches="tight", pil_kwargs={"optimize": True})
        pyplot.close(figure)
    return files


def _figures(results: Results, pyplot: Any) -> Iterator[tuple[str, Any]]:
    cells = [Cell.from_key(key) for key in results.cells]
    for threads in sorted({c.threads for c in cells}):
        for direction in ("forward", "backward"):
            chosen = [
                c
                for c in cells
                if c.direction == direction
                and (c.isa, c.threads, c.dtype, c.inputs) == (NATIVE, threads, "float32", "normal")
            ]
            names = [n for n in MAIN if len({c.size for c in chosen if c.function == n}) > 2]
            if names:
                yield f"throughput-{direction}-{threads}", _throughput(results, chosen, names, pyplot)
    if found := [m for m in groups(results) if len({o.cell.function for o in m}) > 1]:
        yield "ratios", _ratios(found, pyplot)


def _throughput(results: Results, cells: list[Cell], names: list[str], pyplot: Any) -> Any:
    """A panel for each function, a line for each library, on logarithmic axes."""
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(4.2 * columns, 2.7 * rows), squeeze=False, sharex=True)
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    for name, axis in zip(names, axes.flat, strict=False):
        _panel(axis, results, sorted(c for c in cells if c.function == name))
    axes[0][0].legend(fontsize=6)
    figure.supylabel("billions of elements per second", fontsize=9)
    figure.supxlabel("elements (float32)", fontsize=9)
    return figure


def _panel(axis: Any, results: Results, cells: list[Cell]) -> None:
    """Draw one function, and the machine's limit for as many arrays."""
    for peer, colour in COLOURS.items():
        times = {c.size: t[peer] for c in cells if peer in (t := results.times(c))}
        _line(axis, times, NAMES.get(peer, peer), color=colour, marker=".", lw=2 if peer == "halfwave" else 1)
    text, function = ("copy", "copy") if cells[0].direction == "forward" else ("addition", "add")
    limits = {c.size: seconds for c in cells if (seconds := results.limit(c, function))}
    _line(axis, limits, text, color="black", lw=0.8, ls=":")
    axis.set_title(f"{cells[0].function}, {cells[0].direction}", fontsize=9)
    axis.grid(alpha=0.3)


def _line(axis: Any, times: dict[int, float], label: str, **style: Any) -> None:
    if times:
        axis.loglog(list(times), [size / t / 1e9 for size, t in times.items()], label=label, **style)


def _label(outcome: Outcome) -> str:
    c = outcome.cell
    parts = [c.direction, c.dtype, size_text(c.size), f"{c.threads} thr."]
    parts += [c.inputs] if c.inputs != "normal" else []
    return " ".join(parts + ([c.isa] if c.isa != NATIVE else []))


def _ratios(found: list[list[Outcome]], pyplot: Any) -> Any:
    """Rows are functions, columns are groups and directions; blue is faster, red slower than the best other."""
    columns: dict[tuple[Any, ...], dict[str, Outcome]] = {}
    for outcome in (o for members in found for o in members):
        columns.setdefault((*group_of(outcome), outcome.cell.direction), {})[outcome.cell.function] = outcome
    names = list(dict.fromkeys(n for column in columns.values() for n in column))
    ratios = np.array([[c[n].ratio if n in c else np.nan for c in columns.values()] for n in names])
    figure, axis = pyplot.subplots(figsize=(1.5 + 0.26 * len(columns), 1.8 + 0.17 * len(names)))
    image = axis.imshow(np.log2(ratios), cmap="RdBu", vmin=-2, vmax=2, aspect="auto")
    axis.set_yticks(range(len(names)), names, fontsize=6)
    labels = [_label(next(iter(c.values()))) for c in columns.values()]
    axis.set_xticks(range(len(labels)), labels, fontsize=5, rotation=90)
    bar = figure.colorbar(image, ticks=(-2, -1, 0, 1, 2))
    bar.ax.set_yticklabels(("1/4", "1/2", "1", "2", "4"), fontsize=6)
    bar.set_label("halfwave's speed over that of the best other", fontsize=6)
    return figure
