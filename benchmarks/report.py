"""Turn results into Markdown: tables for the terminal, docs/speed.md, and a section of the README."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path
from typing import Any

from .cells import INPUTS, MAIN, NATIVE, Cell, K, M
from .results import Outcome, Results

ROOT = Path(__file__).resolve().parent.parent
REASONS = Path(__file__).with_name("reasons.toml")
NAMES = {
    "numpy": "NumPy",
    "torch": "PyTorch",
    "jax": "JAX",
    "onnxruntime": "ONNX Runtime",
    "scipy": "SciPy",
}
DIRECTION_NAMES = {"output": "backward from the output", "fresh": "forward without out="}


def size_text(size: int) -> str:
    """Write a size with the binary prefixes that are in use for it."""
    if size >= M and size % M == 0:
        return f"{size // M} M"
    return f"{size // K} k" if size >= K and size % K == 0 else str(size)


def time_text(seconds: float) -> str:
    """Write a time with three digits."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def group_of(outcome: Outcome) -> tuple[Any, ...]:
    """Return what the outcomes of one table have in common."""
    c = outcome.cell
    return (c.isa, c.threads, c.dtype, c.size, c.inputs)


def title(outcome: Outcome) -> str:
    """Return the heading of such a table."""
    c = outcome.cell
    isa = "" if c.isa == NATIVE else f", everybody held to {c.isa}"
    threads = f"{c.threads} thread{'s' * (c.threads > 1)}"
    return f"{c.dtype}, {size_text(c.size)} elements, {threads}, {INPUTS[c.inputs]}{isa}"


def outcome_table(outcomes: Iterable[Outcome]) -> str:
    """Return a table of one group: a row for each function, columns for each direction."""
    by_name: dict[str, dict[str, Outcome]] = {}
    for o in outcomes:
        by_name.setdefault(o.cell.function, {})[o.cell.direction] = o
    directions = list(dict.fromkeys(d for found in by_name.values() for d in found))
    directions.sort(key=("forward", "backward", "output", "fresh").index)
    head = ["function"]
    for d in directions:
        head += [DIRECTION_NAMES.get(d, d), "best other", "ratio"]
    order = {name: i for i, name in enumerate(MAIN)}
    names = sorted(by_name, key=lambda n: (order.get(n, len(order)), n))
    return table(head, [[n, *(t for d in directions for t in _columns(by_name[n].get(d)))] for n in names])


def _columns(o: Outcome | None) -> list[str]:
    if o is None:
        return ["", "", ""]
    small = o.cell.size < K
    ours, best = ((time_text(t) if small else f"{o.throughput(t):.2f}") for t in (o.ours, o.best))
    ratio = f"{o.ratio:.2f}"
    return [ours, f"{best} {NAMES.get(o.peer, o.peer)}", f"**{ratio}**" if o.ratio < 1 else ratio]


def groups(results: Results, statistic: str = "median") -> list[list[Outcome]]:
    """Return the comparable outcomes, table by table."""
    found = [o for o in results.outcomes(statistic) if not o.cell.is_training and not o.cell.is_limit]
    return [list(members) for _, members in groupby(sorted(found, key=group_of), key=group_of)]


def tables(results: Results, statistic: str = "median") -> str:
    """Return all tables."""
    parts = []
    for members in groups(results, statistic):
        parts += [f"### {title(members[0])}", limits_line(results, members[0]), outcome_table(members)]
    return "\n\n".join(p for p in [*parts, training_table(results)] if p)


def limits_line(results: Results, outcome: Outcome) -> str:
    """Return how fast plain copies are at this size."""
    cell = outcome.cell
    if cell.size < K:
        negative = results.limit(cell, "negative")
        return f"For comparison, `np.negative(x, out=y)`: {time_text(negative)}." if negative else ""
    texts = {"copy": "copy", "add": "addition of two arrays", "read": "maximum"}
    found = {text: results.limit(cell, name) for name, text in texts.items()}
    speeds = [f"{text} {outcome.throughput(seconds):.2f}" for text, seconds in found.items() if seconds]
    return f"The machine's limits: {', '.join(speeds)} (the best of NumPy's and PyTorch's)." if speeds else ""


