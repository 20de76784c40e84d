"""Compiles in the background what the tests of the build look at, and runs those tests last."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from halfwave import _core

from tests import build
from tests.cases import direct_calls

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


@pytest.fixture(scope="session", autouse=True)
def _wake_threads() -> None:
    """Let all threads take part, even where a call would be done before they are awake."""
    _core.set_worth_waking(0)


@pytest.fixture(params=[True, False], ids=["direct", "through NumPy"])
def both_ways(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run a test with the calls that bypass NumPy's machinery, and without."""
    with direct_calls(request.param):
        yield
