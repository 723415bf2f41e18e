"""Training: the loop, callbacks, metrics, checkpoints and reports.

    Trainer(model, loss, optimizer, metrics=["accuracy"]).fit(train, validation, epochs=20)

The report is loaded when it is first asked for, since it draws with matplotlib.
"""

from __future__ import annotations

import importlib
from typing import Any

from clearprop.train.callback import Callback
from clearprop.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from clearprop.train.csv_log import CSVLog
from clearprop.train.early_stopping import EarlyStopping
from clearprop.train.gradient_log import GradientLog
from clearprop.train.history import History
from clearprop.train.metrics import MAE, METRICS, MSE, R2, RMSE, Accuracy, F1Macro, Metric
from clearprop.train.progress import Progress
from clearprop.train.schedule import Schedule
from clearprop.train.trainer import Trainer, TrainingError

LAZY = dict.fromkeys(("Mistake", "ReportData", "write_report"), "clearprop.train.report")

__all__ = [
    "MAE", "METRICS", "MSE", "R2", "RMSE", "Accuracy", "CSVLog", "Callback", "Checkpoint",
    "EarlyStopping", "F1Macro", "GradientLog", "History", "Metric", "Mistake", "Progress",
    "ReportData", "Schedule", "Trainer", "TrainingError", "load_checkpoint", "save_checkpoint",
    "write_report",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module 'clearprop.train' has no attribute {name!r}")
    return getattr(importlib.import_module(LAZY[name]), name)
