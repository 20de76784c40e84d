"""What the generators share: write a file, or check that it is what would be written."""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def write_or_check(files: dict[str, str], description: str) -> int:
    """Write the files, paths relative to the root; with --check, compare and return 1 where one differs."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if a file is not current")
    check = parser.parse_args().check
    stale = False
    for name, text in files.items():
        path = ROOT / name
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if old == text:
            continue
        if check:
            stale = True
            diff = difflib.unified_diff(old.splitlines(), text.splitlines(), name, "generated", lineterm="")
            print("\n".join(diff), file=sys.stderr)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
            print(f"wrote {name}")
    if stale:
        print(f"not current: run python {sys.argv[0]} with this version installed", file=sys.stderr)
    return int(stale)
