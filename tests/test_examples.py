"""The examples, in a short form: they run, show what they say, and repeat."""

from __future__ import annotations

import re
from pathlib import Path

import common
import convolution
import digits
import dying
import halfwave as hw
import numpy as np
import packed
import pytest
import sparsity
import swiglu
import vanishing

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def picture(tmp_path):
    """A place for a picture, which must then be there."""
    file = tmp_path / "picture.png"
    yield str(file)
    assert file.read_bytes().startswith(b"\x89PNG")


def test_gradients_vanish_and_explode_where_they_should(picture):
    results = vanishing.main(["--quiet", "--epochs", "1", "--plot", picture])
    flags = {
        weights: {name: watch.flags("hidden 1") for name, watch in r.watched.items()} for weights, r in results.items()
    }
    assert "vanishing" in flags["old"]["sigmoid"]
    assert "vanishing" in flags["old"]["relu"]
    assert "vanishing" in flags["scaled"]["sigmoid"]
    assert "exploding" in flags["too large"]["relu"]
    assert all(0.1 < results["scaled"].watched[name].ratio("hidden 1") < 10 for name in ("tanh", "relu", "silu"))
    assert results["scaled"].accuracies["tanh"][-1] > 0.8 > 0.2 > results["scaled"].accuracies["sigmoid"][-1]
    assert vanishing.train("relu", 2**0.5, 10, 1, True) == vanishing.train("relu", 2**0.5, 10, 1, True)


def test_units_die_and_come_back(picture):
    fast, biased = dying.main(["--quiet", "--epochs", "3", "--plot", picture])
    assert fast["relu"].alive[-1] < fast["relu"].alive[0] - 0.02
    assert biased["relu"].alive[-1] < 0.3
    for runs in (fast, biased):
        for name in ("leaky_relu", "prelu", "elu"):
            assert min(runs[name].alive) == 1
    for name in ("prelu", "elu"):
        assert biased[name].positive[-1] > 0.6 > biased[name].positive[0]
        assert biased[name].accuracies[-1] > 0.8
    assert biased["leaky_relu"].positive[-1] < 0.3
    assert dying.train("relu", dying.RATE, -1.0, 3, True) == biased["relu"]


def test_convolutions_have_the_right_gradients():
    """In float64, against differences: any weight and any pixel."""
    rng = np.random.default_rng(1)
    net = common.Network(convolution.network("tanh", rng).layers[:-1])
    for layer in net.layers:
        layer.weights[:] = [weight.astype(np.float64) for weight in layer.weights]
    x, g = rng.standard_normal((3, 64)), rng.standard_normal((3, 256))
    net.forward(x)
    down = g
    for layer in reversed(net.layers):
        down = layer.backward(down)
    gradients = [gradient for layer in net.layers for gradient in layer.gradients]
    weights = [weight for layer in net.layers for weight in layer.weights]
    assert len(gradients) == len(weights) == 4
    for array, gradient in zip([x, *weights], [down, *gradients], strict=True):
        assert gradient.shape == array.shape
        for place in rng.integers(0, array.size, 12):
            before, sums = array.flat[place], []
            for moved in (before - 1e-6, before + 1e-6):
                array.flat[place] = moved
                sums.append(np.sum(g * net.forward(x)))
            array.flat[place] = before
            assert (sums[1] - sums[0]) / 2e-6 == pytest.approx(gradient.flat[place], rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("activation", ["relu", "prelu", "hardswish"])
def test_the_convolutional_network_learns(activation, picture):
    arguments = ["--quiet", "--epochs", "2", "--activation", activation]
    accuracy = convolution.main([*arguments, "--plot", picture])
    assert accuracy > 0.8
    assert accuracy == convolution.main(arguments)


def test_swiglu_block_agrees_with_float64(picture, capsys):
    errors = swiglu.main(["--plot", picture])
    assert max(errors["halfwave"].values()) < 2e-6
    assert "plain NumPy" in capsys.readouterr().out
    gate, relative = swiglu.tails()
    assert np.max(relative["halfwave"], axis=1, where=gate > -87, initial=0).max() < 4e-7
    assert np.min(relative["plain NumPy"], axis=1, where=gate < -90, initial=1) == pytest.approx([1, 1])


def test_packed_blocks_agree_with_float64_in_every_layout(capsys):
    errors = packed.main([])
    assert {"LLaMA", "torch glu", "gpt-oss"} == errors.keys()
    assert "gpt-oss" in capsys.readouterr().out
    for found in errors.values():
        assert max(found[layout] for layout in packed.LAYOUTS) < 3e-6
        assert found["misread"] > 0.5


def test_the_masks_bit_is_all_that_relu_needs(picture):
    runs, masked = sparsity.main(["--quiet", "--epochs", "2", "--plot", picture])
    assert all(np.array_equal(a, b) for a, b in zip(runs["relu"].weights, masked.weights, strict=True))
    assert all(0.2 < share < 0.7 for epoch in runs["relu"].sparsity for share in epoch)
    assert not np.any(runs["leaky_relu"].sparsity + runs["silu"].sparsity)
    kept = sparsity.kept_bytes(32)
    assert kept["input, float32"] == 32 * kept["mask, 1 bit"] == 4 * 32 * 512


def test_a_mask_is_relu_backward():
    layer, x = sparsity.MaskedRelu(7, "layer"), np.random.default_rng(2).standard_normal((5, 7), dtype=np.float32)
    x[0, 0] = 0
    np.testing.assert_array_equal(layer.forward(x), hw.relu(x))
    assert layer.mask.nbytes == 5
    np.testing.assert_array_equal(layer.backward(x + 1), hw.relu_backward(x + 1, x))


def test_the_digits_are_watched(picture, capsys):
    digits.main(["--quiet", "--epochs", "1", "--activation", "relu", "--watch", "--plot", picture])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[1:3]] == [["hidden", "1", "relu", "128"], ["hidden", "2", "relu", "64"]]


def test_watching_changes_nothing():
    plain = digits.main(["--quiet", "--epochs", "1"])
    assert plain == digits.main(["--quiet", "--epochs", "1", "--watch"])


def test_committed_pictures_are_small_and_shown():
    pictures = list((ROOT / "docs" / "images").glob("*.png"))
    assert {p.stem for p in pictures} >= {
        "gallery",
        "vanishing",
        "dying",
        "convolution",
        "swiglu",
        "sparsity",
        "monitor",
    }
    texts = [
        (ROOT / "README.md").read_text(encoding="utf-8"),
        *(p.read_text(encoding="utf-8") for p in (ROOT / "docs").glob("*.md")),
    ]
    for file in pictures:
        assert file.stat().st_size < 150_000
        assert any(f"images/{file.name}" in text for text in texts), f"no text shows {file.name}"


def test_the_recipes_of_the_documentation_run():
    rng = np.random.default_rng(0)
    names = dict.fromkeys(("x", "y", "dx", "g"), rng.standard_normal((4, 8), dtype=np.float32))
    names.update(dict.fromkeys(("gate_weight", "up_weight"), np.eye(8, dtype=np.float32)), hw=hw, np=np, units=8)
    names.update(packed_weight=np.eye(8, 16, dtype=np.float32))
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    recipes = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(recipes) == 5
    for recipe in recipes:
        exec(recipe, names)
    assert names["weight"].shape == (128, 64)
    assert names["dslope"].shape == (8,)
    assert names["watch"].layers["hidden"].examples == 4
