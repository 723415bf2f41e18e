"""What a trained network does with held-out rows: outputs, probabilities, figures."""

from __future__ import annotations

from typing import Any

import numpy as np

from clearprop.autograd import no_grad
from clearprop.core import wrap
from clearprop.train.metrics import metrics_of
from clearprop.train.problem import Problem

METRICS = {"classification": ("accuracy", "f1"), "regression": ("r2", "rmse", "mae")}
EVALUATE_ROWS = 1024


def forward(model: Any, x: np.ndarray) -> np.ndarray:
    """Outputs of the model in eval mode, in pieces that fit into memory."""
    model.eval()
    with no_grad():
        pieces = [
            model(wrap(x[i : i + EVALUATE_ROWS], None)).numpy()
            for i in range(0, len(x), EVALUATE_ROWS)
        ]
    return np.concatenate(pieces)


def score(problem: Problem, outputs: np.ndarray) -> dict[str, float]:
    """The metrics on the test rows; of a regression in the units of the target."""
    targets = problem.rows("test")[1].numpy()
    if problem.task == "regression":
        back = problem.preprocessor.inverse_target
        outputs, targets = back(outputs)[:, None], back(targets)[:, None]
    found = {}
    for metric in metrics_of(METRICS[problem.task]):
        metric.update(outputs, targets)
        found[f"test_{metric.name}"] = metric.value()
    return found


def probabilities(outputs: np.ndarray) -> np.ndarray:
    """Softmax over classes, shifted by the largest so that nothing overflows."""
    e = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
