"""What is measured: one cell is one function, direction, dtype, size, kind of input, thread count, instruction set."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, replace
from itertools import product

import halfwave as hw

from .formulas import FORMULAS, GATED, LIMITS

# backward: from the input; output: backward from the output; fresh: forward without out=
DIRECTIONS = ("forward", "backward", "output", "fresh")
DTYPES = ("float32", "float64", "float16", "bfloat16", "int32")
INPUTS = {"normal": "N(0, 1)", "normal3": "N(0, 3)", "uniform10": "U(-10, 10)"}
MAIN = (
    *("relu", "leaky_relu", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh", "elu", "softplus", "mish", "hardswish"),
)
FROM_OUTPUT = ("relu", "leaky_relu", "elu", "selu", "sigmoid", "tanh", "softplus")
ACTIVATIONS = tuple(name for name in (*FORMULAS, *GATED) if name in hw.functions())
TRAINING = ("train_relu", "train_silu", "train_gelu")

K, M = 1 << 10, 1 << 20
SIZES = (16, K, 16 * K, 64 * K, 256 * K, M, 4 * M, 16 * M, 32 * M)
NATIVE = "native"  # the best instruction set of the machine


@dataclass(frozen=True, order=True)
class Cell:
    """One thing to measure; the fields are in the order in which cells are worked off, so that arrays are reused."""

    isa: str
    threads: int
    dtype: str
    size: int
    inputs: str
    function: str
    direction: str

    @property
    def key(self) -> str:
        """Its name in the results."""
        return "/".join(str(v) for v in reversed(astuple(self)))

    @classmethod
    def from_key(cls, key: str) -> Cell:
        """Read what `key` wrote."""
        direction, function, inputs, size, dtype, threads, isa = key.split("/")
        return cls(isa, int(threads), dtype, int(size), inputs, function, direction)

    @property
    def is_limit(self) -> bool:
        """Whether it tells what the machine can do rather than what a function costs."""
        return self.function in LIMITS

    @property
    def is_training(self) -> bool:
        """Whether it is a step of training a network rather than one call."""
        return self.function in TRAINING


def all_threads() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def instruction_sets() -> tuple[str, ...]:
    """Return native, and avx2 where that is less."""
    best, *others = hw.instruction_sets()
    return (NATIVE, "avx2") if best != "avx2" and "avx2" in others else (NATIVE,)


def has_dtype(function: str, dtype: str, direction: str) -> bool:
    """Whether halfwave keeps this dtype; integers only in some forward passes."""
    if dtype == "int32":
        return direction in ("forward", "fresh") and any(t.endswith("->i") for t in hw.functions()[function].types)
    return dtype in hw.functions()[function].error_bound


def has_direction(function: str, direction: str) -> bool:
    """Whether halfwave has this direction of the function."""
    return direction != "output" or hw.functions()[function].backward_from_output is not None


def grid(
    functions: Iterable[str] = ACTIVATIONS,
    directions: Iterable[str] = ("forward", "backward"),
    dtypes: Iterable[str] = ("float32",),
    sizes: Iterable[int] = (64 * K,),
    inputs: Iterable[str] = ("normal",),
    threads: Iterable[int] = (1,),
    isas: Iterable[str] = (NATIVE,),
) -> Iterator[Cell]:
    """Yield the product of the choices, without what halfwave does not have."""
    for isa, count, dtype, size, kind, function, direction in product(
        isas, threads, dtypes, sizes, inputs, functions, directions
    ):
        if has_dtype(function, dtype, direction) and has_direction(function, direction):
            yield Cell(isa, count, dtype, size, kind, function, direction)


def with_limits(cells: Iterable[Cell]) -> list[Cell]:
    """Return the cells in working order, with the machine's limits for each of their sizes."""
    chosen = set(cells)
    for cell in list(chosen):
        if not cell.is_training and not cell.dtype.startswith(("int", "bfloat")):
            plain = replace(cell, inputs="normal", direction="forward")
            chosen |= {replace(plain, function=f) for f in ("copy", "add", "read")}
            if cell.size <= K:
                chosen.add(replace(plain, function="negative"))
    return sorted(chosen)


def training(threads: Iterable[int]) -> Iterator[Cell]:
    """Yield the steps of training, whose size is that of the batch."""
    for count, function in product(threads, TRAINING):
        yield Cell(NATIVE, count, "float32", 128, "normal", function, "step")


def quick() -> Iterator[Cell]:
    """Yield a grid of under two minutes."""
    yield from grid(MAIN, sizes=(64 * K,))
    yield from grid(MAIN, ("fresh",), sizes=(16,))
    yield from grid(("relu", "silu"), ("forward", "backward"), sizes=(16 * M,))


def full() -> Iterator[Cell]:
    """Yield the grid of the report."""
    counts = tuple(sorted({1, all_threads()}))
    both = ("forward", "backward")
    yield from grid(sizes=(64 * K, 16 * M), threads=counts)
    yield from grid(dtypes=("float64",), sizes=(64 * K, 4 * M), threads=counts)
    yield from grid(dtypes=("float16", "bfloat16", "int32"))
    yield from grid(isas=instruction_sets()[1:])
    yield from grid(MAIN, both, sizes=SIZES, threads=counts)
    yield from grid(MAIN, both, inputs=("normal3", "uniform10"))
    yield from grid(FROM_OUTPUT, ("output",), sizes=(64 * K, 16 * M))
    yield from grid(MAIN, ("fresh",), sizes=(16, 32 * M), threads=counts)
    yield from training(counts)
