"""`python -m halfwave`: what is installed here."""

from __future__ import annotations

from . import __version__, functions, instruction_set, instruction_sets


def main() -> None:
    """Print the version, the instruction sets, the threads and the functions."""
    names = list(functions())
    print(f"halfwave         {__version__}")
    print(f"instruction set  {instruction_set()} (available: {', '.join(instruction_sets())})")
    print("threads          1")
    print(f"functions        {len(names)}: {', '.join(names)}")


if __name__ == "__main__":
    main()
