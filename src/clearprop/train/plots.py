"""The plots of the report, as SVG text. Matplotlib draws on figures of its own and shares no state
with the user's.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

# Okabe and Ito's palette, told apart with every kind of colour blindness (Color universal design,
# 2008); blue first.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7f7f7f"]
STYLES = ["-", "--", "-.", ":"]
INK = "#123456"  # stands for the page's own text colour, which it becomes in the SVG
SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "clearprop",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.color": "#888888",
    "axes.axisbelow": True,
}

Series = Sequence[tuple[str, Sequence[float], Sequence[float]]]


def curves(
    series: Series, ylabel: str, *, log: bool = False, mark: float | None = None, label: str = ""
) -> str:
    """Lines over epochs; `mark` is an epoch to point out."""
    with rc_context(SETTINGS):
        figure, axes = _figure(4.4, 3.0)
        for i, (name, x, y) in enumerate(series):
            style = STYLES[(i if len(series) <= 4 else i // len(COLOURS)) % len(STYLES)]
            marker = "o" if len(x) == 1 else None
            colour = COLOURS[i % len(COLOURS)]
            axes.plot(x, y, style, color=colour, label=_plain(name), linewidth=1.8, marker=marker)
        if mark is not None:
            axes.axvline(mark, color="#888888", linewidth=1, linestyle=":")
            axes.annotate(
                "best", (mark, 1), xycoords=("data", "axes fraction"), xytext=(3, -9),
                textcoords="offset points", fontsize=8, color=INK,
            )  # fmt: skip
        values = [v for _, _, y in series for v in y if np.isfinite(v) and v > 0]
        if log and values:
            axes.set_yscale("log")
            if max(values) < 20 * min(values):  # within a decade or so, plain numbers read best
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
                axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("epoch")
        axes.set_ylabel(ylabel)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(series) > 1:
            axes.legend(frameon=False, fontsize=9, ncols=1 + (len(series) > 6))
        return _svg(figure, label or ylabel)


def confusion(matrix: np.ndarray, classes: Sequence[str]) -> str:
    """Rows: true classes; columns: predicted ones; colour: share of the row."""
    n = len(classes)
    side = min(max(3.2, 0.42 * n), 11.0)
    with rc_context({**SETTINGS, "axes.grid": False}):
        figure, axes = _figure(side + 0.8, side)
        share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        names = [_plain(c if len(c) <= 16 else c[:15] + "…") for c in classes]
        turned = 90 if max(map(len, names), default=0) > 4 else 0
        step = 1 if n <= 40 else n // 20
        axes.set_xticks(range(0, n, step), names[::step], rotation=turned)
        axes.set_yticks(range(0, n, step), names[::step])
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        if n <= 26:
            for i in range(n):
                for j in range(n):
                    if matrix[i, j]:
                        colour = "white" if share[i, j] > 0.5 else "#1d2733"
                        axes.text(j, i, str(matrix[i, j]), ha="center", va="center",
                                  fontsize=9 if n <= 12 else 7, color=colour)  # fmt: skip
        return _svg(figure, "confusion matrix")


MOST_POINTS = 2000


def scatter(true: np.ndarray, predicted: np.ndarray, target: str) -> str:
    """Predicted over true values; the diagonal is where they agree."""
    with rc_context(SETTINGS):
        figure, axes = _figure(4.6, 4.2)
        step = max(1, len(true) // MOST_POINTS)
        axes.scatter(
            true[::step], predicted[::step], s=9, alpha=0.55, color=COLOURS[0], linewidths=0
        )
        ends = [float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))]
        axes.plot(ends, ends, color=COLOURS[1], linewidth=1.2)
        axes.set_xlabel(_plain(f"true {target}"))
        axes.set_ylabel(_plain(f"predicted {target}"))
        return _svg(figure, "predicted over true values")


def histogram(errors: np.ndarray, target: str) -> str:
    """How large the errors of a regression are, and to which side."""
    with rc_context(SETTINGS):
        figure, axes = _figure(4.6, 4.2)
        axes.hist(errors, bins=min(60, max(10, len(errors) // 20)), color=COLOURS[0], alpha=0.85)
        axes.axvline(0, color=COLOURS[1], linewidth=1.2)
        axes.set_xlabel(_plain(f"error: predicted − true {target}"))
        axes.set_ylabel("rows")
        return _svg(figure, "histogram of errors")


def image(pixels: np.ndarray) -> str:
    """A small grey picture, dark where the value is large."""
    height, width = pixels.shape
    low, high = float(pixels.min()), float(pixels.max())
    shade = (pixels - low) / (high - low) if high > low else np.zeros_like(pixels)
    squares = "".join(
        f'<rect x="{x}" y="{y}" width="1.02" height="1.02" fill-opacity="{shade[y, x]:.2f}"/>'
        for y in range(height)
        for x in range(width)
        if shade[y, x] > 0.01
    )
    return (
        f'<svg class="image" viewBox="0 0 {width} {height}" role="img" aria-label="input" '
        f'fill="currentColor">{squares}</svg>'
    )


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    return figure, axes


def _plain(text: Any) -> str:
    """Text that Matplotlib takes as it stands: no mathematics between dollar signs."""
    return str(text).replace("$", r"\$").replace("\n", " ")


def _svg(figure: Figure, label: str) -> str:
    """The SVG element alone, in the page's text colour, sized by the page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', "", text, count=1)
    width = figure.get_size_inches()[0] * 96
    style = f"max-width:{width:.0f}px;width:100%"
    head = f'<svg role="img" aria-label="{escape(label)}" style="{style}"'
    return text.replace("<svg", head, 1).replace(INK, "currentColor")
