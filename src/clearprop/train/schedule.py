"""A learning-rate scheduler as a callback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from clearprop.optim.lr_scheduler import ReduceLROnPlateau
from clearprop.train.callback import Callback
from clearprop.train.early_stopping import monitored

if TYPE_CHECKING:
    from clearprop.train.trainer import Trainer


class Schedule(Callback):
    """Call `scheduler.step()` after every epoch, or after every batch.

    ReduceLROnPlateau is given the column `monitor` of the history (val_loss, or train_loss without
    validation). `Trainer(..., scheduler=s)` is short for `callbacks=[Schedule(s)]`.
    """

    def __init__(
        self,
        scheduler: Any,
        every: Literal["epoch", "batch"] = "epoch",
        *,
        monitor: str | None = None,
    ) -> None:
        if every not in ("epoch", "batch"):
            raise ValueError(f"Schedule: every is {every!r}, wanted 'epoch' or 'batch'")
        self.scheduler = scheduler
        self.every = every
        self.monitor = monitor
        self.by_value = isinstance(scheduler, ReduceLROnPlateau)
        if self.by_value and every == "batch":
            raise ValueError("Schedule: ReduceLROnPlateau looks at epochs; use every='epoch'")

    def on_batch_end(self, trainer: Trainer) -> None:
        if self.every == "batch":
            self.scheduler.step()

    def on_epoch_end(self, trainer: Trainer) -> None:
        if self.every == "batch":
            return
        if self.by_value:
            self.scheduler.step(monitored(trainer, self.monitor, "Schedule")[1])
        else:
            self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        return {"scheduler": self.scheduler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scheduler.load_state_dict(state["scheduler"])
