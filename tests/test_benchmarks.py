import json
import os
import re
import subprocess
import sys
import threading
from multiprocessing import Pipe
from pathlib import Path

import halfwave as hw
import numpy as np
import pytest

from benchmarks import cells, formulas, report
from benchmarks.cells import Cell
from benchmarks.data import NUMPY_NAMES, data_of
from benchmarks.measure import statistics
from benchmarks.results import Results
from benchmarks.worker import environment, serve

ROOT = Path(__file__).parent.parent
SELECTION = ["--functions", "relu", "silu", "--directions", "forward", "backward", "--sizes", "64", "--peers", "numpy"]
EFFORT = ["--rounds", "2", "--seconds", "0.0001"]


def run(*options: str) -> str:
    """Run the command and return what it prints."""
    command = [sys.executable, "-m", "benchmarks", *SELECTION, *EFFORT, *options]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_measures_writes_and_resumes(tmp_path: Path) -> None:
    output, markdown = tmp_path / "results.json", tmp_path / "tables.md"
    printed = run("--output", str(output), "--markdown", str(markdown))
    columns = r"( [\d.]+ [nµm]s \| [\d.]+ [nµm]s NumPy \| \**[\d.]+\** \|){2}"
    assert re.search(rf"^\| relu \|{columns}$", printed, re.MULTILINE)
    assert markdown.read_text(encoding="utf-8") in printed + "\n"

    content = json.loads(output.read_text(encoding="utf-8"))
    assert {"processor", "caches", "versions", "date"} <= content["machine"].keys()
    found = content["cells"]["forward/silu/normal/64/float32/1/native"]
    assert found["halfwave"]["code"] == "f(x, out=out)"
    for peer in ("halfwave", "numpy"):
        assert 0 < found[peer]["min"] <= found[peer]["q1"] <= found[peer]["median"] <= found[peer]["q3"]
        assert "differs" not in found[peer]

    del content["cells"]["backward/relu/normal/64/float32/1/native"]
    content["cells"]["forward/silu/normal/64/float32/1/native"]["halfwave"]["min"] = 0.0
    output.write_text(json.dumps(content), encoding="utf-8")
    run("--output", str(output))
    resumed = json.loads(output.read_text(encoding="utf-8"))["cells"]
    assert "backward/relu/normal/64/float32/1/native" in resumed
    assert resumed["forward/silu/normal/64/float32/1/native"]["halfwave"]["min"] == 0.0


def test_keys_are_read_back() -> None:
    full = cells.with_limits(cells.full())
    assert [Cell.from_key(c.key) for c in full] == full
    assert len({c.key for c in full}) == len(full)


@pytest.mark.parametrize("name", [n for n, f in formulas.FORMULAS.items() if "erf(" not in f.forward])
def test_derivatives_are_those_of_the_formulas(name: str) -> None:
    def value(text: str, **names: np.ndarray) -> np.ndarray:
        return np.asarray(eval(text, NUMPY_NAMES | names)) + np.zeros_like(x)

    x = np.linspace(-5.01, 5.02, 301)
    formula, h = formulas.FORMULAS[name], 1e-6
    slope = (value(formula.forward, x=x + h) - value(formula.forward, x=x - h)) / (2 * h)
    np.testing.assert_allclose(value(formula.derivative, x=x), slope, rtol=1e-5, atol=1e-6)
    if formula.from_output:
        y = value(formula.forward, x=x)
        np.testing.assert_allclose(value(formula.from_output, y=y), slope, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [n for n, f in formulas.GATED.items() if "erf(" not in f.forward])
