"""What our pictures have in common, and the picture of a monitor. Imports matplotlib where it draws, not before."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .monitor import Monitor

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
INK, FAINT = "#222222", "#d9d9d9"

STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#888888",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "halfwave",  # the same identifiers in every run
    "svg.fonttype": "none",
}


def style() -> Any:
    """A context in which matplotlib draws in our style."""
    try:
        from matplotlib import rc_context
    except ImportError as error:
        raise ImportError('pictures need matplotlib: pip install "halfwave[plot]"') from error
    return rc_context(STYLE)


def figure(width: float, height: float) -> Figure:
    """An empty figure, without pyplot, so that no window and no global state come with it."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.06))


def save(picture: Figure, file: str, dots_per_inch: float = 150) -> None:
    """Write a figure in the format that the file's ending names, the same bytes every time."""
    ending = file.rpartition(".")[2].lower()
    if ending == "png":
        _save_png(picture, file, dots_per_inch)
    else:
        dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
        picture.savefig(file, metadata=dates.get(ending))


def _save_png(picture: Figure, file: str, dots_per_inch: float) -> None:
    """With a palette: lines on white need few colours, and the file is a third of the size."""
    from PIL import Image

    drawn = io.BytesIO()
    picture.savefig(drawn, dpi=dots_per_inch, format="png")
    image = Image.open(drawn).convert("RGB")
    image.quantize(128, dither=Image.Dither.NONE).save(file, optimize=True, dpi=(dots_per_inch, dots_per_inch))


def monitored(monitor: Monitor, file: str | None) -> Figure:
    """The picture of a monitor."""
    with style():
        names, layers = list(monitor.layers), list(monitor.layers.values())
        picture = figure(11, max(2.6, 1.6 + 0.32 * len(names)))
        units, shares, gradients = picture.subplots(1, 3, sharey=True)
        rows = np.arange(len(names))
        # A violin says nothing of three units, so each unit is a point, moved up and down a little in a fixed order.
        for row, layer in zip(rows, layers, strict=True):
            lift = 0.3 * (np.arange(layer.units) * 0.618034 % 1 - 0.5)
            alive = ~layer.dead
            units.plot(layer.firing_rate[alive], row + lift[alive], ".", color=BLUE, alpha=0.6, markersize=4)
            units.plot(layer.firing_rate[~alive], row + lift[~alive], "x", color=VERMILION, markersize=5)
        units.set(title="How often each unit fires", xlabel="share of examples (crosses: dead)", xlim=(-0.03, 1.03))
        units.set_yticks(rows, names)
        units.invert_yaxis()

        bars: dict[str, tuple[list[float], str]] = {
            "dead units": ([layer.dead.mean() for layer in layers], VERMILION),
            "saturated": ([layer.saturation.mean() for layer in layers], ORANGE),
            "zero outputs": ([layer.sparsity for layer in layers], SKY),
        }
        for k, (label, (values, colour)) in enumerate(bars.items()):
            shares.barh(rows + 0.26 * (k - 1), values, 0.24, label=label, color=colour)
        shares.set(title="Shares", xlim=(0, 1), xlabel="share")
        picture.legend(loc="outside lower center", ncols=len(bars), fontsize=9)
        _norms(gradients, monitor)
        if file is not None:
            save(picture, file)
    return picture


def _norms(ax: Axes, monitor: Monitor) -> None:
    """Each layer's mean gradient norm, from the least to the greatest, and where vanishing and exploding begin."""
    seen = [(row, layer.gradient) for row, layer in enumerate(monitor.layers.values()) if layer.gradient.mean > 0]
    ax.set(title="Gradient norm", xlabel="mean, least and greatest of the batches")
    if not seen:
        return
    ax.set_xscale("log")
    for row, norms in seen:
        ax.plot([max(norms.least, 1e-300), norms.greatest], [row, row], color=SKY, linewidth=3, solid_capstyle="round")
        ax.plot(norms.mean, row, "o", color=BLUE)
    last = seen[-1][1].mean
    low, high = ax.get_xlim()
    for limit, label in ((monitor.vanishing, "vanishing"), (monitor.exploding, "exploding")):
        if low < limit * last < high and math.isfinite(limit):
            ax.axvline(limit * last, color=VERMILION, linestyle="--", linewidth=1)
            ax.text(limit * last, 0.99, f" {label}", color=VERMILION, transform=ax.get_xaxis_transform(), va="top")
