"""`python -m halfwave verify`: it finds what is wrong, can be interrupted, and says what it cannot do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import halfwave as hw
import numpy as np
import pytest
from halfwave.__main__ import main
from halfwave.verify import cases, rows, session
from halfwave.verify.cases import Case
from halfwave.verify.erfc import erfc
from halfwave.verify.exact import MP
from halfwave.verify.measure import Measurement, measure
from halfwave.verify.rounding import FORMATS, distance, error, exact_error, unit
from halfwave.verify.rows import Row, measure_task, numbers
from halfwave.verify.samples import near, spread

FLOAT32, FLOAT64 = FORMATS["float32"], FORMATS["float64"]
NARROW = ("--exhaustive", "--between", "-1.28", "-1.27", "--jobs", "1")  # around the root of silu's derivative


def verify(*arguments: Any) -> int:
    """Run the command in this process."""
    return main(["verify", *map(str, arguments)])


def entries(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON table."""
    return json.loads(path.read_text())["rows"]


def altered(monkeypatch: pytest.MonkeyPatch, name: str, alter: Any) -> None:
    """Let `verify` find a function whose forward results are altered."""

    def wrong(x: Any, *rest: Any) -> Any:
        return alter(hw.functions()[name](x, *rest))

    forward = hw.functions()[name]
    case = Case(name, "forward", SimpleNamespace(error_bound=forward.error_bound, parameters=forward.parameters))
    object.__setattr__(case, "ufunc", AsUfunc(wrong, forward))
    for module in (cases, rows, session):
        monkeypatch.setattr(module, "cases", lambda: (case,))


class AsUfunc:
    """A function with the attributes of a ufunc."""

    def __init__(self, function: Any, model: Any) -> None:
        self._function = function
        self.error_bound, self.parameters, self.__signature__ = model.error_bound, model.parameters, model.__signature__

    def __call__(self, *operands: Any) -> Any:
        """Call it."""
        return self._function(*operands)


# ---- What it finds ---------------------------------------------------------------------------------------------------


def test_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    """A sample of a function in every dtype and direction, with the place of each maximum."""
    assert verify("silu", "--jobs", 1) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert len(lines) == 3 * len(cases.DTYPES)
    assert all("0x" in line and "EXCEEDS" not in line for line in lines)


