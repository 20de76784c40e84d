"""Activations of x + bias and of x + residual, and their backward passes, in one pass over memory."""

from __future__ import annotations

import halfwave as hw
import numpy as np
import pytest
from halfwave.verify.rounding import FORMATS

from tests import floating_point
from tests.cases import defaults, each_dtype, equal_bits, instruction_set

ACTIVATIONS = [name for name, f in hw.functions().items() if f.nin - len(f.parameters) == 1]
FROM_OUTPUT = [name for name in ACTIVATIONS if hw.functions()[name].backward_from_output is not None]
SHAPES = [(0, 5), (5, 0), (1, 1), (7, 1), (1, 7), (5,), (16, 64), (33, 67), (3, 5, 9), (2, 1200), (700, 20), (2100, 33)]
WIDE = {"float16": np.float32, "bfloat16": np.float32, "float32": np.float32, "float64": np.float64}

each_activation = pytest.mark.parametrize("name", ACTIVATIONS)
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def normal(shape, fmt, seed):
    """Normal numbers of a format."""
    return (3 * np.random.default_rng(seed).normal(size=shape)).astype(fmt.dtype)


def function(name):
    """An activation with parameters for those that have no defaults."""
    f = hw.functions()[name]
    return f, defaults(f, name)


def layouts(x):
    """The same numbers, lying in memory in several ways."""
    padded = np.zeros((*x.shape[:-1], 2 * x.shape[-1] + 1), x.dtype)
    padded[..., : 2 * x.shape[-1] : 2] = x
    return {
        "C": x,
        "Fortran": np.asfortranarray(x),
        "strided": padded[..., : 2 * x.shape[-1] : 2],
        "backwards": x[::-1].copy()[::-1],
    }


def sum_of(x, addend):
    """What the activation is applied to: the sum as it is computed, in float32 for 16 bits."""
    wide = WIDE[x.dtype.name]
    return x.astype(wide) + np.asarray(addend).astype(wide)


def assert_rounded(actual, exact, fmt):
    """At most 0.51 units in the last place away, where the exact result is a normal number."""
    assert actual.dtype == fmt.dtype
    exact = np.asarray(exact, np.float64)
    normal = (np.abs(exact) >= fmt.tiny) & (np.abs(exact) <= fmt.largest)
    error = np.abs(actual.astype(np.float64) - exact)[normal]
    unit = np.ldexp(1.0, np.frexp(np.abs(exact[normal]))[1] - fmt.precision)
    assert (error <= 0.51 * unit).all()


# ---- Forward ---------------------------------------------------------------------------------------------------------


@each_activation
@each_dtype
def test_the_sum_goes_through_the_activation(name, fmt):
    f, parameters = function(name)
    parameters = fmt.parameters(parameters)
    for shape in SHAPES:
        x, bias, residual = normal(shape, fmt, 1), normal(shape[-1:], fmt, 2), normal(shape, fmt, 3)
        for actual, addend in (
            (hw.bias_activation(x, bias, f, *parameters), bias),
            (hw.residual_activation(x, residual, name, *parameters), residual),
        ):
            assert actual.shape == shape
            if fmt.precision > 11:
                assert equal_bits(actual, f(x + addend, *parameters))
            else:
                assert_rounded(actual, f(sum_of(x, addend).astype(np.float64), *parameters), fmt)


