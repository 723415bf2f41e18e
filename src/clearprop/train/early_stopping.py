"""Stop when the validation no longer gets better, and go back to the best weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from clearprop.errors import ClearpropError, did_you_mean
from clearprop.train.callback import Callback

if TYPE_CHECKING:
    from clearprop.train.trainer import Trainer

SMALLER_IS_BETTER = ("loss", "mse", "rmse", "mae")


class MonitorError(ClearpropError, KeyError):
    """A column of the history that there is not."""

    def __str__(self) -> str:
        return str(self.args[0])


def monitored(trainer: Trainer, name: str | None, who: str) -> tuple[str, float]:
    """Column and value of the last row; None means val_loss, or train_loss without validation."""
    row = trainer.history.last
    column = name or ("val_loss" if "val_loss" in row else "train_loss")
    if column not in row:
        hint = "; pass validation= to fit" if column.startswith("val_") else ""
        raise MonitorError(
            f"{who}: the history has no column {column!r}{did_you_mean(column, row)}; "
            f"it has {', '.join(row)}{hint}"
        )
    return column, float(row[column])


class EarlyStopping(Callback):
    """Stop after `patience` epochs without a new best; then `restore_best` loads the best weights.

    `monitor` is a column of the history (val_loss, or train_loss without validation); `mode` says
    whether small ("min") or large ("max") is good, and follows from the name if not given. A new
    best must be better by more than `min_delta`. `patience=None` never stops, it only restores.

    >>> from clearprop.train import EarlyStopping
    >>> EarlyStopping(patience=5, monitor="val_accuracy").mode
    'max'
    """

    def __init__(
        self,
        patience: int | None = 10,
        restore_best: bool = True,
        *,
        monitor: str | None = None,
        mode: Literal["min", "max"] | None = None,
        min_delta: float = 0.0,
    ) -> None:
        if patience is not None and patience < 1:
            raise ValueError(f"EarlyStopping: patience is {patience}, wanted at least 1 epoch")
        if mode not in (None, "min", "max"):
            raise ValueError(f"EarlyStopping: mode is {mode!r}, wanted 'min' or 'max'")
        column = (monitor or "loss").removeprefix("val_").removeprefix("train_")
        self.patience = patience
        self.restore_best = restore_best
        self.monitor = monitor
        self.mode = mode or ("min" if column in SMALLER_IS_BETTER else "max")
        self.min_delta = min_delta
        self._forget()

    def _forget(self) -> None:
        self.best = math.inf if self.mode == "min" else -math.inf
        self.best_epoch = 0
        self.waited = 0
        self.best_weights: dict[str, Any] | None = None

    def on_fit_start(self, trainer: Trainer) -> None:
        self._forget()

    def on_epoch_end(self, trainer: Trainer) -> None:
        _, value = monitored(trainer, self.monitor, "EarlyStopping")
        gain = self.best - value if self.mode == "min" else value - self.best
        if gain > self.min_delta:  # a nan is never a gain
            self.best, self.best_epoch, self.waited = value, trainer.epoch, 0
            if self.restore_best:
                weights = trainer.model.state_dict()
                self.best_weights = {k: v.detach().clone() for k, v in weights.items()}
            return
        self.waited += 1
        if self.patience is not None and self.waited >= self.patience:
            trainer.stop("early stopping")

    def on_fit_end(self, trainer: Trainer) -> None:
        # An interrupted run goes on later, from the weights as they are now.
        if self.best_weights is not None and trainer.history.stopped != "interrupted":
            trainer.model.load_state_dict(self.best_weights)

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self.best if math.isfinite(self.best) else None,
            "best_epoch": self.best_epoch,
            "waited": self.waited,
            "best_weights": self.best_weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["best"] is not None:
            self.best = state["best"]
        self.best_epoch = state["best_epoch"]
        self.waited = state["waited"]
        self.best_weights = state["best_weights"]
