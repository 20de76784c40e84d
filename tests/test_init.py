"""Initial weights: gains against integrals taken otherwise, distributions, shapes, dtypes, and what is refused."""

from __future__ import annotations

import math

import halfwave as hw
import ml_dtypes
import numpy as np
import pytest
from halfwave import init
from halfwave.verify.reference import FLOAT64, REFERENCES

from tests.cases import defaults

POINTWISE = [name for name, function in hw.functions().items() if function.backward_gate is None]
GATED = [name for name in hw.functions() if name not in POINTWISE]
DRAWN = [init.scaled, init.he, init.glorot, init.lecun]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def normal_rule(borders: tuple[float, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights for the mean over a standard normal variable, of functions with these borders."""
    edges = np.unique(np.clip([*np.linspace(-20, 20, 81), *borders], -20, 20))
    nodes, weights = np.polynomial.legendre.leggauss(30)
    half = np.diff(edges)[:, None] / 2
    z = (edges[:-1, None] + half + half * nodes).ravel()
    return z, (half * weights).ravel() * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


# ---- Gains -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", POINTWISE)
def test_gain_of_every_function(name):
    """Against a rule that is split where the reference says, of the reference's formula."""
    sets = [defaults(hw.functions()[name], name), *REFERENCES[name].parameter_sets]
    compared = 0
    for parameters in sets:
        z, weights = normal_rule(REFERENCES[name].borders(*parameters))
        with np.errstate(all="ignore"):
            square = np.sum(weights * np.asarray(REFERENCES[name].forward(FLOAT64, z, *parameters)) ** 2)
        if 1e-200 < square < math.inf:
            np.testing.assert_allclose(init.gain(name, *parameters), 1 / math.sqrt(square), rtol=2e-13)
            compared += 1
    assert compared


@pytest.mark.parametrize("name", GATED)
def test_gain_of_gated_units(name):
    """Gate and up are independent: the mean over the plane."""
    parameters = defaults(hw.functions()[name], name)
    z, weights = normal_rule(REFERENCES[name].borders(*parameters))
    inner = np.abs(z) < 9
    z, weights = z[inner], weights[inner]
    square = weights @ REFERENCES[name].forward(FLOAT64, z[:, None], z, *parameters) ** 2 @ weights
    np.testing.assert_allclose(init.gain(name), 1 / math.sqrt(square), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "parameters", "square"),
    [
        ("relu", (), 1 / 2),
        ("leaky_relu", (0.2,), (1 + 0.2**2) / 2),
        ("prelu", (-0.5,), (1 + 0.5**2) / 2),
        ("squared_relu", (), 3 / 2),
        ("hardshrink", (1 / 3,), math.erfc(1 / 3 / math.sqrt(2)) + 2 / 3 * math.exp(-1 / 18) / math.sqrt(2 * math.pi)),
    ],
)
def test_gains_in_closed_form(name, parameters, square):
    assert init.gain(name, *parameters) == pytest.approx(1 / math.sqrt(square), rel=1e-14)


def test_gains_that_are_exactly_one():
    assert init.gain("identity") == 1
    assert init.gain("selu") == pytest.approx(1, abs=1e-15)  # what its constants are made for
    assert init.gain("star_relu") == pytest.approx(1, abs=1e-15)


def test_gain_takes_whatever_names_an_activation():
    keras = hw.get("leaky_relu", "keras")
    assert init.gain("relu2") == init.gain(hw.squared_relu) == init.gain("squared_relu")
    assert init.gain(keras) == init.gain("leaky_relu", 0.2) == init.gain(hw.leaky_relu, negative_slope=0.2)
    assert init.gain(keras, 0.5) == init.gain("leaky_relu", 0.5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((hw.relu_backward,), TypeError, "gain: activation must be a name, a function of the catalogue"),
        ((np.exp,), TypeError, "gain: activation must be"),
        ((3,), TypeError, "gain: activation must be"),
        (("rectifier",), ValueError, "'rectifier' is not a name"),
        (("clipped_relu",), TypeError, "missing the required argument 'ceiling'"),
        (("celu", 0.0), ValueError, "alpha must not be 0"),
        (("elu", np.ones(3)), ValueError, r"gain: parameters must be numbers, got an array of shape \(3,\)"),
        (("threshold", 100.0, 0.0), ValueError, "of threshold must be positive and finite, it is 0"),
        (("celu", -0.05), ValueError, "of celu must be positive and finite, it is inf"),
    ],
)
def test_gain_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        init.gain(*arguments)


