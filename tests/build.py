"""Compiles the kernels as the build does, for this processor and for ARM, in the background while other tests run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "csrc"
CROSS_COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])  # tools of pip's first


class MissingTool(Exception):
    """Something that the build needs is not installed."""


def run(*command: Any, **options: Any) -> str:
    """Run a command, and fail with all that it says if it fails."""
    environment = {**os.environ, "PATH": PATH}
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, env=environment, **options
    )
    assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


def need(*tools: str) -> None:
    """Raise MissingTool if there is one."""
    missing = [t for t in tools if shutil.which(t, path=PATH) is None]
    if missing:
        raise MissingTool(f"there is no {', '.join(missing)}")


@dataclass(frozen=True)
class Kernel:
    """How the build compiles the kernels for an instruction set."""

    instructions: str
    command: tuple[str, ...]

    def compile(self, folder: Path) -> Path:
        """Compile them, unless the folder has what these sources and this command give."""
        need(self.command[0])
        content = [p.read_text() for p in [*sorted(SOURCES.rglob("*.hpp")), SOURCES / "kernels.cpp"]]
        compiler = run(self.command[0], "--version")
        key = hashlib.sha256("\0".join([*content, compiler, *self.command]).encode()).hexdigest()[:16]
        target = folder / f"kernels_{self.instructions}_{key}.o"
        if not target.exists():
            folder.mkdir(parents=True, exist_ok=True)
            for old in folder.glob(f"kernels_{self.instructions}_*.o"):
                old.unlink()
            partial = target.with_suffix(".partial")
            run(*self.command, "-c", SOURCES / "kernels.cpp", "-o", partial)
            partial.rename(target)
        return target

    def cross(self, instructions: str) -> Kernel:
        """The same for another processor."""
        options = [o for o in self.command[1:] if not o.startswith("-DHALFWAVE_ISA=")]
        return Kernel(instructions, (CROSS_COMPILER, *options, f"-DHALFWAVE_ISA={instructions}"))


@cache
def kernels() -> dict[str, Kernel]:
    """The commands that CMake makes of CMakeLists.txt."""
    need("cmake")
    try:
        import pybind11
    except ImportError:
        raise MissingTool("there is no pybind11") from None
    generator = ["-G", "Ninja"] if shutil.which("ninja", path=PATH) else []
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        run(
            *("cmake", "-S", ROOT, "-B", folder, *generator, "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"),
            *("-DCMAKE_BUILD_TYPE=Release", f"-DPython_EXECUTABLE={sys.executable}"),
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
        )
        entries = json.loads((Path(folder) / "compile_commands.json").read_text())
    for entry in entries:
        if not entry["file"].endswith("kernels.cpp"):
            continue
        command = shlex.split(entry["command"])
        at = command.index("-o")
        kept = [c for c in command[:at] + command[at + 2 :] if c not in ("-c", entry["file"])]
        instructions = re.search(r"-DHALFWAVE_ISA=(\w+)", entry["command"])
        assert instructions is not None
        found[instructions[1]] = Kernel(instructions[1], tuple(kept))
    return found


class Compilation:
    """All objects that the tests look at; each is asked for when it is needed, and may be done by then."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1))
        self._configured = self._pool.submit(kernels)
        self._native = {i: self._start(i) for i in ("scalar", "avx2", "avx512", "neon")}
        self._cross = {i: self._start(i, cross=True) for i in ("scalar", "neon")}

    def _start(self, instructions: str, cross: bool = False) -> Future[Path | None]:
        def work() -> Path | None:
            if cross:
                return self._configured.result()["scalar"].cross(instructions).compile(self._folder / "aarch64")
            kernel = self._configured.result().get(instructions)
            return kernel and kernel.compile(self._folder)

        return self._pool.submit(work)

    def native(self) -> dict[str, Path]:
        """The objects of this processor's instruction sets."""
        return {i: path for i, f in self._native.items() if (path := f.result())}

    def cross(self) -> list[Path]:
        """ARM's objects: with its vectors, and with none."""
        return [path for f in self._cross.values() if (path := f.result())]

    def stop(self) -> None:
        """Start nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def start(config: pytest.Config) -> None:
    """Begin to compile; the objects stay in pytest's cache for the next run."""
    cache = getattr(config, "cache", None)
    config.stash[_KEY] = Compilation(cache.mkdir("halfwave-kernels") if cache else Path(tempfile.mkdtemp()))


def stop(config: pytest.Config) -> None:
    """End it with the tests."""
    if _KEY in config.stash:
        config.stash[_KEY].stop()


def of(config: pytest.Config) -> Compilation:
    """What has been started."""
    return config.stash[_KEY]


_KEY = pytest.StashKey[Compilation]()
