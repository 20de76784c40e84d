"""The plain functions around the ufuncs: crelu, rrelu_sample, unbroadcast, get, the listing and the example."""

import runpy
import subprocess
import sys
from pathlib import Path

import halfwave as hw
import numpy as np
import pytest
from halfwave._names import LIBRARIES

ROOT = Path(__file__).resolve().parent.parent
DTYPES = (np.float16, np.float32, np.float64)


# ---- crelu -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_crelu_concatenates_both_halves(dtype, axis):
    x = np.random.default_rng(1).normal(size=(3, 4)).astype(dtype)
    y = hw.crelu(x, axis)
    np.testing.assert_array_equal(y, np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], axis))
    assert y.dtype == dtype
    g = np.random.default_rng(2).normal(size=y.shape).astype(dtype)
    first, second = np.split(g, 2, axis)
    np.testing.assert_array_equal(hw.crelu_backward(g, x, axis), np.where(x > 0, first, -second))


def test_crelu_derivative_at_zero_is_zero():
    assert hw.crelu_backward(np.ones(2), np.zeros(1)) == 0


def test_crelu_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"g has shape \(3,\); for x of shape \(2,\) it must be \(4,\)"):
        hw.crelu_backward(np.ones(3), np.ones(2))
    with pytest.raises(np.exceptions.AxisError):
        hw.crelu(np.ones(2), axis=1)
    with pytest.raises(TypeError, match="Complex128"):
        hw.crelu(np.ones(2, complex))


# ---- rrelu_sample ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_rrelu_sample_draws_one_slope_per_element(dtype):
    x = np.random.default_rng(3).normal(size=(50, 40)).astype(dtype)
    y, slope = hw.rrelu_sample(x, 0.1, 0.3, rng=np.random.default_rng(4))
    drawn = np.random.default_rng(4).uniform(0.1, 0.3, size=x.shape).astype(dtype)
    np.testing.assert_array_equal(slope, np.where(x > 0, dtype(1), drawn))
    np.testing.assert_array_equal(y, hw.leaky_relu(x, slope))
    assert y.dtype == slope.dtype == dtype
    g = np.ones_like(x)
    np.testing.assert_array_equal(hw.leaky_relu_backward(g, x, slope), slope)


def test_rrelu_sample_has_the_mean_of_rrelu():
    x = np.full(200_000, -1.0)
    y, _ = hw.rrelu_sample(x, rng=np.random.default_rng(5))
    assert abs(y.mean() - hw.rrelu(-1.0)) < 1e-3  # six standard deviations of the mean are 8e-4


def test_rrelu_sample_refuses():
    with pytest.raises(ValueError, match="lower must be <= upper"):
        hw.rrelu_sample(np.ones(2), 0.5, 0.1, rng=np.random.default_rng())
    with pytest.raises(TypeError, match="rng must be a numpy"):
        hw.rrelu_sample(np.ones(2), rng=np.random.RandomState())


# ---- unbroadcast -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (5,), (4, 1), (4, 5), (3, 1, 1), (1, 4, 5), (3, 4, 5)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_unbroadcast_sums_back(dtype, shape):
    grad = np.random.default_rng(6).normal(size=(3, 4, 5)).astype(dtype)
    padded = (1,) * (3 - len(shape)) + shape
    axes = tuple(i for i, n in enumerate(padded) if n == 1)
    expected = grad.astype(np.float64).sum(axes, keepdims=True).reshape(shape)
    total = hw.unbroadcast(grad, shape)
    assert total.dtype == dtype
    assert total.shape == shape
    np.testing.assert_allclose(total, expected, rtol=np.finfo(dtype).eps, atol=8 * np.finfo(dtype).eps)


def test_unbroadcast_does_not_see_the_layout():
    grad = np.random.default_rng(7).normal(size=(70, 30, 20)).astype(np.float32)
    layouts = [grad, np.asfortranarray(grad), np.repeat(grad, 2, axis=1)[:, ::2], grad[::-1].copy()[::-1]]
    for shape in [(), (20,), (30, 1), (70, 1, 1)]:
        results = {hw.unbroadcast(a, shape).tobytes() for a in layouts}
        assert len(results) == 1


def test_unbroadcast_of_nothing_is_zero():
    np.testing.assert_array_equal(hw.unbroadcast(np.ones((0, 3)), (3,)), np.zeros(3))


def test_unbroadcast_refuses():
    with pytest.raises(ValueError, match=r"shape \(2,\) does not broadcast to that of grad, \(3, 4\)"):
        hw.unbroadcast(np.ones((3, 4)), (2,))
    with pytest.raises(ValueError, match="does not broadcast"):
        hw.unbroadcast(np.ones(4), (1, 4))
    with pytest.raises(TypeError, match="int64"):
        hw.unbroadcast(np.ones(4, int), ())