def mean_square_behind(name: str, layers: int) -> float:
    source, x = rng(1), rng(2).standard_normal((64, 256)).astype(np.float32)
    for _ in range(layers):
        x = hw.functions()[name](x) @ init.he((256, 256), source, gain=name, out_axis=1, in_axis=0)
    return float(np.mean(x**2))


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "selu", "tanh", "softsign", "identity"])
def test_signals_keep_their_size(name):
    assert 0.5 < mean_square_behind(name, 30) < 2


def test_signals_drift_slowly_where_one_is_unstable():
    """As `gain` says: ten layers do no harm."""
    assert 0.5 < mean_square_behind("silu", 10) < 2
    assert 0.5 < mean_square_behind("gelu", 10) < 2
    assert mean_square_behind("silu", 30) > 3


# ---- Distributions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distribution", ["normal", "uniform", "truncated_normal"])
@pytest.mark.parametrize(
    ("draw", "variance"),
    [
        (init.scaled, 1 / 700),
        (init.he, 2 / 700),
        (init.kaiming, 2 / 700),
        (init.glorot, 2 / (700 + 300)),
        (init.xavier, 2 / (700 + 300)),
        (init.lecun, 1 / 700),
    ],
)
def test_variance_and_reach(draw, variance, distribution):
    weights = draw((300, 700), rng(3), distribution=distribution).astype(np.float64) / math.sqrt(variance)
    reach = {"normal": (4, 6), "uniform": (1.7320, 1.73206), "truncated_normal": (2.273, 2.2737)}[distribution]
    kurtosis = {"normal": 3, "uniform": 1.8, "truncated_normal": 2.3655}[distribution]
    assert abs(weights.mean()) < 0.01
    assert weights.var() == pytest.approx(1, rel=0.01)
    assert np.mean(weights**4) == pytest.approx(kurtosis, rel=0.02)
    assert reach[0] < np.abs(weights).max() < reach[1]


def test_truncated_normal_is_that_of_jax():
    """Its samples, wherever they are not drawn again, are the normal ones over the deviation that JAX has."""
    plain = init.lecun((50, 40), rng(4), distribution="normal", dtype=np.float64)
    cut = init.lecun((50, 40), rng(4), distribution="truncated_normal", dtype=np.float64)
    kept = np.abs(plain) * math.sqrt(40) <= 2
    np.testing.assert_allclose(cut[kept], plain[kept] / 0.87962566103423978, rtol=1e-15)
    assert 0.9 < kept.mean() < 0.99


@pytest.mark.parametrize(
    ("shape", "axes", "inputs", "outputs"),
    [
        ((6, 4), {}, 4, 6),
        ((6, 4, 3, 5), {}, 60, 90),
        ((4, 6), {"out_axis": 1, "in_axis": 0}, 4, 6),
        ((3, 5, 4, 6), {"out_axis": -1, "in_axis": -2}, 60, 90),
    ],
)
def test_fans(shape, axes, inputs, outputs):
    plain = rng(5).standard_normal(shape)
    for mode, fan in (("fan_in", inputs), ("fan_out", outputs), ("fan_avg", (inputs + outputs) / 2)):
        weights = init.scaled(shape, rng(5), gain=3, mode=mode, dtype=np.float64, **axes)
        np.testing.assert_allclose(weights, 3 * plain / math.sqrt(fan), rtol=1e-15)


def test_an_activation_stands_for_its_gain():
    for value in ("silu", hw.silu, init.gain("silu"), np.float32(init.gain("silu"))):
        np.testing.assert_allclose(init.he((3, 4), rng(), gain=value), init.he((3, 4), rng(), gain="silu"), rtol=1e-6)
    assert not np.array_equal(init.he((3, 4), rng(), gain="silu"), init.he((3, 4), rng()))