def training_table(results: Results) -> str:
    """Return the table of training steps."""
    rows = []
    for key in sorted(results.cells):
        outcome = results.outcome(Cell.from_key(key))
        if outcome is None or not outcome.cell.is_training:
            continue
        times = results.times(outcome.cell)
        row = [outcome.cell.function.removeprefix("train_"), str(outcome.cell.threads)]
        row += [time_text(times[p]) if p in times else "" for p in ("halfwave", "numpy", "torch")]
        row += [f"{times[p] / outcome.ours:.2f}" if p in times else "" for p in ("numpy", "torch")]
        rows.append(row)
    head = ["activation", "threads", "halfwave", "NumPy alone", "PyTorch", "NumPy / halfwave", "PyTorch / halfwave"]
    return f"### A step of training\n\n{table(head, rows)}" if rows else ""


def reason(key: str) -> str:
    """Return the first reason whose pattern matches."""
    patterns: dict[str, str] = tomllib.loads(REASONS.read_text(encoding="utf-8"))["reasons"]
    return next((text for pattern, text in patterns.items() if fnmatchcase(key, pattern)), "")


def below(results: Results) -> list[Outcome]:
    """Return the cells in which somebody else is faster, the worst first."""
    found = [o for members in groups(results) for o in members if o.ratio < 1]
    return sorted(found, key=lambda o: o.ratio)


def below_table(results: Results) -> str:
    """Return the table of these cells."""
    rows = [
        [
            o.cell.function,
            o.cell.direction,
            o.cell.dtype,
            size_text(o.cell.size),
            INPUTS[o.cell.inputs],
            str(o.cell.threads),
            "" if o.cell.isa == NATIVE else o.cell.isa,
            NAMES.get(o.peer, o.peer),
            f"{o.ratio:.2f}",
            f"±{o.spread / 2:.0%}",
            reason(o.cell.key),
        ]
        for o in below(results)
    ]
    head = ["function", "direction", "dtype", "elements", "inputs", "threads", "held to", "best", "ratio", "spread"]
    return table([*head, "reason"], rows) if rows else "None."


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values))


def summary(results: Results) -> str:
    """Return a row for each group: how many cells, how many at least as fast, and the ratios."""
    rows = []
    for members in groups(results):
        ratios = sorted(o.ratio for o in members)
        at_least = sum(r >= 1 for r in ratios)
        texts = (f"{ratios[0]:.2f}", f"{geometric_mean(ratios):.2f}", f"{ratios[-1]:.1f}")
        rows.append([title(members[0]), f"{at_least} of {len(ratios)}", *texts])
    return table(["cells", "at least the best other", "least", "geometric mean", "most"], rows)


def machine_text(machine: dict[str, Any]) -> str:
    """Describe machine and versions in a sentence each."""
    versions = dict(machine["versions"])
    versions.pop("build", None)
    caches = ", ".join(f"{level} {size}" for level, size in machine["caches"].items())
    virtual = ", virtual" if machine["virtual"] else ""
    listed = ", ".join(f"{NAMES.get(n, n)} {v}" for n, v in versions.items())
    return (
        f"{machine['processor']}, {machine['processors']} cores{virtual}; {caches}; {machine['memory']} of memory; "
        f"{machine['system']}; halfwave on {machine['instruction_set']}; {machine['date']}.\n\n{listed}."
    )


def calls_table(results: Results) -> str:
    """Return what was called, for float32 at one size."""
    rows = []
    for o in next((m for m in groups(results) if m[0].cell.dtype == "float32" and m[0].cell.size > K), []):
        found = results.cells[o.cell.key]
        calls = "; ".join(f"{NAMES.get(p, p)} `{r['code']}`" for p, r in found.items() if "code" in r)
        rows.append([o.cell.function, o.cell.direction, calls.replace("|", "\\|")])
    return table(["function", "direction", "calls"], rows)


