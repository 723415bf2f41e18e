"""Schedules made of schedules: one after the other, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from clearprop.optim.optimizer import Optimizer, not_traced
from clearprop.optim.plateau import ReduceLROnPlateau
from clearprop.optim.schedule import LRScheduler


class SequentialLR(LRScheduler):
    """One schedule after the other: schedulers[i] ends at the epoch milestones[i].

    >>> import clearprop as cp
    >>> from clearprop.optim.lr_scheduler import ExponentialLR, LinearLR, SequentialLR
    >>> optimizer = cp.optim.SGD([cp.zeros(1, requires_grad=True)], lr=1.0)
    >>> warm, fall = LinearLR(optimizer, 0.5, total_iters=2), ExponentialLR(optimizer, 0.5)
    >>> scheduler = SequentialLR(optimizer, [warm, fall], milestones=[2])
    >>> rates = []
    >>> for _ in range(4):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [0.5, 0.75, 1.0, 0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        if not schedulers or len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "SequentialLR: expected number of schedulers to be one more than the number of "
                f"milestones, got {len(schedulers)} schedulers and {len(milestones)} milestones"
            )
        check_parts("SequentialLR", schedulers, optimizer)
        self._schedulers = list(schedulers)
        self._milestones = list(milestones)
        super().__init__(optimizer, last_epoch)

    def _begin(self) -> None:
        # The schedulers each took their first step: take it back, and let only the first begin.
        self.last_epoch += 1
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self._take_back()
        self._schedulers[0]._begin()
        self._last_lr = self._schedulers[0].get_last_lr()

    def _take_back(self) -> None:
        for scheduler in self._schedulers:
            scheduler._take_back()

    def get_lr(self) -> list[float]:
        return self._rates()

    def step(self, epoch: int | None = None) -> None:
        """Step the schedule whose turn it is."""
        if epoch is not None:
            raise ValueError("SequentialLR: step(epoch) is not possible, call step()")
        not_traced(self)
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[i]
        scheduler.step(0 if i > 0 and self._milestones[i - 1] == self.last_epoch else None)
        self._last_lr = scheduler.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """The states of all schedulers."""
        return super().state_dict() | {"_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class ChainedScheduler(LRScheduler):
    """All schedules at once: each changes what the one before it has set.

    >>> import clearprop as cp
    >>> from clearprop.optim.lr_scheduler import ChainedScheduler, ConstantLR, ExponentialLR
    >>> optimizer = cp.optim.SGD([cp.zeros(1, requires_grad=True)], lr=1.0)
    >>> parts = [ConstantLR(optimizer, 0.5, total_iters=2), ExponentialLR(optimizer, 0.5)]
    >>> scheduler = ChainedScheduler(parts)
    >>> rates = []
    >>> for _ in range(4):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [0.5, 0.25, 0.25, 0.125]
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        if not schedulers:
            raise ValueError(
                "ChainedScheduler: expects at least one scheduler to be chained, but got no"
                " scheduler"
            )
        optimizer = schedulers[0].optimizer if optimizer is None else optimizer
        check_parts("ChainedScheduler", schedulers, optimizer)
        self._schedulers = list(schedulers)
        self.optimizer = optimizer
        self._last_lr = self._rates()

    def _take_back(self) -> None:
        for scheduler in self._schedulers:
            scheduler._take_back()

    def get_lr(self) -> list[float]:
        return self._rates()

    def step(self, epoch: int | None = None) -> None:
        """Step every schedule."""
        for scheduler in self._schedulers:
            scheduler.step(epoch)
        self._last_lr = self._rates()

    def state_dict(self) -> dict[str, Any]:
        """The states of all schedulers."""
        return super().state_dict() | {"_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


def check_parts(name: str, schedulers: Sequence[Any], optimizer: Optimizer) -> None:
    """Errors unless these are schedules of one optimizer that step without a value."""
    for i, scheduler in enumerate(schedulers):
        if isinstance(scheduler, ReduceLROnPlateau):
            raise ValueError(
                f"{name}: does not support `ReduceLROnPlateau`, whose step() wants a value, but got"
                f" one at index {i}; step it beside this one"
            )
        if not isinstance(scheduler, LRScheduler):
            raise TypeError(f"{name}: {type(scheduler).__name__} at index {i} is no schedule")
        if scheduler.optimizer is not optimizer:
            raise ValueError(
                f"{name}: expects all schedulers to belong to the same optimizer; the one at index"
                f" {i}, {type(scheduler).__name__}, belongs to another"
            )