@each_dtype
@pytest.mark.parametrize("name", ["relu", "gelu", "elu", "prelu", "xielu"])
def test_bits_do_not_depend_on_layout_threads_instruction_set_or_place(name, fmt):
    f, parameters = function(name)
    for shape in ((33, 67), (3, 5, 9), (700, 200)):
        x, bias, g = normal(shape, fmt, 1), normal(shape[-1:], fmt, 2), normal(shape, fmt, 3)
        expected = hw.bias_activation(x, bias, f, *parameters)
        dx, dbias = hw.bias_activation_backward(g, x, bias, f, *parameters)
        for isa in hw.instruction_sets():
            for threads in (1, 3):
                with instruction_set(isa), hw.num_threads(threads):
                    for laid in layouts(x).values():
                        assert equal_bits(hw.bias_activation(laid, bias, f, *parameters), expected)
                        other = hw.bias_activation_backward(g, laid, bias, f, *parameters)
                        assert equal_bits(other[0], dx)
                        assert equal_bits(other[1], dbias)
        for target in layouts(x).values():
            own = target.copy(order="K")
            assert hw.bias_activation(own, bias, f, *parameters, out=own) is own
            assert equal_bits(own, expected)
        for place in range(2):
            operands = [g.copy(), x.copy()]
            result = hw.bias_activation_backward(*operands, bias, f, *parameters, out=operands[place])
            assert result[0] is operands[place]
            assert equal_bits(result[0], dx)
            assert equal_bits(result[1], dbias)


@each_dtype
def test_the_bias_may_belong_to_any_axis(fmt):
    x, g = normal((4, 6, 5, 7), fmt, 1), normal((4, 6, 5, 7), fmt, 2)
    for axis in (0, 1, 2, 3, -2):
        bias = normal(x.shape[axis], fmt, 3)
        moved = hw.bias_activation(np.moveaxis(x, axis, -1), bias, "silu")
        assert equal_bits(hw.bias_activation(x, bias, "silu", axis=axis), np.moveaxis(moved, -1, axis))
        dx, dbias = hw.bias_activation_backward(g, x, bias, "silu", axis=axis)
        shape = [1] * 4
        shape[axis] = -1
        assert equal_bits(dbias, hw.unbroadcast(dx, bias.reshape(shape).shape).reshape(-1))


@each_dtype
@pytest.mark.parametrize("shape", [(6, 1, 24), (1, 35, 24), (6, 35, 1), (24,), (6, 1, 1), (35, 1)], ids=str)
def test_a_residual_broadcasts(fmt, shape):
    x, residual = normal((6, 35, 24), fmt, 1), normal(shape, fmt, 2)
    whole = np.broadcast_to(residual, x.shape).copy()
    assert equal_bits(hw.residual_activation(x, residual, "silu"), hw.residual_activation(x, whole, "silu"))
    assert equal_bits(hw.silu(np.broadcast_to(residual, x.shape)), hw.silu(whole))


def test_a_residual_broadcasts_and_promotes():
    x, residual = np.ones((3, 1), np.float32), np.arange(4, dtype=np.float64)
    assert equal_bits(hw.residual_activation(x, residual, "tanh"), np.tanh(0) + hw.tanh(x + residual))
    assert equal_bits(hw.residual_activation_backward(x, x, residual, "tanh"), hw.tanh_backward(x, x + residual))


@each_dtype
def test_a_bias_has_no_say_in_the_dtype(fmt):
    x, bias = normal((3, 40), fmt, 1), np.random.default_rng(2).normal(size=40)
    y = hw.bias_activation(x, bias, "relu")
    assert equal_bits(y, hw.bias_activation(x, bias.astype(fmt.computed), "relu"))
    assert y.dtype == fmt.dtype
    dx, dbias = hw.bias_activation_backward(x, x, bias, "relu")
    assert dx.dtype == dbias.dtype == fmt.dtype


def test_a_large_result_goes_past_the_cache():
    fmt = FORMATS["float32"]
    x, bias = normal((300, 1024), fmt, 1), normal(1024, fmt, 2)
    expected = hw.silu(x + bias), *hw.bias_activation_backward(x, x, bias, "silu")
    hw._core.set_streaming_size(1)
    try:
        actual = hw.bias_activation(x, bias, "silu"), *hw.bias_activation_backward(x, x, bias, "silu")
    finally:
        hw._core.set_streaming_size(0)
    assert all(map(equal_bits, actual, expected))


# ---- Backward --------------------------------------------------------------------------------------------------------


