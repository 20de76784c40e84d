"""Compiles in the background what the tests of the build look at, and runs those tests last."""

from __future__ import annotations

import pytest

from tests import build

_LAST = "test_build.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """By the time of these tests their objects are there."""
    items.sort(key=lambda item: item.path.name == _LAST)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Compile only what will be looked at."""
    if not session.config.option.collectonly and any(item.path.name == _LAST for item in session.items):
        build.start(session.config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Do not wait for what nobody will look at."""
    build.stop(config)
