"""report.html of a run: one self-contained page, without scripts, with everything that comes from
data escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from clearprop.serialization import atomic_write
from clearprop.train import plots


@dataclass
class Mistake:
    """A held-out row that the network got wrong; `image` (height, width) if the inputs are one."""

    true: str
    predicted: str
    confidence: float
    image: np.ndarray | None = None
    inputs: dict[str, Any] = field(default_factory=dict)


@dataclass
class ReportData:
    """What the report shows. `task` is classification or regression: `confusion`, `classes` and
    `mistakes` belong to the first, `true` and `predicted` to the second.
    """

    title: str
    task: str
    command: str
    config: dict[str, Any]
    history: list[dict[str, Any]]
    gradients: list[dict[str, Any]]
    final: dict[str, float]
    classes: list[str]
    confusion: np.ndarray | None
    mistakes: list[Mistake]
    true: np.ndarray | None
    predicted: np.ndarray | None
    network_svg: str
    findings: list[dict[str, Any]] | None  # of the doctor; None: it was not there
    environment: dict[str, str]


@dataclass
class Plot:
    """One picture of the page: its heading, what it says, and the SVG."""

    heading: str
    note: str
    svg: Markup


NAMES = {"r2": "R²", "rmse": "RMSE", "mae": "MAE", "f1": "F1 (macro)", "accuracy": "accuracy"}
_templates = Environment(
    loader=PackageLoader("clearprop.train", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write_report(path: str | Path, data: ReportData) -> None:
    """Write the page, all of it or nothing."""
    atomic_write(path, html(data).encode("utf-8"))


def html(data: ReportData) -> str:
    """The text of the page."""
    best = best_epoch(data.history)
    return _templates.get_template("report.html.j2").render(
        data=data,
        headline=headline(data),
        best=best,
        learning=learning(data, best),
        answers=answers(data),
        mistakes=[
            (m, None if m.image is None else Markup(plots.image(m.image))) for m in data.mistakes
        ],
        layers=layers(data.gradients),
        network=Markup(data.network_svg),
    )


def headline(data: ReportData) -> list[tuple[str, str]]:
    """(name, value) of the figures on top: those of the held-out rows."""
    out = []
    for name, value in data.final.items():
        plain = name.removeprefix("test_")
        share = plain in ("accuracy", "f1")
        text = f"{100 * value:.2f} %" if plain == "accuracy" else f"{value:.4g}"
        out.append((NAMES.get(plain, plain), f"{value:.4f}" if share and plain == "f1" else text))
    return out


def best_epoch(history: list[dict[str, Any]]) -> int | None:
    """The epoch with the smallest validation loss."""
    rows = [r for r in history if np.isfinite(r.get("val_loss", np.nan))]
    return min(rows, key=lambda r: r["val_loss"])["epoch"] if rows else None


def _series(history: list[dict[str, Any]], columns: Sequence[str]) -> list[Any]:
    names = {"train_loss": "training", "val_loss": "validation"}
    found = []
    for column in columns:
        rows = [(r["epoch"], r[column]) for r in history if r.get(column) is not None]
        if rows:
            name = names.get(column, column.removeprefix("val_"))
            found.append((NAMES.get(name, name), *map(list, zip(*rows, strict=True))))
    return found


def learning(data: ReportData, best: int | None) -> list[Plot]:
    """Curves over epochs: loss, metrics, learning rate."""
    history = data.history
    if not history:
        return []
    out = []
    losses = _series(history, ["train_loss", "val_loss"])
    if losses:
        svg = plots.curves(losses, "loss", log=True, mark=best)
        note = (
            "Mean per row, the training loss with dropout at work. A gap that opens: overfitting."
        )
        out.append(Plot("Loss", note, Markup(svg)))
    known = {"epoch", "train_loss", "val_loss", "lr", "seconds"}
    metrics = [c for c in history[-1] if c not in known and c.startswith("val_")]
    small = [c for c in metrics if c.removeprefix("val_") in ("accuracy", "f1", "r2")] or metrics
    if small:
        svg = plots.curves(_series(history, small), "on the validation rows", mark=best)
        title = " and ".join(name for name, *_ in _series(history, small))
        out.append(Plot(title[:1].upper() + title[1:], "On the validation rows.", Markup(svg)))
    if len({r.get("lr") for r in history}) > 1:
        svg = plots.curves(_series(history, ["lr"]), "learning rate")
        out.append(Plot("Learning rate", "At the end of each epoch.", Markup(svg)))
    return out


def answers(data: ReportData) -> list[Plot]:
    """What the trained network answers on the held-out rows."""
    if data.confusion is not None:
        note = (
            "Held-out rows. The diagonal is right; a dark square beside it is a frequent mistake."
        )
        return [
            Plot("Confusion matrix", note, Markup(plots.confusion(data.confusion, data.classes)))
        ]
    if data.true is None or data.predicted is None:
        return []
    target = str(data.config.get("target") or "target")
    true, predicted = data.true.ravel(), data.predicted.ravel()
    return [
        Plot("Predicted over true", "Held-out rows; right on the line.",
             Markup(plots.scatter(true, predicted, target))),
        Plot("Errors", "Held-out rows, in the units of the target.",
             Markup(plots.histogram(predicted - true, target))),
    ]  # fmt: skip


def layers(rows: list[dict[str, Any]]) -> list[Plot]:
    """Gradient norms and update ratios per layer, over epochs."""
    if not rows:
        return []
    names = list(dict.fromkeys(r["name"] for r in rows))

    def series(column: str) -> list[Any]:
        return [
            (n, [r["epoch"] for r in rows if r["name"] == n],
             [r[column] for r in rows if r["name"] == n])
            for n in names
        ]  # fmt: skip

    gradient = (
        "Mean over batches. A layer far below the others learns little: its gradient vanishes."
    )
    ratio = (
        "|change| / |weights| of a step. About 0.001 is usual; far above: learning rate too high."
    )
    return [
        Plot("Gradient norm per layer", gradient,
             Markup(plots.curves(series("grad_norm"), "gradient norm", log=True))),
        Plot("Update ratio per layer", ratio,
             Markup(plots.curves(series("update_ratio"), "update ratio", log=True))),
    ]  # fmt: skip
