"""What is compiled: kernels that leak nothing into the linker, and NEON's, whose bits are those of this processor."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import halfwave as hw
import numpy as np
import pytest
from halfwave.verify.rounding import FORMATS, Format

from tests import build, digests, floating_point
from tests.build import need, run
from tests.cases import CASES, Case, canonical, defaults, parameter_sets

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="ELF objects and GNU tools are Linux's")


@contextmanager
def skipping_without_tools() -> Iterator[None]:
    """Skip, or fail where NEON must not go untested, if a tool is missing."""
    try:
        yield
    except build.MissingTool as missing:
        if os.environ.get("HALFWAVE_REQUIRE_NEON") == "1":
            pytest.fail(f"HALFWAVE_REQUIRE_NEON is set, and {missing}")
        pytest.skip(str(missing))


# ---- Symbols ---------------------------------------------------------------------------------------------------------

# What a compiler may always call, and the fused operations of processors without them, which are exact.
MAY_BE_CALLED = {"memcpy", "memset", "memmove", "fma", "fmaf", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}


def check_symbols(path: Path, instructions: str) -> None:
    """The table is all that the linker sees; a weak function could replace the one of a lesser processor."""
    defined = run("nm", "--defined-only", "--extern-only", "--format=posix", path).splitlines()
    names = [line.split()[0] for line in defined]
    assert len(names) == 1, defined
    assert re.fullmatch(rf"_ZN8halfwave\d+instruction_set_{instructions}E", names[0])
    assert defined[0].split()[1] in "DR"
    undefined = {line.split()[0] for line in run("nm", "--undefined-only", "--format=posix", path).splitlines()}
    assert undefined <= MAY_BE_CALLED
    sections = run("objdump", "-h", path)
    assert ".init_array" not in sections, "a static initialiser would run on every processor"
    assert ".ctors" not in sections


@on_linux
def test_kernels_show_the_linker_one_symbol(request: pytest.FixtureRequest) -> None:
    """Each instruction set's table, with no function of the standard library beside it."""
    with skipping_without_tools():
        need("nm", "objdump")
        objects = build.of(request.config).native()
    assert set(hw.instruction_sets()) <= set(objects)
    for instructions, path in objects.items():
        check_symbols(path, instructions)


@on_linux
def test_module_exports_what_is_looked_for_only() -> None:
    """Python looks for the initialiser, threadpoolctl for two functions; nothing else can meet another library's."""
    with skipping_without_tools():
        need("nm")
    defined = [
        line.split() for line in run("nm", "-D", "--defined-only", "--format=posix", hw._core.__file__).splitlines()
    ]
    # The compiler describes standard types for everybody to see; any library's description will do.
    standard = [name for name, kind, *_ in defined if kind in "VW" or name.startswith(("_ZTI", "_ZTS"))]
    assert not any("halfwave" in name for name in standard)
    threads = {"halfwave_get_num_threads", "halfwave_set_num_threads"}
    assert {name for name, *_ in defined} - set(standard) == {"PyInit__core", *threads}


# ---- NEON ------------------------------------------------------------------------------------------------------------

SAMPLE = 700


@cache
def sampled(fmt: Format, count: int) -> list[np.ndarray]:
    """Operands that are everywhere the same; few enough for an emulator."""
    return [a[::5][:SAMPLE].copy() for a in digests.operands(fmt, count)]


@dataclass(frozen=True)
class Job:
    """An operation, its operands, and what this processor makes of them."""

    name: str
    role: str
    index: int
    dtype: str
    operands: list[np.ndarray]
    expected: list[np.ndarray]

    def request(self, instructions: str) -> bytes:
        """What the runner reads."""
        line = f"{instructions} {self.role} {self.dtype} {self.index} {self.operands[0].size}\n"
        return line.encode() + b"".join(a.tobytes() for a in self.operands)


def ufunc_jobs(case: Case, fmt: Format) -> list[Job]:
    """Each ufunc with its default parameters and with two other sets."""
    jobs = []
    for parameters in parameter_sets(case)[:3]:
        data = sampled(fmt, len(case.data))
        full = [np.full(data[0].size, p, fmt.computed) for p in parameters]
        jobs.append(Job(case.name, case.role, _index(case.name), fmt.name, [*data, *full], [case.ufunc(*data, *full)]))
    return jobs


def term_jobs(name: str, fmt: Format) -> list[Job]:
    """The terms of parameter gradients: sums of one."""
    function = hw.functions()[name]
    data = sampled(fmt, 2)
    full = [np.full(data[0].size, p, fmt.computed) for p in defaults(function, name)]
    terms = function.parameter_backward(*data, *full)
    return [Job(name, "parameter_terms", _index(name), fmt.name, [*data, *full], list(terms))]