@pytest.mark.parametrize("draw", [*DRAWN, init.orthogonal])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ml_dtypes.bfloat16])
def test_dtypes_are_roundings_of_one_draw(draw, dtype):
    weights = draw((8, 5, 3), rng(6), dtype=dtype)
    assert weights.dtype == dtype
    assert weights.flags.c_contiguous
    np.testing.assert_array_equal(weights, draw((8, 5, 3), rng(6), dtype=np.float64).astype(dtype))
    assert draw((8, 5, 3), rng(6)).dtype == np.float32


@pytest.mark.parametrize("shape", [(7, 7), (5, 9), (9, 5), (4, 3, 2, 2), (20, 3, 2)])
def test_orthogonal(shape):
    weights = init.orthogonal(shape, rng(7), gain=1.5, dtype=np.float64)
    matrix = weights.reshape(shape[0], -1)
    small = matrix @ matrix.T if shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(small, 1.5**2 * np.eye(len(small)), atol=1e-14)


def test_orthogonal_along_other_axes():
    weights = init.orthogonal((2, 3, 4, 5), rng(8), out_axis=-1, in_axis=-2, dtype=np.float64)
    matrix = weights.reshape(-1, 5)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(5), atol=1e-14)


def test_orthogonal_matrices_are_all_equally_likely():
    """Without the choice of signs, R's diagonal would not be positive and the first element never so."""
    source = rng(9)
    drawn = np.array([init.orthogonal((3, 3), source, dtype=np.float64) for _ in range(2000)])
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=0.06)
    np.testing.assert_allclose((drawn**2).mean(axis=0), 1 / 3, atol=0.03)
    assert 0.45 < np.mean(np.linalg.det(drawn) > 0) < 0.55


# ---- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", [*DRAWN, init.orthogonal], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"shape": (3,)}, ValueError, r"shape must be \(out, in, \*kernel\), two axes or more, got \(3,\)"),
        ({"shape": 3}, ValueError, "shape must be"),
        ({"shape": (3, 0)}, ValueError, r"shape must consist of positive integers, got \(3, 0\)"),
        ({"shape": (3, 2.5)}, ValueError, "positive integers"),
        ({"rng": 0}, TypeError, "rng must be a numpy.random.Generator, got int"),
        ({"rng": np.random}, TypeError, "rng must be a numpy.random.Generator, got module"),
        ({"dtype": np.int32}, TypeError, "dtype must be one of float16, bfloat16, float32, float64, got int32"),
        ({"dtype": np.complex64}, TypeError, "dtype must be one of"),
        ({"gain": 0}, ValueError, "gain must be positive and finite, or an activation, got 0"),
        ({"gain": math.inf}, ValueError, "gain must be positive and finite"),
        ({"gain": math.nan}, ValueError, "gain must be positive and finite"),
        ({"gain": None}, TypeError, "activation must be a name"),
        ({"gain": "rectifier"}, ValueError, "'rectifier' is not a name"),
        ({"out_axis": 2}, ValueError, r"out_axis must be an axis of shape \(3, 4\), got 2"),
        ({"in_axis": -3}, ValueError, r"in_axis must be an axis of shape \(3, 4\), got -3"),
        ({"in_axis": 0}, ValueError, "out_axis and in_axis must differ, both are axis 0"),
        ({"out_axis": -1}, ValueError, "out_axis and in_axis must differ, both are axis 1"),
    ],
)
def test_bad_input(draw, change, error, message):
    with pytest.raises(error, match=f"^({draw.__name__}|get): .*{message}"):
        draw(**{"shape": (3, 4), "rng": rng(), **change})


@pytest.mark.parametrize("draw", DRAWN, ids=lambda f: f.__name__)
def test_unknown_words(draw):
    with pytest.raises(ValueError, match="mode must be one of fan_in, fan_out, fan_avg, got 'fan'"):
        draw((3, 4), rng(), mode="fan")
    with pytest.raises(
        ValueError, match="distribution must be one of normal, uniform, truncated_normal, got 'gaussian'"
    ):
        draw((3, 4), rng(), distribution="gaussian")
