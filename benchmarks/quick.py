"""Time a few functions against PyTorch, on one thread and in cache, and print a Markdown table.

    python benchmarks/quick.py

Both sides write into an existing array and run in turns, so that what else the machine does hits both; what is printed
is the median of the rounds. Without PyTorch the columns about it are empty.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import halfwave as hw
import numpy as np

NAMES = ("relu", "sigmoid", "silu", "tanh", "elu")
FROM_OUTPUT = ("sigmoid", "tanh")


def processor() -> str:
    """Return the processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def our_calls(name: str, g: Any, x: Any, out: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return forward and backward; the latter from the output where PyTorch has it so."""
    function = hw.functions()[name]
    if name in FROM_OUTPUT:
        y, backward = function(x), function.backward_from_output
        assert backward is not None
        return lambda: function(x, out=out), lambda: backward(g, y, out=out)
    return lambda: function(x, out=out), lambda: function.backward(g, x, out=out)


def torch_calls(torch: Any, name: str, g: Any, x: Any, out: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return PyTorch's forward and backward of the function, without autograd, results in `out`."""
    aten = torch.ops.aten
    tg, tx, to = (torch.from_numpy(a) for a in (g, x, out))
    ty = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}.get(name, torch.relu)(tx)
    return {
        "relu": (
            lambda: torch.clamp_min(tx, 0, out=to),
            lambda: aten.threshold_backward(tg, tx, 0, grad_input=to),
        ),
        "sigmoid": (
            lambda: torch.sigmoid(tx, out=to),
            lambda: aten.sigmoid_backward(tg, ty, grad_input=to),
        ),
        "silu": (
            lambda: aten.silu.out(tx, out=to),
            lambda: aten.silu_backward(tg, tx, grad_input=to),
        ),
        "tanh": (
            lambda: torch.tanh(tx, out=to),
            lambda: aten.tanh_backward(tg, ty, grad_input=to),
        ),
        "elu": (
            lambda: aten.elu.out(tx, out=to),
            lambda: aten.elu_backward(tg, 1.0, 1.0, 1.0, False, tx, grad_input=to),
        ),
    }[name]


def medians(calls: Sequence[Callable[[], Any]], rounds: int) -> list[float]:
    """Return the median seconds of each call, the calls taking turns."""
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    for _ in range(rounds):
        for call, taken in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time a few functions against PyTorch.")
    parser.add_argument("--elements", type=int, default=1 << 18, help="array length, default 262144")
    parser.add_argument("--rounds", type=int, default=1000, help="default 1000")
    options = parser.parse_args(argv)
    try:
        torch = importlib.import_module("torch")
        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
    except ImportError:
        torch = None

    rng = np.random.default_rng(0)
    x = (4 * rng.standard_normal(options.elements)).astype(np.float32)
    g = rng.standard_normal(options.elements, dtype=np.float32)
    out = np.empty_like(x)

    versions = [f"halfwave {hw.__version__} ({hw.instruction_set()})", f"NumPy {np.__version__}"]
    versions += [f"PyTorch {torch.__version__}"] if torch else []
    print(f"{processor()}, one thread; {', '.join(versions)}; {datetime.date.today()}.")
    print(
        f"float32, {options.elements} elements, median of {options.rounds} rounds, billions of elements per second.\n"
    )
    print("| | forward | PyTorch | ratio | backward | PyTorch | ratio |")
    print("|---|---|---|---|---|---|---|")
    for name in NAMES:
        row = [name]
        for ours, theirs in zip(
            our_calls(name, g, x, out),
            torch_calls(torch, name, g, x, out) if torch else (None, None),
            strict=True,
        ):
            speeds = [options.elements / t / 1e9 for t in medians([ours, theirs] if theirs else [ours], options.rounds)]
            row += [f"{s:.2f}" for s in speeds] + ([f"{speeds[0] / speeds[1]:.1f}"] if theirs else ["", ""])
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
