"""The report: whole pages for both tasks, escaped, without scripts or anything from elsewhere."""

import re

import numpy as np
import pytest

from clearprop.train import report
from clearprop.train.report import Mistake, ReportData, write_report


def rows(*metrics):
    return [
        {"epoch": e, "train_loss": 1 / e, "val_loss": 1.1 / e + e / 50, "lr": 0.1 / e}
        | {f"val_{m}": 1 - 0.5 / e for m in metrics}
        for e in range(1, 9)
    ]


def data(task="classification", **changes):
    gradients = [
        {"epoch": e, "name": n, "grad_norm": 1 / e, "weight_norm": 3.0, "update_ratio": 0.01 / e}
        for e in range(1, 9)
        for n in ("0", "2")
    ]
    values = {
        "title": "digits-2026-01-01-1",
        "task": task,
        "command": "clearprop train digits",
        "config": {"hidden": (8, 4), "target": "price", "lr": 0.1},
        "history": rows("accuracy", "f1") if task == "classification" else rows("r2", "rmse"),
        "gradients": gradients,
        "final": {"test_accuracy": 0.9861, "test_f1": 0.98},
        "classes": ["a", "b"],
        "confusion": np.array([[5, 1], [0, 4]]),
        "mistakes": [Mistake("a", "b", 0.9, inputs={"x": 1.5})],
        "true": None,
        "predicted": None,
        "network_svg": "<svg></svg>",
        "findings": None,
        "environment": {"python": "3.11"},
    }
    if task == "regression":
        values |= {"confusion": None, "mistakes": [], "classes": []}
        values |= {"true": np.linspace(0, 9, 50), "predicted": np.linspace(0, 9, 50) + 0.1}
        values |= {"final": {"test_r2": 0.91, "test_rmse": 1234.5}}
    return ReportData(**(values | changes))


def headings(page):
    return re.findall(r"<h3>(.*?)</h3>", page)


def test_classification():
    page = report.html(data())
    assert headings(page) == [
        "Loss",
        "Accuracy and F1 (macro)",
        "Learning rate",
        "Confusion matrix",
        "Gradient norm per layer",
        "Update ratio per layer",
        "Options",
        "Environment",
    ]
    assert "98.61 %" in page
    assert "clearprop train digits" in page


def test_regression():
    page = report.html(data("regression"))
    assert "Predicted over true" in headings(page)
    assert "Errors" in headings(page)
    assert "R²" in page
    assert "Worst mistakes" not in page


def test_pictures_of_mistakes():
    picture = np.arange(64.0).reshape(8, 8)
    page = report.html(data(mistakes=[Mistake("3", "8", 0.75, image=picture)]))
    assert 'class="image"' in page
    assert "75 % sure" in page


def test_no_mistakes_at_all():
    assert "every held-out row was answered right" in report.html(data(mistakes=[]))


def test_names_that_come_from_data_are_escaped():
    evil = "<script>alert(1)</script>"
    page = report.html(
        data(
            title=evil,
            command=evil,
            config={evil: evil, "target": evil},
            classes=[evil, "$x^2$"],
            mistakes=[Mistake(evil, evil, 0.5, inputs={evil: evil})],
            environment={evil: evil},
        )
    )
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_names_of_a_regression_are_escaped():
    page = report.html(data("regression", config={"target": "<img src=x>$"}))
    assert "<img" not in page


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_nothing_comes_from_elsewhere(task):
    page = report.html(data(task))
    links = set(re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"'#)>\s]+)""", page))
    assert links <= {"data:image/png;base64,"}  # the squares of the confusion matrix
    assert "<script" not in page


def test_before_the_first_epoch():
    page = report.html(data(history=[], gradients=[]))
    assert "Confusion matrix" in page


def test_values_that_are_not_finite_are_left_out_of_the_best_epoch():
    history = rows("accuracy", "f1")
    history[0]["val_loss"] = float("nan")
    assert report.best_epoch(history) == min(history[1:], key=lambda r: r["val_loss"])["epoch"]
    assert report.best_epoch([{"epoch": 1, "val_loss": float("nan")}]) is None


def test_many_classes_have_no_numbers_in_the_squares():
    n = 60
    classes = [f"class {i}" for i in range(n)]
    page = report.html(data(classes=classes, confusion=np.eye(n, dtype=int), mistakes=[]))
    assert "Confusion matrix" in page


def test_the_file_is_whole_or_absent(tmp_path):
    write_report(tmp_path / "report.html", data())
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert text.rstrip().endswith("</html>")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