# ---- Names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("library", "name"), [(lib, name) for lib, table in LIBRARIES.items() for name in table])
def test_every_name_leads_to_a_function(library, name):
    target, defaults = LIBRARIES[library][name]
    found, function = hw.get(name, library), getattr(hw, target)
    x = np.linspace(-2, 2, 10)
    required = [0.5 for p in function.parameters if p.default is None]
    y = function(x, *required, **defaults)
    np.testing.assert_array_equal(found(x, *required), y)
    g = np.linspace(-1, 3, y.size)
    np.testing.assert_array_equal(found.backward(g, x, *required), function.backward(g, x, *required, **defaults))


def test_a_name_of_one_meaning_needs_no_library():
    assert hw.get("relu2") is hw.squared_relu
    assert hw.get("gelu_pytorch_tanh") is hw.gelu_tanh
    assert hw.get("linear") is hw.identity
    assert hw.get("expit") is hw.sigmoid
    assert hw.get("HardSwish") is hw.hardswish
    for name, function in hw.functions().items():
        assert hw.get(name, "halfwave") is function


@pytest.mark.parametrize("library", ["torch", "jax", "keras"])
def test_glu_of_other_libraries_is_of_one_array(library):
    x, g = np.linspace(-2, 2, 12).reshape(2, 6), np.ones((2, 3))
    glu = hw.get("glu", library)
    np.testing.assert_array_equal(glu(x), hw.glu(x[:, 3:], x[:, :3]))
    np.testing.assert_array_equal(glu(x, axis=0), hw.glu(x[1:], x[:1]))
    np.testing.assert_array_equal(glu.backward(g, x), hw.glu_packed_backward(g, x, layout="gate_last"))
    assert repr(glu) == "<halfwave.glu_packed with layout='gate_last'>"
    assert hw.get("glu", "halfwave") is hw.glu


@pytest.mark.parametrize("name", ["leaky_relu", "LeakyReLU", "gelu", "hard_sigmoid", "glu"])
def test_a_name_of_several_meanings_needs_one(name):
    with pytest.raises(ValueError, match=r"means different things \(.*; .*\); say which with library="):
        hw.get(name)


def test_the_librarys_defaults_are_bound():
    x = np.linspace(-2, 2, 9, dtype=np.float32)
    keras = hw.get("LeakyReLU", "keras")
    np.testing.assert_array_equal(keras(x), hw.leaky_relu(x, 0.3))
    np.testing.assert_array_equal(keras(x, 0.5), hw.leaky_relu(x, 0.5))
    np.testing.assert_array_equal(keras(x, negative_slope=0.5), hw.leaky_relu(x, 0.5))
    np.testing.assert_array_equal(keras.backward(x, x), hw.leaky_relu_backward(x, x, 0.3))
    assert keras.parameter_backward(x, x) == hw.leaky_relu_parameter_backward(x, x, 0.3)
    assert keras.parameters == hw.leaky_relu.parameters
    assert repr(keras) == "<halfwave.leaky_relu with negative_slope=0.3>"


def test_get_refuses():
    with pytest.raises(ValueError, match="'nonsense' is not a name in any library; halfwave has relu, "):
        hw.get("nonsense")
    with pytest.raises(ValueError, match="library 'caffe' is not known; allowed are halfwave, torch, "):
        hw.get("relu", "caffe")
    with pytest.raises(TypeError, match="name must be a string, got int"):
        hw.get(3)


# ---- The command line and the example --------------------------------------------------------------------------------


def test_python_m_halfwave_tells_what_is_here():
    run = subprocess.run([sys.executable, "-m", "halfwave"], capture_output=True, text=True, check=True)
    for word in (hw.__version__, hw.instruction_set(), "threads", *hw.functions()):
        assert word in run.stdout


def test_the_list_of_functions_tells_what_each_computes():
    command = [sys.executable, "-m", "halfwave", "functions"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name, function in hw.functions().items():
        assert f"{name}(" in listed
        assert function.formula in listed
        assert function.derivative in listed


@pytest.mark.parametrize("activation", ["silu", "relu", "prelu", "gelu"])
def test_the_digits_are_learned(activation):
    main = runpy.run_path(str(ROOT / "examples" / "digits.py"))["main"]
    accuracy = main(["--quiet", "--epochs", "3", "--activation", activation])
    assert accuracy > 0.9
    assert accuracy == main(["--quiet", "--epochs", "3", "--activation", activation])
