"""The base class of callbacks: what can listen to, and steer, a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clearprop.train.trainer import Trainer


class Callback:
    """Override what you need; each method gets the `Trainer`.

    A batch goes forward, backward, `on_backward_end`, clipping, step, `on_batch_end`. An epoch
    ends with the validation and a new row in `trainer.history`, then `on_epoch_end`. A callback
    may call `trainer.stop(reason)`. One that keeps something from epoch to epoch gives it in
    `state_dict`, as plain numbers, text, lists, dicts, arrays and tensors, so that an interrupted
    run can go on.

    >>> from clearprop.train import Callback
    >>> class StopWhenGood(Callback):
    ...     def on_epoch_end(self, trainer):
    ...         if trainer.history.last["val_loss"] < 0.01:
    ...             trainer.stop("good enough")
    """

    runs_last = False  # a checkpoint must see what the other callbacks did

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before the first epoch; when resuming, model and history are already restored."""

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Before the first batch of an epoch; not again when an epoch is resumed in its middle."""

    def on_backward_end(self, trainer: Trainer) -> None:
        """Gradients are there; the weights are still the old ones."""

    def on_batch_end(self, trainer: Trainer) -> None:
        """The weights have moved; `trainer.batch_loss` is the loss before that."""

    def on_epoch_end(self, trainer: Trainer) -> None:
        """`trainer.history.last` is the row of the epoch."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch, also when stopped; not after an error."""

    def on_fit_exit(self, trainer: Trainer) -> None:
        """Always, also after an error: give back what was taken (files, the terminal)."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`; called after `on_fit_start`."""