@each_activation
@each_dtype
def test_backward_is_that_of_the_sum(name, fmt):
    f, parameters = function(name)
    parameters = fmt.parameters(parameters)
    for shape in SHAPES:
        g, x, bias = normal(shape, fmt, 4), normal(shape, fmt, 5), normal(shape[-1:], fmt, 6)
        dx, dbias = hw.bias_activation_backward(g, x, bias, f, *parameters)
        if fmt.precision > 11:
            assert equal_bits(dx, f.backward(g, x + bias, *parameters))
        else:
            assert_rounded(dx, f.backward(g.astype(float), sum_of(x, bias).astype(float), *parameters), fmt)
        assert equal_bits(dbias, hw.unbroadcast(dx, bias.shape))
        assert equal_bits(hw.residual_activation_backward(g, x, np.broadcast_to(bias, shape), f, *parameters), dx)


@pytest.mark.parametrize("name", FROM_OUTPUT)
@each_dtype
def test_backward_from_output(name, fmt):
    f, parameters = function(name)
    if name == "threshold":
        parameters = (0.5, 0.25)
    for shape in SHAPES:
        g, y = normal(shape, fmt, 7), f(normal(shape, fmt, 8), *parameters)
        dx, dbias = hw.bias_activation_backward_from_output(g, y, f, *parameters)
        assert equal_bits(dx, f.backward_from_output(g, y, *parameters))
        assert equal_bits(dbias, hw.unbroadcast(dx, shape[-1:]))