def mask_jobs(name: str, fmt: Format) -> list[Job]:
    """Both passes with a mask, with the default parameters."""
    function = hw.functions()[name]
    x, g = sampled(fmt, 2)
    given = [np.array([p.default], fmt.computed) for p in function.parameters]
    y, mask = function.with_mask(x)
    dx = function.backward_from_mask(g, mask)
    return [
        Job(name, "with_mask", _index(name), fmt.name, [x, *given], [y, mask]),
        Job(name, "backward_from_mask", _index(name), fmt.name, [g, mask, *given], [dx]),
    ]


def integer_jobs(case: Case) -> list[Job]:
    """Each function that keeps integers, with each of their dtypes, bounds inside of their range and outside."""
    jobs = []
    for dtype in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"):
        info = np.iinfo(dtype)
        x = np.array([0, 1, 2, 3, 5, 6, 7, 100, info.max, info.max - 1, info.min, info.min + 1] * 9, dtype)
        for first in (0, 3, -(2**40), 2**40):
            # All ascending, as those of hardtanh are; a value that is stored has to fit.
            given = [5 if p.name == "value" else first + k for k, p in enumerate(case.ufunc.parameters)]
            bounds = [np.full(x.size, b, np.int64) for b in given]
            jobs.append(Job(case.name, case.role, _index(case.name), dtype, [x, *bounds], [case.ufunc(x, *bounds)]))
    return jobs


def _index(name: str) -> int:
    return next(e["index"] for e in hw._core.catalogue if e["name"] == name)


def all_jobs() -> list[Job]:
    """Every function, role and dtype."""
    formats = [FORMATS[d] for d in ("float16", "bfloat16", "float32", "float64")]
    jobs = [job for case in CASES for fmt in formats for job in ufunc_jobs(case, fmt)]
    summed = [n for n, f in hw.functions().items() if f.parameter_backward]
    keeping = [case for case in CASES if case.role == "forward" and case.reference.keeps_integers]
    jobs += [job for case in keeping for job in integer_jobs(case)]
    masked = [n for n, f in hw.functions().items() if f.with_mask]
    jobs += [job for name in masked for fmt in formats for job in mask_jobs(name, fmt)]
    return jobs + [job for name in summed for fmt in formats[2:] for job in term_jobs(name, fmt)]


def runner(objects: list[Path], target: Path) -> Path:
    """The program that runs the kernels on an ARM."""
    source = Path(__file__).parent / "neon" / "runner.cpp"
    options = ("-std=c++20", "-O1", "-static", f"-I{build.SOURCES}")
    run(build.CROSS_COMPILER, *options, source, *objects, "-o", target)
    return target


@on_linux
def test_neon_gives_the_same_bits(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Every function on ARM's vectors, and on its scalars, against what this processor computes.

    What is installed here must have been built from these sources.
    """
    if "neon" in hw.instruction_sets():
        pytest.skip("this processor has NEON, and the other tests have used it")
    with skipping_without_tools():
        need(build.CROSS_COMPILER, build.EMULATOR)
        program = runner(build.of(request.config).cross(), tmp_path / "runner")
    jobs = all_jobs()
    for instructions in ("neon", "scalar"):
        (tmp_path / "jobs").write_bytes(b"".join(job.request(instructions) for job in jobs))
        run(build.EMULATOR, program, tmp_path / "jobs", tmp_path / "results")
        results = memoryview((tmp_path / "results").read_bytes())
        for job in jobs:
            for layout in ("contiguous", "strided"):
                for expected in job.expected:
                    found = np.frombuffer(results[: expected.nbytes], expected.dtype)
                    if job.role == "parameter_terms":
                        found = found + 0  # as a sum of one has no -0
                    results = results[expected.nbytes :]
                    wrong = np.flatnonzero(canonical(found) != canonical(expected))
                    assert wrong.size == 0, (
                        f"{job.name} {job.role} {job.dtype} {instructions} {layout}: {wrong.size} differ, e.g. at "
                        f"{[v[wrong[0]] for v in job.operands]}: {found[wrong[0]]!r}, here {expected[wrong[0]]!r}"
                    )
        assert len(results) == 0


# ---- The import ------------------------------------------------------------------------------------------------------


def test_import_needs_numpy_only() -> None:
    """And Python's own library."""
    code = "import sys, numpy; before = set(sys.modules); import halfwave; print(*set(sys.modules) - before)"
    imported = {name.split(".")[0] for name in run(sys.executable, "-c", code).split()}
    assert imported <= {"halfwave", *sys.stdlib_module_names}


@floating_point.needs_mxcsr
def test_import_leaves_the_floating_point_environment_alone() -> None:
    """A library that was linked with -ffast-math would flush subnormals from its import on."""
    code = (
        "from tests.floating_point import _environment as state; import numpy; before = state(); import halfwave; "
        "assert state()[-1] & ~0x3f == before[-1] & ~0x3f"
    )
    run(sys.executable, "-c", code, cwd=build.ROOT)


def test_module_says_what_it_is() -> None:
    """`python -m halfwave`: the version, the instruction sets and all functions."""
    said = run(sys.executable, "-m", "halfwave")
    for word in (hw.__version__, hw.instruction_set(), *hw.instruction_sets(), *hw.functions()):
        assert word in said
