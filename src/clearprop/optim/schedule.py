"""What learning-rate schedules share.

A schedule changes `group["lr"]` of its optimizer by a rule of `last_epoch`, the number of steps so
far, in PyTorch's recursive form (the next rate from the present one), so that several can be
applied to one optimizer.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from clearprop.core.events import listeners, tell
from clearprop.optim.optimizer import Optimizer, not_traced


class LRScheduler:
    """Sets the learning rates of an optimizer once per epoch; a subclass gives `get_lr`.

    >>> import clearprop as cp
    >>> optimizer = cp.optim.SGD([cp.zeros(1, requires_grad=True)], lr=1.0)
    >>> scheduler = cp.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> rates = []
    >>> for _ in range(4):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [1.0, 1.0, 0.5, 0.5]
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        name = type(self).__name__
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{name}: {type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{name}: param 'initial_lr' is not specified in param_groups[{i}] when "
                    "resuming an optimizer; load the optimizer's state_dict first"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._begin()

    def _begin(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def _take_back(self) -> None:
        """Undo the first step's count, for a schedule whose turn comes later."""
        self.last_epoch -= 1

    def get_lr(self) -> list[float]:
        """The rates for `last_epoch`, from the present ones."""
        raise NotImplementedError(f"{type(self).__name__}: a schedule must define get_lr()")

    def get_closed_lr(self) -> list[float]:
        """The rates for `last_epoch`, from the initial ones."""
        return self.get_lr()

    def get_last_lr(self) -> list[float]:
        """The rates that the last step set."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Go to the next epoch, or to the given one, and set the rates."""
        not_traced(self)
        if listeners:
            tell("schedule", self)
        if self._step_count == 1 and not self.optimizer._opt_called:
            warnings.warn(
                f"{type(self).__name__}: Detected call of `lr_scheduler.step()` before "
                "`optimizer.step()`; the first learning rate is skipped. Call optimizer.step() "
                "first",
                stacklevel=2,
            )
        self._step_count += 1
        if epoch is None:
            self.last_epoch += 1
            rates = self.get_lr()
        else:
            self.last_epoch = epoch
            rates = self.get_closed_lr()
        self._set(rates)

    def _set(self, rates: Sequence[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr
        self._last_lr = list(rates)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave; the rates are in the optimizer's own state."""
        self.__dict__.update(state_dict)

    def _rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]


def per_group(schedule: Any, name: str, optimizer: Optimizer, value: Any) -> list[float]:
    """One number for each group of the optimizer, from a number or a list of them."""
    groups = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [value] * groups
    if len(value) != groups:
        raise ValueError(
            f"{type(schedule).__name__}: {name} must have the same length as"
            f" optimizer.param_groups; {name} has {len(value)} values, param_groups has {groups}"
        )
    return list(value)