def test_derivatives_of_gated_units_are_those_of_the_formulas(name: str) -> None:
    gate, up = (a.ravel() for a in np.meshgrid(np.linspace(-8.01, 8.02, 41), np.linspace(-8.03, 8.04, 41)))
    formula, h = formulas.GATED[name], 1e-6

    def value(text: str, gate: np.ndarray, up: np.ndarray) -> np.ndarray:
        return np.asarray(eval(text, NUMPY_NAMES | {"gate": gate, "up": up})) + np.zeros_like(gate)

    in_gate = (value(formula.forward, gate + h, up) - value(formula.forward, gate - h, up)) / (2 * h)
    in_up = (value(formula.forward, gate, up + h) - value(formula.forward, gate, up - h)) / (2 * h)
    np.testing.assert_allclose(value(formula.gate, gate, up), in_gate, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(value(formula.up, gate, up), in_up, rtol=1e-5, atol=1e-6)


def test_every_gated_unit_is_measured() -> None:
    gated = {name for name, function in hw.functions().items() if function.packed}
    assert gated == formulas.GATED.keys()
    assert gated <= set(cells.ACTIVATIONS)


@pytest.mark.filterwarnings("default")
def test_a_failure_is_told_in_one_line_and_names_no_file() -> None:
    """It goes into the results, and they are published: no place on the machine that measured belongs there."""
    ours, theirs = Pipe()
    thread = threading.Thread(target=serve, args=(theirs, "numpy", 1, cells.NATIVE, None))
    thread.start()
    ours.send(("prepare", ("no cell",)))
    status, why = ours.recv()
    ours.close()
    thread.join(timeout=60)
    assert status == "failed"
    assert why.startswith("AttributeError: ")
    assert "\n" not in why
    assert "/" not in why


def test_committed_results_name_no_file() -> None:
    for path in (report.ROOT / "benchmarks/results").glob("*.json"):
        for key, found in json.loads(path.read_text())["cells"].items():
            for peer, result in found.items():
                assert "\n" not in result.get("unsupported", ""), (key, peer)
                assert "/" not in result.get("unsupported", ""), (key, peer)


@pytest.mark.parametrize("name", [n for n in cells.ACTIVATIONS if cells.has_dtype(n, "int32", "forward")])
def test_cells_of_integers_have_parameters_that_integers_take(name: str) -> None:
    cell = Cell(cells.NATIVE, 1, "int32", 64, "normal", name, "forward")
    hw.functions()[name](data_of(cell).operands["x"], *formulas.REQUIRED.get(name, ()))


def fake(ours: float, numpy: float, torch: float) -> dict[str, dict[str, float]]:
    return {p: statistics([t] * 3) for p, t in (("halfwave", ours), ("numpy", numpy), ("torch", torch))}


def test_the_report_names_the_best_other_and_lists_what_is_slower() -> None:
    cell = Cell("native", 1, "float32", 65536, "normal", "relu", "forward")
    slower = Cell("native", 1, "float32", 65536, "normal", "silu", "forward")
    machine = {
        **{"processor": "P", "processors": 1, "caches": {}, "memory": "1 GiB", "system": "S", "virtual": False},
        **{"instruction_set": "scalar", "date": "D", "versions": {"halfwave": "0", "numpy": "1", "torch": "2"}},
    }
    results = Results(machine, {cell.key: fake(1e-5, 3e-5, 2e-5), slower.key: fake(2e-5, 4e-5, 1e-5)})
    page = report.document(results, [])
    assert "| relu | 6.55 | 3.28 PyTorch | 2.00 |" in page
    assert "| silu | forward | float32 | 64 k | N(0, 1) | 1 |  | PyTorch | 0.50 |" in page
    assert "1 of 2 | 0.50 | 1.00 | 2.0 |" in page
    results.cells[slower.key]["torch"]["differs"] = True
    assert report.below(results) == []
    section = report.replace_section("<!-- speed, x -->\nold\n<!-- end -->", "speed", report.readme_section(results))
    assert "old" not in section
    assert "**0.50**" not in section


LOOP = """
import numba, numpy as np

@numba.njit
def double(x, out):
    for i in range(x.size):
        out[i] = x[i] + x[i]

x = np.zeros(64, np.float32)
double(x, x.copy())
print(*double.inspect_asm().values())
"""


@pytest.mark.skipif("avx2" not in hw.instruction_sets(), reason="needs AVX2")
def test_numba_is_held_to_avx2() -> None:
    pytest.importorskip("numba")
    command = [sys.executable, "-c", LOOP]
    held = os.environ | environment(1, "avx2")
    done = subprocess.run(command, env=held, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "%ymm" in done.stdout
    assert "%zmm" not in done.stdout
