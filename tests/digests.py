"""A digest of every function's results, kept in digests.json: the same on each processor, compiler and version.

`python -m tests.digests --update` writes the file anew; without the option it lists what differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from halfwave.verify.rounding import FORMATS, Format, from_ordinals, ordinals

from tests.cases import CASES, DTYPES, Case, canonical, parameter_sets

PATH = Path(__file__).with_name("digests.json")

Digests = dict[str, dict[str, dict[str, str]]]  # name, role, dtype


@cache
def load() -> Digests:
    """The digests as they are committed."""
    return json.loads(PATH.read_text()) if PATH.exists() else {}


def operands(fmt: Format, count: int) -> list[np.ndarray]:
    """Fixed inputs: integer arithmetic on bit patterns, so that no library decides what they are."""
    n = np.arange(4096, dtype=np.int64)
    last = int(ordinals(np.array([fmt.largest]), fmt)[0])
    one, span = int(ordinals(np.array([1.0]), fmt)[0]), int(ordinals(np.array([2.0]), fmt)[0])
    binade = span - one
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan]).astype(fmt.dtype)
    arrays = []
    for k in range(count):
        # A third over all exponents, two thirds between 2^-4 and 2^5, in an order of its own for each operand.
        mixed = (n * 2654435761 + 40503 * (k + 1)) % 1000003
        sign = np.where(mixed % 2 == 0, 1, -1)
        everywhere = (mixed * (last // 1000003) + mixed % 977) % last
        common = one - 4 * binade + (mixed * max(1, 9 * binade // 1000003) + mixed) % (9 * binade)
        values = from_ordinals(sign * np.where(mixed % 3 == 0, everywhere, common), fmt)
        values[: special.size] = np.roll(special, k)
        arrays.append(values)
    return arrays


def digest(case: Case, fmt: Format) -> str:
    """The digest of a ufunc's results with every set of parameters."""
    total = hashlib.sha256()
    for parameters in parameter_sets(case):
        results = case.ufunc(*operands(fmt, len(case.data)), *fmt.parameters(parameters))
        total.update(canonical(results).astype(fmt.bits.newbyteorder("<")).tobytes())
    return total.hexdigest()[:16]


def compute() -> Digests:
    """All digests of what is installed."""
    found: Digests = {}
    for case in CASES:
        by_role = found.setdefault(case.name, {})
        by_role[case.role] = {name: digest(case, FORMATS[name]) for name in DTYPES}
    return found


def _flat(digests: Digests) -> dict[tuple[str, str, str], str]:
    return {(n, r, d): v for n, roles in digests.items() for r, dtypes in roles.items() for d, v in dtypes.items()}


def main(arguments: Any = None) -> int:
    """List what differs, and update the file if asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.digests", description=__doc__)
    parser.add_argument("--update", action="store_true", help="write the digests of what is installed")
    options = parser.parse_args(arguments)
    known, found = _flat(load()), _flat(compute())
    for key in sorted(known.keys() | found.keys()):
        if known.get(key) != found.get(key):
            print(*key, "is new" if key not in known else "is gone" if key not in found else "differs")
    if options.update:
        PATH.write_text(json.dumps(compute(), indent=1) + "\n")
    return 0 if options.update or known == found else 1


if __name__ == "__main__":
    raise SystemExit(main())
