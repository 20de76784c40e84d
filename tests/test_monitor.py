"""The monitor: its numbers against those of all data at once, merging, flags, the report, the picture and bad input."""

from __future__ import annotations

import copy
import json
import math
import pickle
import subprocess
import sys

import halfwave as hw
import numpy as np
import pytest
from halfwave.monitor import Monitor

from tests.cases import defaults, instruction_set

POINTWISE = [name for name, function in hw.functions().items() if function.backward_gate is None]


def normal(*shape: int, seed: int = 0, scale: float = 1, dtype: type = np.float32) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(dtype)


def fed(x: np.ndarray, name: str = "relu", *parameters: float, batches: int = 1, **settings: float) -> Monitor:
    """A monitor that has seen x in so many batches."""
    watch = Monitor(**settings)
    for part in np.array_split(x, batches):
        watch.forward("layer", name, part, None, *parameters)
    return watch


# ---- The numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", POINTWISE)
def test_the_definitions_hold_for_every_activation(name):
    parameters = defaults(hw.functions()[name], name)
    x = normal(701, 13, scale=6) - np.arange(13, dtype=np.float32)
    y = hw.functions()[name](x, *parameters)
    derivative = hw.functions()[name].backward(np.ones_like(x), x, *parameters)
    seen = fed(x, name, *parameters, batches=3).layers["layer"]
    assert (seen.activation, seen.units, seen.examples) == (name, 13, 701)
    np.testing.assert_array_equal(seen.firing_rate, (derivative != 0).mean(axis=0))
    np.testing.assert_array_equal(seen.dead, (derivative == 0).all(axis=0))
    np.testing.assert_allclose(seen.saturation, (np.abs(derivative) <= np.float32(1e-3)).mean(axis=0), rtol=1e-15)
    assert seen.sparsity == (y == 0).mean()
    np.testing.assert_allclose(seen.mean, y.astype(float).mean(axis=0), rtol=2e-6, atol=2e-6 * np.abs(y).max())
    np.testing.assert_allclose(seen.variance, y.astype(float).var(axis=0), rtol=1e-5, atol=1e-12)


def test_what_is_dead_and_what_is_only_saturated():
    """As docs/training.md says: ReLU can die, its leaky form cannot, a sigmoid saturates."""
    x = np.full((5, 3), [-20, 1, 20], np.float32)
    by_name = {name: fed(x, name).layers["layer"] for name in ("relu", "leaky_relu", "sigmoid", "relu6", "gelu")}
    assert by_name["relu"].dead.tolist() == [True, False, False]
    assert by_name["relu6"].dead.tolist() == [True, False, True]
    assert not by_name["leaky_relu"].dead.any()
    assert not by_name["leaky_relu"].saturation.any()
    assert not by_name["sigmoid"].dead.any()
    assert by_name["sigmoid"].saturation.tolist() == [1, 0, 1]
    assert by_name["gelu"].saturation.tolist() == [1, 0, 0]


