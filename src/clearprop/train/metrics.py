"""Metrics that are gathered batch by batch, so that an epoch never has to keep its outputs.

What a metric has gathered is a few numbers (`state_dict`), so an interrupted epoch can go on.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from clearprop.errors import ClearpropError, ShapeError, did_you_mean


class MetricError(ClearpropError, ValueError):
    """A metric that there is not, or that does not fit the outputs."""


class Metric(ABC):
    """Base class: define `name`, `update(outputs, targets)` and `value()`; keep numbers in `total`.

    `outputs` and `targets` are NumPy arrays with the rows of one batch.
    """

    name: str

    def __init__(self) -> None:
        self.total: dict[str, Any] = {}

    def reset(self) -> None:
        """Forget what was gathered."""
        self.total = {}

    @abstractmethod
    def update(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        """Take in one batch."""

    @abstractmethod
    def value(self) -> float:
        """The metric over everything since `reset`; nan where there was nothing."""

    def state_dict(self) -> dict[str, Any]:
        """What was gathered, as plain numbers and lists."""
        return dict(self.total)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.total = dict(state)

    def _add(self, **amounts: float) -> None:
        for key, amount in amounts.items():
            self.total[key] = self.total.get(key, 0) + amount


def classes_of(outputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true class numbers, each (rows,).

    Several outputs: the largest wins. One output is a logit: class 1 where it is above 0. Targets
    are class numbers, or one probability per class.
    """
    if outputs.ndim >= 2 and outputs.shape[1] > 1:
        predicted = outputs.argmax(axis=1)
    else:
        predicted = (outputs.reshape(len(outputs), -1)[:, 0] > 0).astype(np.int64)
    if targets.ndim == outputs.ndim and targets.ndim >= 2 and targets.shape[1] > 1:
        true = targets.argmax(axis=1)
    else:
        true = targets.reshape(predicted.shape).astype(np.int64)
    return predicted.reshape(-1), true.reshape(-1)


class Accuracy(Metric):
    """The share of rows whose class is right.

    >>> import numpy as np
    >>> from clearprop.train import Accuracy
    >>> m = Accuracy()
    >>> m.update(np.array([[2.0, 1.0], [0.0, 3.0]]), np.array([0, 0]))
    >>> m.value()
    0.5
    """

    name = "accuracy"

    def update(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        predicted, true = classes_of(outputs, targets)
        self._add(right=int((predicted == true).sum()), rows=len(true))

    def value(self) -> float:
        return self.total["right"] / self.total["rows"] if self.total else math.nan


class F1Macro(Metric):
    """The mean over classes of F1 = 2 TP / (2 TP + FP + FN); classes that never occur do not count.

    >>> import numpy as np
    >>> from clearprop.train import F1Macro
    >>> m = F1Macro()
    >>> m.update(np.array([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]]), np.array([0, 0, 0]))
    >>> m.value()
    0.4
    """

    name = "f1"

    def update(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        predicted, true = classes_of(outputs, targets)
        before = self.total.get("counts", [])
        n = int(max(predicted.max(initial=-1), true.max(initial=-1))) + 1
        size = max(n, len(before))
        counts = np.zeros((size, 3), dtype=np.int64)  # TP, predicted, true
        counts[: len(before)] = np.asarray(before, dtype=np.int64).reshape(-1, 3)
        counts[:, 0] += np.bincount(true[predicted == true], minlength=size)
        counts[:, 1] += np.bincount(predicted, minlength=size)
        counts[:, 2] += np.bincount(true, minlength=size)
        self.total = {"counts": counts.tolist()}

    def value(self) -> float:
        counts = np.asarray(self.total.get("counts", []), dtype=np.float64).reshape(-1, 3)
        both = counts[:, 1] + counts[:, 2]  # 2 TP + FP + FN
        seen = both > 0
        return float((2 * counts[seen, 0] / both[seen]).mean()) if seen.any() else math.nan


def residuals(name: str, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """outputs - targets in float64; shapes must be the same, (n, 1) against (n,) is refused."""
    if outputs.shape != targets.shape:
        raise ShapeError(
            f"{name}: outputs have shape {outputs.shape} and targets {targets.shape}; "
            "they must be the same (targets of a network with one output are (n, 1))"
        )
    return outputs.astype(np.float64) - targets.astype(np.float64)


class MSE(Metric):
    """Mean squared error."""

    name = "mse"

    def update(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        d = residuals(self.name, outputs, targets)
        self._add(squares=float(np.vdot(d, d)), n=d.size)

    def value(self) -> float:
        return self.total["squares"] / self.total["n"] if self.total else math.nan


class RMSE(MSE):
    """Root of the mean squared error: in the units of the target."""

    name = "rmse"

    def value(self) -> float:
        return math.sqrt(super().value())


class MAE(Metric):
    """Mean absolute error."""

    name = "mae"

    def update(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        d = residuals(self.name, outputs, targets)
        self._add(absolute=float(np.abs(d).sum()), n=d.size)

    def value(self) -> float:
        return self.total["absolute"] / self.total["n"] if self.total else math.nan


class R2(Metric):
    """R² = 1 - sum (y - ŷ)² / sum (y - mean y)²: 1 is perfect, 0 is what the mean would give.

    >>> import numpy as np
    >>> from clearprop.train import R2
    >>> m = R2()
    >>> m.update(np.array([[1.0], [2.0], [4.0]]), np.array([[1.0], [2.0], [3.0]]))
    >>> m.value()
    0.5
    """

    name = "r2"

    def update(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        d = residuals(self.name, outputs, targets)
        if not d.size:
            return
        y = targets.astype(np.float64)
        n, mean = d.size, float(y.mean())
        spread = float(np.square(y - mean).sum())
        # Chan's merge of two means: sum y² - n mean² would cancel where the mean is large.
        n0, mean0 = self.total.get("n", 0), self.total.get("mean", 0.0)
        shift = mean - mean0
        self._add(
            squares=float(np.vdot(d, d)), spread=spread + shift * shift * n0 * n / (n0 + n), n=n
        )
        self.total["mean"] = mean0 + shift * n / (n0 + n)

    def value(self) -> float:
        if not self.total or self.total["spread"] == 0:
            return math.nan
        return 1 - self.total["squares"] / self.total["spread"]


METRICS: dict[str, Callable[[], Metric]] = {
    m.name: m for m in (Accuracy, F1Macro, MSE, RMSE, MAE, R2)
}


def metrics_of(metrics: Iterable[str | Metric]) -> list[Metric]:
    """Names of `METRICS` and Metric objects, as objects."""
    found = []
    for m in metrics:
        if isinstance(m, str) and m not in METRICS:
            raise MetricError(
                f"Trainer: there is no metric {m!r}{did_you_mean(m, METRICS)}; "
                f"there are {', '.join(METRICS)}"
            )
        found.append(METRICS[m]() if isinstance(m, str) else m)
    names = [m.name for m in found]
    if len(set(names)) < len(names):
        raise MetricError(f"Trainer: a metric is there twice: {', '.join(names)}")
    return found
