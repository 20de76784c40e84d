"""What the numbers were measured on and with."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import halfwave as hw
from halfwave import _core

from .cells import all_threads


def processor() -> str:
    """Return the processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def caches() -> dict[str, str]:
    """Return the sizes of the first processor's caches, as Linux tells them."""
    sizes = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind = (index / "type").read_text().strip()
        if kind != "Instruction":
            kibibytes = int((index / "size").read_text().strip().removesuffix("K"))
            text = f"{kibibytes / 1024:g} MiB" if kibibytes >= 1024 else f"{kibibytes} KiB"
            sizes[f"L{(index / 'level').read_text().strip()}"] = text
    return sizes


def memory() -> str:
    """Return the size of the memory."""
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (AttributeError, ValueError):
        return "unknown"


def virtual() -> bool:
    """Whether this runs under a hypervisor, as far as Linux tells."""
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and "hypervisor" in cpuinfo.read_text()


def build() -> str:
    """Return a digest of halfwave's compiled part, so that results of two builds are not mixed."""
    assert _core.__file__ is not None
    return hashlib.sha256(Path(_core.__file__).read_bytes()).hexdigest()[:12]


def versions(peers: list[str]) -> dict[str, str]:
    """Return the versions of what is installed."""
    found = {"python": platform.python_version(), "halfwave": hw.__version__, "build": build()}
    for peer in peers:
        try:
            found.setdefault(peer, importlib.metadata.version(peer))
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def describe(peers: list[str]) -> dict[str, Any]:
    """Return the machine, the versions and the date."""
    return {
        "processor": processor(),
        "virtual": virtual(),
        "processors": all_threads(),
        "caches": caches(),
        "memory": memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "instruction_set": hw.instruction_set(),
        "versions": versions(peers),
        "date": datetime.date.today().isoformat(),
    }


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether results of both may stand in one table."""
    keys = ("processor", "processors", "system", "instruction_set", "versions")
    return all(one.get(k) == other.get(k) for k in keys)