def tree(terms):
    """The sum of a column as it is documented: chunks of 1024 in 16 lanes, lanes and chunks pairwise."""

    def pairwise(nodes):
        levels = []
        for node in nodes:
            level = 0
            while level < len(levels) and levels[level] is not None:
                node, levels[level] = node + levels[level], None
                level += 1
            levels[level:] = [node, *levels[level + 1 :]]
        return sum((node for node in levels if node is not None), 0.0)

    def chunk(part):
        lanes = np.zeros(16)
        for i in range(0, len(part), 16):
            lanes[: len(part[i : i + 16])] += part[i : i + 16]
        while lanes.size > 1:
            lanes = lanes[: lanes.size // 2] + lanes[lanes.size // 2 :]
        return float(lanes[0])

    return pairwise(chunk(terms[i : i + 1024]) for i in range(0, len(terms), 1024))


@pytest.mark.parametrize("shape", [(5, 33), (1030, 17), (1100, 700), (65, 1500), (5000, 3), (70000, 17)], ids=str)
def test_sums_are_those_of_the_tree(shape):
    g = np.random.default_rng(9).normal(size=shape)
    _, sums = hw.bias_activation_backward_from_output(g, g, "identity")
    assert equal_bits(sums, np.array([tree(g[:, c]) for c in range(shape[1])]))


# ---- Bad input -------------------------------------------------------------------------------------------------------

X, B = np.ones((3, 4), np.float32), np.ones(4, np.float32)


@pytest.mark.parametrize(
    "call",
    [lambda *a, **k: hw.bias_activation(*a, **k), lambda *a, **k: hw.bias_activation_backward(X, *a, **k)],
    ids=["forward", "backward"],
)
def test_bad_input_is_refused(call):
    with pytest.raises(ValueError, match=r"bias has shape \(3,\); for x of shape \(3, 4\) and axis 1 .* \(4,\)"):
        call(X, np.ones(3), "relu")
    with pytest.raises(ValueError, match=r"bias has shape \(1, 4\)"):
        call(X, B[None], "relu")
    with pytest.raises(np.exceptions.AxisError):
        call(X, B, "relu", axis=2)
    with pytest.raises(ValueError, match="'nothing' is not a name"):
        call(X, B, "nothing")
    for wrong in (hw.relu_backward, np.tanh, 3, [1]):
        with pytest.raises(TypeError, match="activation must be"):
            call(X, B, wrong)
    with pytest.raises(TypeError, match="swiglu is gated"):
        call(X, B, "swiglu")
    with pytest.raises(TypeError, match="ceiling"):
        call(X, B, "clipped_relu")
    with pytest.raises(TypeError, match="slope"):
        call(X, B, "relu", slope=1)
    with pytest.raises(ValueError, match="lambd"):
        call(X, B, "softshrink", -1.0)
    with pytest.raises(TypeError, match=r"bias has dtype (c|C)omplex128"):
        call(X, B.astype(complex), "relu")
    with pytest.raises(TypeError, match=r"(c|C)omplex128"):
        call(X.astype(complex), B, "relu")
    with pytest.raises(ValueError, match="shape"):
        call(X, B, "relu", out=np.ones((4, 4), np.float32))
    fixed = X.copy()
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        call(X, B, "relu", out=fixed)
    with pytest.raises(TypeError):
        call(X, B, "relu", out=np.ones((3, 4), np.int32))


def test_bad_gradients_are_refused():
    with pytest.raises(ValueError, match=r"g has shape \(4,\); it must be that of x, \(3, 4\)"):
        hw.bias_activation_backward(B, X, B, "relu")
    with pytest.raises(ValueError, match="weight has shape"):
        hw.bias_activation_backward(X, X, B, "prelu", np.ones((2, 3, 4)))
    with pytest.raises(TypeError, match="output of gelu does not determine its derivative; keep x"):
        hw.bias_activation_backward_from_output(X, X, "gelu")
    with pytest.raises(ValueError, match="negative_slope"):
        hw.bias_activation_backward_from_output(X, X, "leaky_relu", -1.0)


def test_calls_with_defaults_are_checked_as_all_others():
    for _ in range(2):  # the first one makes the next ones direct
        assert hw.bias_activation_backward(X, X, B, "relu")[1].dtype == np.float32
        assert hw.bias_activation_backward_from_output(X, X, "relu")[1].dtype == np.float32
        for wrong in (X.astype(float), X[:2], X.astype(np.int32)):
            with pytest.raises((TypeError, ValueError)):
                hw.bias_activation_backward(X, X, B, "relu", out=wrong)
        for g, x, bias in ((X[:2], X, B), (X, X[:, :3], B), (X, X, B[:3]), (X, X, X), (X[0, 0], X[0, 0], B)):
            with pytest.raises(ValueError, match=r"shape|axis"):
                hw.bias_activation_backward(g, x, bias, "relu")
        shared = np.random.default_rng(1).normal(size=16).astype(np.float32)
        g, bias, out = shared[:12].reshape(3, 4), shared[8:12], shared[4:].reshape(3, 4)
        expected = hw.bias_activation_backward(g.copy(), X, bias.copy(), "silu")
        assert all(map(equal_bits, hw.bias_activation_backward(g, X, bias, "silu", out=out), expected))
        for f in ("elu", "selu", "leaky_relu", hw.celu, hw.get("leaky_relu", "tensorflow")):
            expected = hw.bias_activation_backward(X, -X, B / 2, f, axis=1)
            assert all(map(equal_bits, hw.bias_activation_backward(X, -X, B / 2, f), expected))


def test_overlapping_memory_is_as_if_it_were_copied():
    memory = np.random.default_rng(1).normal(size=(5, 4))
    expected = hw.bias_activation_backward(memory[:3], memory[2:].copy(), B, "silu")
    actual = hw.bias_activation_backward(memory[:3], memory[2:].copy(), B, "silu", out=memory[1:4])
    assert all(map(equal_bits, actual, expected))


def test_defaults_of_other_libraries_are_kept():
    leaky = hw.get("leaky_relu", "tensorflow")
    assert equal_bits(hw.bias_activation(-X, B / 2, leaky), leaky(-X + B / 2))
    assert equal_bits(hw.bias_activation_backward(X, -X, B / 2, leaky)[0], leaky.backward(X, -X + B / 2))


@floating_point.needs_libm
def test_the_callers_floating_point_state_is_neither_used_nor_changed():
    fmt = FORMATS["float32"]
    x, bias = normal((50, 70), fmt, 1), normal(70, fmt, 2)
    expected = hw.bias_activation(x, bias, "silu"), *hw.bias_activation_backward(x, x, bias, "silu")
    for mode in floating_point.ROUNDING.values():
        with floating_point.rounding(mode):
            actual = hw.bias_activation(x, bias, "silu"), *hw.bias_activation_backward(x, x, bias, "silu")
        assert all(map(equal_bits, actual, expected))
