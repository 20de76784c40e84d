"""`python -m halfwave plot`: where it finds kinks and jumps, what it draws, and what it refuses."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import halfwave as hw
import numpy as np
import pytest
from halfwave import _picture, _plot
from halfwave.verify.reference import REFERENCES

ENDINGS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    _plot.add_arguments(parser)
    return parser.parse_args(arguments)


def curves(name: str) -> _plot._Curves:
    required = {p.name: 0.75 for p in hw.functions()[name].parameters if p.default is None}
    return _plot._Curves(name, required)


def drawn(*names: str, derivatives: int = 0, limits: tuple[float, float] | None = None):
    with _picture.style():
        return _plot._draw([curves(name) for name in names], derivatives, limits, None)


def one_sided(function, x, side, step=2.0**-40):
    return float(function(np.array([x + side * step]))[0])


@pytest.mark.parametrize("name", hw.functions())
def test_jumps_are_where_the_sides_differ(name):
    """Found without being told, against the borders that the reference knows."""
    curve = curves(name)
    borders = [
        float(b)
        for b in REFERENCES[name].borders(*(curve.parameters.get(p.name, p.default) for p in curve.function.parameters))
    ]
    for function in (curve.value, curve.slope):
        jumps = _plot._jumps(function, -8.123, 8.321)
        assert all(np.nextafter(jump.left, np.inf) == jump.right for jump in jumps)
        found = sorted(jump.at for jump in jumps)
        expected = [b for b in borders if abs(one_sided(function, b, 1) - one_sided(function, b, -1)) > 1e-5]
        np.testing.assert_allclose(found, expected, rtol=1e-15)


def test_a_jump_anywhere():
    place = np.pi / 10
    (jump,) = _plot._jumps(lambda x: np.where(x < place, np.sin(x), np.sin(x) + 0.01), -3, 3)
    assert jump.left < place <= jump.right
    assert not _plot._jumps(np.sin, -3, 3)


@pytest.mark.parametrize("name", ["silu", "tanh", "elu", "hard_mish", "swiglu"])
def test_the_second_derivative(name):
    """The difference against one in the other direction of the same reference, away from kinks."""
    curve, x = curves(name), np.array([-2.7, -1.3, -0.4, 0.3, 1.1, 2.6])
    coarse = (curve.slope(x + 1e-3) - curve.slope(x - 1e-3)) / 2e-3
    np.testing.assert_allclose(curve.curvature(x), coarse, atol=1e-6)


def test_the_second_derivative_of_the_library_is_taken_where_there_is_one(monkeypatch):
    curve = curves("silu")
    curve.function = argparse.Namespace(second_derivative=lambda x: x * 0 + 42)
    assert (curve.curvature(np.zeros(3)) == 42).all()


@pytest.mark.parametrize("name", hw.functions())
def test_every_function_is_drawn(name):
    """No line crosses a jump, and no warning is raised, with both derivatives."""
    picture = drawn(name, derivatives=2)
    (ax,) = picture.axes
    low, high = ax.get_xlim()
    assert -10 < low < 0 < high < 10
    for order, function in enumerate((curves(name).value, curves(name).slope)):
        jumps = _plot._jumps(function, low, high)
        lines = [line for line in ax.lines if line.get_label() == _plot._LINES[order]["label"]]
        assert len(lines) == len(jumps) + 1
        for line in lines:
            x = line.get_xdata()
            assert not any(x[0] <= jump.left and jump.right <= x[-1] for jump in jumps)
            np.testing.assert_array_equal(line.get_ydata(), function(x))
    picture.canvas.draw()


def test_kinks_are_marked():
    def markers(ax):
        return sorted(
            (float(x), float(y), line.get_markerfacecolor() == "white")
            for line in ax.lines
            if line.get_marker() == "o"
            for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
        )

    assert markers(drawn("relu").axes[0]) == [(0, 0, False)]
    assert markers(drawn("relu", derivatives=1).axes[0]) == [(0, 0, False), (0, 1, True)]
    assert markers(drawn("hardtanh").axes[0]) == [(-1, -1, False), (1, 1, False)]
    assert markers(drawn("silu", derivatives=2).axes[0]) == []


def test_a_range_that_begins_at_a_kink():
    (ax,) = drawn("relu", derivatives=2, limits=(0.0, 2.0)).axes
    assert ax.get_xlim() == (0, 2)


@pytest.mark.parametrize("ending", ENDINGS)
def test_files(tmp_path, capsys, ending):
    """In the format that the ending says, the same bytes each time."""
    files = [tmp_path / f"{k}.{ending}" for k in (1, 2)]
    for file in files:
        _plot.run(parsed("relu", "ELU", "gelu", "prelu", "--param", "weight=0.25", "--second", "-o", str(file)))
    assert files[0].read_bytes().startswith(ENDINGS[ending])
    assert files[0].read_bytes() == files[1].read_bytes()
    assert capsys.readouterr().out.splitlines()[0] == f"wrote {files[0]}"


def test_the_command(tmp_path):
    command = [sys.executable, "-m", "halfwave", "plot", "mish", "--range", "-3", "2", "--derivative", "-o", "mish.png"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert (tmp_path / "mish.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rectifier"], "get: 'rectifier' is not a name in any library"),
        (["prelu"], "prelu needs --param weight=VALUE"),
        (["threshold"], "threshold needs --param threshold=VALUE, --param value=VALUE"),
        (["elu", "--param", "slope=1"], "no function here has a parameter 'slope'; there are: alpha"),
        (["celu", "--param", "alpha=0"], "alpha must not be 0"),
        (["relu", "--range", "1", "-1"], "the range must go from a low to a higher number"),
        (["relu", "--range", "0", "inf"], "the range must go from a low to a higher number"),
        (["relu", "--columns", "0"], "columns must be positive, got 0"),
        (["relu", "-o", "no/such/folder/a.png"], "No such file"),
        (["relu", "-o", "relu.xyz"], "Format 'xyz' is not supported"),
    ],
)
def test_what_is_refused(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=message):
        _plot.run(parsed(*arguments))
    assert not list(Path().iterdir())


def test_bad_assignments_and_missing_matplotlib(monkeypatch, capsys):
    for bad in ("alpha", "alpha=", "=1", "alpha=one"):
        with pytest.raises(SystemExit):
            parsed("elu", "--param", bad)
    assert "is not of the form KEY=VALUE" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SystemExit, match="halfwave: pictures need matplotlib: pip install"):
        _plot.run(parsed("relu"))
