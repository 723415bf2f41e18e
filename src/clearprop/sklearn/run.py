"""What the callbacks of a fit see and steer."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

from clearprop.train.callback import Callback
from clearprop.train.history import History

NOT_A_CALLBACK = (
    "callbacks: wants clearprop.train.Callback objects or functions, got {kind}: give a list of"
    " them"
)
NO_PLACE = (
    "callbacks: {kind} wants to look between the backward pass and the update, which are one call"
    " here; clearprop.train.Trainer has a place for it"
)


class Run:
    """A fit under way: `estimator`, `model`, `optimizer`, `epoch` (from 1), `epochs`, `batch`,
    `n_batches`, `batch_loss`, `history` (a row per epoch) and `stop(reason)`.

    Callbacks are `clearprop.train.Callback`s, or functions that are called with the run at the end
    of every epoch.
    """

    def __init__(
        self,
        estimator: Any,
        model: Any,
        optimizer: Any,
        epochs: int,
        n_batches: int,
        callbacks: list[Callback],
    ) -> None:
        self.estimator = estimator
        self.model = model
        self.optimizer = optimizer
        self.epochs = epochs
        self.n_batches = n_batches
        self.epoch = 0
        self.batch = 0
        self.batch_rows = 0
        self.batch_loss = math.nan
        self.history = History()
        self._callbacks = sorted(callbacks, key=lambda c: c.runs_last)
        self._clock = 0.0
        every_batch = any(
            type(c).on_batch_end is not Callback.on_batch_end for c in self._callbacks
        )
        self.watch: Callable[[float, int], bool] | None = self._watch if every_batch else None

    def stop(self, reason: str = "stopped") -> None:
        """End the fit after the running batch (if a callback looks at batches) or epoch."""
        self.history.stopped = reason

    @property
    def stopped(self) -> bool:
        return self.history.stopped is not None

    @property
    def lr(self) -> float:
        """The learning rate of the first parameter group."""
        return float(self.optimizer.param_groups[0]["lr"])

    def call(self, event: str) -> None:
        for callback in self._callbacks:
            getattr(callback, event)(self)

    def begin_epoch(self) -> None:
        self.epoch += 1
        self.batch = 0
        self._clock = time.perf_counter()
        self.call("on_epoch_start")

    def end_epoch(self, loss: float, score: float | None) -> None:
        row: dict[str, Any] = {"epoch": self.epoch, "train_loss": loss}
        if score is not None:
            row["val_score"] = score
        row |= {"lr": self.lr, "seconds": time.perf_counter() - self._clock}
        self.history.rows.append(row)
        self.call("on_epoch_end")

    def _watch(self, loss: float, rows: int) -> bool:
        self.batch += 1
        self.batch_loss, self.batch_rows = loss, rows
        self.call("on_batch_end")
        return self.stopped


class _AtEpochEnd(Callback):
    """A function as a callback."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def on_epoch_end(self, trainer: Any) -> None:
        self.function(trainer)


def callbacks_of(given: Any) -> list[Callback]:
    """Callbacks as they are, functions wrapped.

    Errors: TypeError for anything else, ValueError for a callback that there is no place for.
    """
    if given is None:
        return []
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(NOT_A_CALLBACK.format(kind=type(given).__name__))
    out: list[Callback] = []
    for c in given:
        if not isinstance(c, Callback) and not callable(c):
            raise TypeError(NOT_A_CALLBACK.format(kind=f"a {type(c).__name__} in it"))
        out.append(c if isinstance(c, Callback) else _AtEpochEnd(c))
        if type(out[-1]).on_backward_end is not Callback.on_backward_end:
            raise ValueError(NO_PLACE.format(kind=type(c).__name__))
    return out