def test_the_mean_of_large_values_with_a_small_spread():
    """The sum of squares would lose all of it."""
    x = normal(4000, 3, scale=1e-3, dtype=np.float64) + 1e8
    seen = fed(x, "identity", batches=40).layers["layer"]
    np.testing.assert_allclose(seen.variance, x.var(axis=0), rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes(dtype):
    x = normal(300, 4, dtype=dtype)
    seen = fed(x, "tanh").layers["layer"]
    np.testing.assert_allclose(seen.mean, np.tanh(x.astype(float)).mean(axis=0), atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (3, 63), (300, 64), (255, 65), (256, 130), (1000, 7)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_counts_and_moments_are_numpys(shape, dtype):
    """In one pass, for any number of examples and units, the same on every instruction set."""
    x = normal(*shape, dtype=dtype)
    x[::3] = np.abs(x[::3])
    y = hw.relu(x)
    seen = {}
    for name in hw.instruction_sets():
        with instruction_set(name):
            watch = Monitor(saturation=0.5)
            watch.forward("layer", "silu", x, y)
        layer = seen[name] = watch.layers["layer"]
        derivative = hw.silu_backward(np.ones_like(x), x)
        assert np.array_equal(layer.passed, [(derivative != 0).sum(axis=0), (abs(derivative) > 0.5).sum(axis=0)])
        assert layer.zeros == (y == 0).sum()
        np.testing.assert_allclose(layer.mean, y.astype(float).mean(axis=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(layer.variance, y.astype(float).var(axis=0), rtol=1e-4, atol=1e-9)
    first, *others = seen.values()
    for other in others:
        assert np.array_equal(first.mean, other.mean)
        assert np.array_equal(first.squares, other.squares)


@pytest.mark.parametrize("y_dtype", [np.float16, np.float32, ">f4", np.float64])
def test_outputs_of_another_dtype_or_layout(y_dtype):
    """Strided, byte-swapped, narrower and wider ones."""
    x = normal(50, 9, dtype=np.float32)
    y = np.asfortranarray(np.tanh(x).astype(y_dtype))
    expected = fed(x, "tanh").layers["layer"]
    watch = Monitor()
    watch.forward("layer", "tanh", x.repeat(2, axis=1)[:, ::2], y)
    layer = watch.layers["layer"]
    assert np.array_equal(layer.passed, expected.passed)
    np.testing.assert_allclose(layer.mean, expected.mean, atol=1e-3)


def test_units_on_any_axis():
    x = normal(6, 5, 4, 3)
    watch = Monitor()
    watch.forward("channels", "relu", x, hw.relu(x), unit_axis=1)
    seen = watch.layers["channels"]
    assert (seen.units, seen.examples) == (5, 72)
    np.testing.assert_allclose(seen.firing_rate, (x > 0).mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(seen.mean, np.maximum(x, 0).mean(axis=(0, 2, 3)), rtol=1e-6)


def test_parameters_may_be_learned_ones():
    x, weight = normal(10, 3), np.array([0.0, 0.25, -1.0], np.float32)
    watch = Monitor()
    watch.forward("a", hw.prelu, x - 100, None, weight)
    watch.forward("b", hw.prelu, x - 100, None, weight=weight)
    watch.forward("c", hw.get("leaky_relu", "keras"), x - 100)
    assert watch.layers["a"].dead.tolist() == watch.layers["b"].dead.tolist() == [True, False, False]
    assert watch.layers["c"].mean == pytest.approx(0.2 * (x - 100).mean(axis=0), rel=1e-6)


def test_every_so_many_batches():
    x = normal(40, 2)
    watch = Monitor(every=3)
    for part in np.array_split(x, 8):
        watch.forward("layer", "relu", part)
        watch.backward("layer", part)
    assert watch.layers["layer"].examples == 15
    assert watch.layers["layer"].gradient.count == 3


def test_an_empty_batch_changes_nothing():
    watch, before = fed(normal(9, 2)), fed(normal(9, 2)).to_dict()
    watch.forward("layer", "relu", np.empty((0, 2), np.float32))
    assert watch.to_dict() == before
    alone = fed(np.empty((0, 2), np.float32))
    assert not alone.layers["layer"].dead.any()
    assert alone.layers["layer"].sparsity == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_not_finite_values_are_flagged_and_warn_of_nothing(bad):
    x = normal(8, 3)
    x[3, 1] = bad
    assert fed(x, "relu").flags("layer") == ["not finite"]


# ---- Gradients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_gradient_norms(dtype):
    batches = [normal(7, 5, seed=k, scale=k + 1, dtype=dtype) for k in range(4)]
    watch = fed(normal(2, 5))
    for g in batches:
        watch.backward("layer", g)
    norms, expected = watch.layers["layer"].gradient, [np.linalg.norm(g.astype(float)) for g in batches]
    assert norms.count == 4
    np.testing.assert_allclose(
        [norms.mean, norms.least, norms.greatest], [np.mean(expected), min(expected), max(expected)], rtol=1e-6
    )


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_norms_whose_squares_are_out_of_range(size):
    watch = fed(normal(2, 5))
    g = normal(7, 5, scale=size)
    watch.backward("layer", g)
    assert watch.layers["layer"].gradient.mean == pytest.approx(np.linalg.norm(g.astype(float)), rel=1e-6)


def chain(*norms: float, **settings: float) -> Monitor:
    """A monitor of layers with these gradient norms."""
    watch = Monitor(**settings)
    for k, norm in enumerate(norms):
        watch.forward(f"{k}", "tanh", normal(4, 2))
        watch.backward(f"{k}", np.array([norm, 0]))
    return watch


def test_vanishing_and_exploding():
    watch = chain(0.9e-4, 1.1e-4, 1, 99, 101, 0.1)
    assert [watch.flags(name) for name in watch.layers] == [["vanishing"], [], [], [], ["exploding"], []]
    assert watch.ratio("0") == pytest.approx(0.9e-3)
    strict = chain(0.9e-4, 1.1e-4, 1, 99, 101, 0.1, vanishing=0.1, exploding=10)
    assert [bool(strict.flags(name)) for name in strict.layers] == [True, True, False, True, True, False]


def test_gradients_that_are_not_finite_explode():
    watch = chain(1, math.nan, math.inf, 1)
    assert [watch.flags(name) for name in watch.layers] == [[], ["exploding"], ["exploding"], []]
    assert watch.layers["1"].gradient.not_finite == 1
    assert watch.layers["1"].gradient.count == 0


def test_without_gradients_nothing_is_said_of_them():
    watch = fed(normal(4, 2))
    assert math.isnan(watch.ratio("layer"))
    assert watch.flags("layer") == []
    assert chain(0, 0).flags("0") == []
    assert chain(1, 0).flags("0") == ["exploding"]


# ---- Merging ---------------------------------------------------------------------------------------------------------


def test_merging_is_as_if_one_had_seen_all():
    x, g = normal(90, 4), normal(90, 4, seed=1)
    parts, whole = [Monitor(), Monitor(), Monitor()], Monitor()
    for k, (a, b) in enumerate(zip(np.array_split(x, 9), np.array_split(g, 9), strict=True)):
        for watch in (parts[k % 3], whole):
            watch.forward("layer", "relu", a)
            watch.backward("layer", b)
    merged = pickle.loads(pickle.dumps(parts[0])).merge(parts[1]).merge(pickle.loads(pickle.dumps(parts[2])))
    a, b = merged.layers["layer"], whole.layers["layer"]
    assert (a.examples, a.zeros, a.gradient.count) == (b.examples, b.zeros, b.gradient.count)
    assert (a.gradient.least, a.gradient.greatest) == (b.gradient.least, b.gradient.greatest)
    np.testing.assert_array_equal(a.passed, b.passed)
    for ours, theirs in ((a.mean, b.mean), (a.variance, b.variance), (a.gradient.mean, b.gradient.mean)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_merging_keeps_the_other_and_takes_new_layers():
    watch, other = Monitor(), fed(normal(9, 2))
    before = other.to_dict()
    watch.merge(other).merge(other)
    assert other.to_dict() == before
    assert watch.layers["layer"].examples == 18
    assert watch.merge(Monitor()).layers["layer"].examples == 18


def test_merging_refuses_what_does_not_fit():
    watch = fed(normal(9, 2))
    with pytest.raises(TypeError, match="other must be a Monitor, got dict"):
        watch.merge({})
    with pytest.raises(ValueError, match=r"saturation must agree, got 0\.001 and 0\.1"):
        watch.merge(Monitor(saturation=0.1))
    other = Monitor()
    other.forward("new", "relu", normal(3, 1))
    other.forward("layer", "tanh", normal(9, 2))
    with pytest.raises(ValueError, match="layer 'layer' had 2 units of relu, got 2 of tanh"):
        watch.merge(other)
    assert watch.to_dict() == fed(normal(9, 2)).to_dict()


# ---- Showing ---------------------------------------------------------------------------------------------------------


def watched() -> Monitor:
    watch = chain(1e-6, 1)
    watch.forward("a long name", "relu", normal(4, 3) - np.array([0, 100, 0], np.float32))
    return watch


def test_report():
    lines = watched().report().splitlines()
    assert len(lines) == 4
    assert lines[0].split()[:5] == ["layer", "activation", "units", "examples", "dead"]
    assert lines[1].split()[-1] == "vanishing"
    assert lines[3].split()[:7] == ["a", "long", "name", "relu", "3", "4", "1"]
    assert lines[3].endswith("dead units")
    assert Monitor().report().startswith("layer")


def test_to_dict_is_json():
    watch = watched()
    read = json.loads(json.dumps(watch.to_dict(), allow_nan=False))
    assert read == watch.to_dict()
    assert read["layers"]["a long name"]["dead"] == [1]
    assert read["layers"]["a long name"]["gradient"]["least"] is None


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_plot(tmp_path, ending):
    files = [tmp_path / f"{k}.{ending}" for k in (1, 2)]
    for file in files:
        picture = watched().plot(str(file))
    assert [ax.get_title() for ax in picture.axes] == ["How often each unit fires", "Shares", "Gradient norm"]
    assert [label.get_text() for label in picture.axes[0].get_yticklabels()] == ["0", "1", "a long name"]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert fed(normal(4, 2)).plot().axes


def test_matplotlib_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "halfwave\[plot\]"'):
        watched().plot()


def test_import_brings_nothing_along():
    code = (
        "import sys, halfwave; assert not {'halfwave.init', 'halfwave.monitor', 'matplotlib'} & set(sys.modules);"
        "assert halfwave.init.gain and halfwave.monitor.Monitor and {'init', 'monitor'} <= set(dir(halfwave));"
        "assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="module 'halfwave' has no attribute 'initial'"):
        _ = hw.initial


# ---- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"saturation": -1}, "saturation must not be negative, got -1"),
        ({"vanishing": math.nan}, "vanishing must not be negative, got nan"),
        ({"exploding": -0.5}, "exploding must not be negative"),
        ({"every": 0}, "every must be a positive integer, got 0"),
        ({"every": 1.5}, "every must be a positive integer, got 1.5"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=f"Monitor: {message}"):
        Monitor(**settings)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("layer", np.exp, normal(3, 2)), TypeError, "Monitor.forward: activation must be a name"),
        (("layer", "swiglu", normal(3, 2)), ValueError, "swiglu is gated; watch its gate"),
        (("layer", "relu", np.float32(1)), ValueError, "x must have an axis of units"),
        (
            ("layer", "relu", normal(3, 2), normal(2, 3)),
            ValueError,
            r"y must have the shape of x, \(3, 2\), got \(2, 3\)",
        ),
        (("layer", "relu", normal(3, 4)), ValueError, "layer 'layer' had 2 units of relu, got 4 of relu"),
        (("layer", "tanh", normal(3, 2)), ValueError, "layer 'layer' had 2 units of relu, got 2 of tanh"),
        (("layer", "clipped_relu", normal(3, 2)), TypeError, "missing the required argument 'ceiling'"),
        (("layer", "relu", np.ones((3, 2), complex)), TypeError, "Complex128"),
    ],
)
def test_bad_batches(arguments, error, message):
    watch = fed(normal(3, 2))
    before = copy.deepcopy(watch.to_dict())
    with pytest.raises(error, match=message):
        watch.forward(*arguments)
    assert watch.to_dict() == before


def test_backward_of_an_unknown_layer():
    with pytest.raises(ValueError, match="layer 'other' has not been met in a forward pass"):
        fed(normal(3, 2)).backward("other", normal(3, 2))


def test_no_such_axis_and_nothing_to_plot():
    with pytest.raises(np.exceptions.AxisError):
        Monitor().forward("layer", "relu", normal(3, 2), unit_axis=2)
    with pytest.raises(ValueError, match="nothing has been seen yet"):
        Monitor().plot()