def document(results: Results, plots: Sequence[str]) -> str:
    """Return docs/speed.md."""
    images = "\n\n".join(f"![{Path(p).stem.replace('-', ' ')}]({p})" for p in plots)
    return "\n\n".join(
        [
            "<!-- Generated by python -m benchmarks --report. -->\n# Speed",
            machine_text(results.machine),
            METHOD,
            "## Summary",
            summary(results),
            images,
            "## Where another library is faster",
            below_table(results),
            "## All measurements",
            "Billions of elements per second; times of a call where there are fewer than 1024.",
            tables(results),
            "## What was called",
            "A line of Python each, as it was timed; `f` is a function that was compiled before.",
            calls_table(results),
        ]
    )


METHOD = """\
Every library runs in a process of its own, and all take turns in rounds of a few milliseconds, so that whatever else
the machine does hits all of them. A number is the median of at least seven rounds, where the fastest fifth of a round
counts, so that an interruption does not. A library that takes more than ten times as long as the fastest, and over
20 ms, is measured once, and one that took so long on one thread at a smaller size is left out from 4 M elements on. On
one thread all processes are bound to the same core.

Where a library can write into an array that exists, it does. PyTorch's backward passes are its own kernels, without
autograd, where it has them; those of sigmoid and tanh start from the output, so in a backward pass from the input it
computes the output first, and *backward from the output* compares them alone. ONNX Runtime has forward passes only, and
cannot be held to AVX2. What a library does not have is composed from what it has, as a user would; a result that
differs from halfwave's by more than rounding and tails excludes it. *ratio* is halfwave's speed over that of the best
other library.

`python -m benchmarks --full` measures all of it again, `python -m benchmarks --help` tells how to measure parts."""


def readme_section(results: Results) -> str:
    """Return the README's table: in cache, float32, one thread, backward from what PyTorch keeps."""
    rows = []
    for name in MAIN:
        row = [name]
        for direction in ("forward", "backward"):
            o = results.outcome(Cell(NATIVE, 1, "float32", 64 * K, "normal", name, direction))
            row += _columns(o)
        if any(row[1:]):
            rows.append(row)
    m = results.machine
    head = ["", "forward", "best other", "ratio", "backward", "best other", "ratio"]
    *others, last = (NAMES.get(n, n) for n in m["versions"] if n not in ("python", "halfwave", "build"))
    return (
        f"{m['processor']}{', virtual' if m['virtual'] else ''}, one thread, {m['instruction_set']}; float32, 65536\n"
        f"elements, billions of elements per second; {m['date']}. The best other is the fastest of\n"
        f"{', '.join(others)} and {last},\nmeasured side by side.\n\n{table(head, rows)}\n\n"
        "[docs/speed.md](docs/speed.md) has all functions, dtypes, sizes and threads, and where another library is\n"
        "faster; `python -m benchmarks` measures on your machine."
    )


def replace_section(text: str, name: str, body: str) -> str:
    """Replace what stands between the marks `<!-- name, ... -->` and `<!-- end -->`."""
    pattern = re.compile(rf"(<!-- {name},[^>]*-->\n).*?(\n<!-- end -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"no marks for {name}")
    return pattern.sub(lambda match: match[1] + body + match[2], text)


def write(results: Results, root: Path = ROOT) -> list[Path]:
    """Write docs/speed.md, its plots and the README's section."""
    from .plots import draw

    docs = root / "docs"
    plots = draw(results, docs / "speed")
    page = docs / "speed.md"
    page.write_text(document(results, [f"speed/{p.name}" for p in plots]) + "\n", encoding="utf-8", newline="\n")
    readme = root / "README.md"
    text = replace_section(readme.read_text(encoding="utf-8"), "speed", readme_section(results))
    readme.write_text(text, encoding="utf-8", newline="\n")
    return [page, readme, *plots]