def test_exceeded_bound(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 1, and the row says so."""
    monkeypatch.setitem(hw.silu.error_bound, "float32", 0.75)
    assert verify("silu", "--dtype", "float32", "--role", "forward", "--jobs", 1) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1].endswith("EXCEEDS THE BOUND")
    assert "silu in float32 exceeds its bound of 0.75 ULP" in captured.err


@pytest.mark.parametrize("at", [-1.2750000953674316, -1.27, -1.28])
def test_one_wrong_result_among_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, at: float) -> None:
    """The exhaustive form finds the single input at which a result is three units off."""
    x0 = np.float32(at)

    def alter(y: Any) -> Any:
        y = y.copy()
        at_x0 = y == hw.silu(x0)
        y[at_x0] += 3 * np.spacing(np.abs(y[at_x0]))
        return y

    altered(monkeypatch, "silu", alter)
    path = tmp_path / "table.json"
    assert verify("silu", *NARROW, "--json", path) == 1
    (entry,) = entries(path)
    assert entry["exceeds"]
    assert 2 < entry["maximum"] < 5  # what was there before may be two units off
    assert hw.silu(np.float32(float.fromhex(entry["at"][0]))) == hw.silu(x0)


def test_lost_nan_and_wrong_infinity(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not finite is looked at too."""
    altered(monkeypatch, "silu", np.nan_to_num)
    last = (1 << 32) // rows.TASK // 2 - 1
    found = measure_task(Row("silu", "forward", "float32", (), exhaustive=True), last)
    assert np.isnan(found.at[0])
    assert found.maximum == np.inf
    assert found.wrong >= (1 << 23) - 1


def test_float16_must_be_correctly_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result next to the right one is wrong, even if it is within a unit."""
    altered(monkeypatch, "silu", lambda y: np.where(y == np.float16(0.5), np.nextafter(y, y.dtype.type(1)), y))
    assert verify("silu", "--dtype", "float16", "--jobs", 1) == 1


@pytest.mark.parametrize(("role", "up"), [("forward", None), ("backward", None)])
def test_blocks_agree_with_one_measurement(role: str, up: float | None) -> None:
    """The sweep over consecutive numbers finds what a single array shows, near a root too."""
    low, high = -1.28, -1.2775
    row = Row("silu", role, "float32", (), up, (low, high), True)
    (task,) = row.tasks()
    found = measure_task(row, task)
    x = numbers(FLOAT32, task * rows.TASK, rows.TASK)
    x = x[(x >= low) & (x <= high)]
    alone = measure(row.case, FLOAT32, (x,), ())
    assert (found.count, found.wrong, found.at) == (alone.count, alone.wrong, alone.at)
    assert found.maximum == pytest.approx(alone.maximum)
    assert found.total == pytest.approx(alone.total, rel=1e-6)


def test_outputs_outside_of_the_range_do_not_count() -> None:
    """The derivative from the output is measured where there are outputs."""
    row = Row("sigmoid", "backward_from_output", "float16", ())
    assert measure_task(row, 0).count == np.float16(1).view(np.uint16) + 2  # up to 1, and both zeros
    assert max(Row("sigmoid", "backward_from_output", "float32", (), exhaustive=True).tasks()) == 128  # that of -0.0


# ---- Interrupting it -------------------------------------------------------------------------------------------------


def test_resumed_run_equals_an_uninterrupted_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After Ctrl-C only what is left is done, and the table is the same."""
    monkeypatch.setattr(rows, "TASK", 1 << 20)
    wide = ("--exhaustive", "--between", "-1.5", "-1", "--jobs", "1")
    whole, resumed = tmp_path / "whole.json", tmp_path / "resumed.json"
    assert verify("silu", *wide, "--json", whole) == 0
    assert not whole.with_name("whole.json.state").exists()

    done = []

    def counted(row: Row, task: int) -> Measurement:
        done.append(task)
        if len(done) == 3:
            raise KeyboardInterrupt
        return measure_task(row, task)

    monkeypatch.setattr(session, "measure_task", counted)
    assert verify("silu", *wide, "--json", resumed) == 130
    state = resumed.with_name("resumed.json.state")
    assert str(state) in capsys.readouterr().err
    assert len(state.read_text().splitlines()) == 3  # the build, and two tasks
    with state.open("a") as file:
        file.write('["cut of')
    assert verify("silu", *wide, "--json", resumed) == 0
    roles, tasks = 3, 5  # four of 2^20 numbers, and that which begins with -1.5
    assert len(done) == 3 + roles * tasks - 2
    assert entries(resumed) == entries(whole)


def test_processes_find_the_same(tmp_path: Path) -> None:
    """One process or two."""
    for jobs in (1, 2):
        verify("relu", "silu", "--dtype", "float16", "--jobs", jobs, "--json", tmp_path / f"{jobs}.json")
    assert entries(tmp_path / "1.json") == entries(tmp_path / "2.json")


def test_state_of_another_build(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is refused, not mixed in."""
    state = tmp_path / "state"
    state.write_text('{"library": "other"}\n')
    assert verify("silu", *NARROW, "--state", state) == 2
    assert "another build" in capsys.readouterr().err


def test_json_keeps_other_rows(tmp_path: Path) -> None:
    """Of the same build; a row that is measured again replaces the old one."""
    path = tmp_path / "table.json"
    for name in ("relu", "silu", "relu"):
        assert verify(name, "--dtype", "float16", "--role", "forward", "--jobs", 1, "--json", path) == 0
    assert [e["name"] for e in entries(path)] == ["silu", "relu"]


# ---- What it refuses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sillu"], "unknown name sillu; known: relu"),
        (["silu", "--dtype", "float8"], "unknown dtype float8; known: float16"),
        (["silu", "--role", "sideways"], "unknown role sideways; known: forward"),
        (["silu", "--role", "backward_from_output"], "silu: there is no backward_from_output"),
        (["silu", "--isa", "sse9"], "unknown instruction set sse9; known: "),
        (["silu", "--exhaustive", "--dtype", "float64"], "too many numbers"),
        (["silu", "--between", "0", "1"], "--between is for --exhaustive"),
        (["silu", "--exhaustive", "--between", "1", "0"], "LOW <= HIGH"),
        (["silu", "--jobs", "0"], "at least 1"),
        (["silu", "--parameters", "1"], "silu has none"),
        (["celu", "--parameters", "0", "--role", "forward"], "alpha"),
        (["elu", "--parameters", "-1", "--role", "backward_from_output"], "alpha must be >= 0"),
    ],
)
def test_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is said in one line, with status 2."""
    assert verify(*arguments) == 2
    assert message in capsys.readouterr().err


def test_without_mpmath() -> None:
    """Importing the package needs none of it; the command says what to install."""
    program = (
        "import sys; sys.modules['mpmath'] = None\n"
        "import halfwave; assert not [m for m in sys.modules if m.startswith(('halfwave.verify', 'tqdm'))]\n"
        "from halfwave.__main__ import main; sys.exit(main(['verify', 'relu']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert 'pip install "halfwave[verify]"' in done.stderr


# ---- What it stands on -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.longdouble])
def test_erfc(dtype: Any) -> None:
    """To 1e-13 over the whole tail in float64; the wider type is at least as good."""
    x = np.concatenate([np.linspace(-7, 26, 700), np.geomspace(1e-300, 1, 50)]).astype(dtype)
    for at, value in zip(x, erfc(x), strict=True):
        assert abs(MP.mpf(float(value)) / MP.erfc(MP.mpf(float(at))) - 1) < 1e-13
    np.testing.assert_array_equal(erfc(np.array([np.inf, -np.inf, 30, -30, np.nan])), [0, 2, 0, 2, np.nan])


@pytest.mark.parametrize("name", ["float16", "float32"])
def test_fast_distance_is_the_exact_error(name: str) -> None:
    """In every binade, beside powers of two, among subnormal numbers and beyond the largest."""
    fmt = FORMATS[name]
    rng = np.random.default_rng(3)
    results = np.concatenate([spread(fmt, 300), near(2.0 ** np.arange(fmt.minimum, fmt.maximum, 7), fmt, 1)])
    exact = results.astype(np.float64) * (1 + rng.normal(size=results.size) * 2.0**-fmt.precision)
    for found in (distance(results, exact, fmt), error(results, exact, fmt)):
        for i in np.flatnonzero(np.abs(exact) < fmt.infinity):
            assert found[i] == pytest.approx(exact_error(results[i], MP.mpf(exact[i]), fmt), rel=1e-6, abs=1e-9)
    overflow = error(np.array([np.inf, fmt.largest, np.nan], fmt.dtype), np.array([fmt.infinity * 4.0] * 3), fmt)
    np.testing.assert_array_equal(overflow, [0, 1, np.inf])
    assert unit(np.array([0.0]), fmt) == fmt.smallest
