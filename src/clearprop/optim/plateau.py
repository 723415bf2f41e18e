"""The schedule that looks at a value: lower the rate when it stops getting better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from clearprop.core.events import listeners, tell
from clearprop.optim.optimizer import Optimizer, not_traced
from clearprop.optim.schedule import LRScheduler


class ReduceLROnPlateau(LRScheduler):
    """lr = max(lr · factor, min_lr) after more than `patience` epochs without a better value.

    Better in mode "min": value < best · (1 - threshold), with threshold_mode "abs":
    value < best - threshold; mode "max" is the mirror image. `cooldown` epochs after a reduction do
    not count, and a change of `eps` or less is not made.

    >>> import clearprop as cp
    >>> optimizer = cp.optim.SGD([cp.zeros(1, requires_grad=True)], lr=1.0)
    >>> scheduler = cp.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 3.0, 3.0):
    ...     scheduler.step(loss)
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"ReduceLROnPlateau: {type(optimizer).__name__} is not an Optimizer")
        if factor >= 1.0:
            raise ValueError(f"ReduceLROnPlateau: Factor should be < 1.0, got {factor}")
        if mode not in ("min", "max"):
            raise ValueError(f"ReduceLROnPlateau: mode {mode} is unknown! Use 'min' or 'max'")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(
                f"ReduceLROnPlateau: threshold mode {threshold_mode} is unknown! Use 'rel' or 'abs'"
            )
        groups = len(optimizer.param_groups)
        least = [float(m) for m in min_lr] if isinstance(min_lr, Sequence) else [min_lr] * groups
        if len(least) != groups:
            raise ValueError(f"ReduceLROnPlateau: expected {groups} min_lrs, got {len(least)}")
        self.optimizer = optimizer
        self.factor = factor
        self.min_lrs = least
        self.patience = patience
        self.cooldown = cooldown
        self.cooldown_counter = 0
        self.mode = mode
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.eps = eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.last_epoch = 0
        self._last_lr = [group["lr"] for group in optimizer.param_groups]

    def get_lr(self) -> list[float]:
        """The present rates: what comes next depends on a value."""
        return self._rates()

    def is_better(self, value: float, best: float) -> bool:
        """Whether `value` is better than `best` by more than the threshold."""
        sign = -1 if self.mode == "min" else 1
        if self.threshold_mode == "rel":
            limit = best * (1.0 + sign * self.threshold)
        else:
            limit = best + sign * self.threshold
        return value < limit if self.mode == "min" else value > limit

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Note this epoch's value, a number or a tensor of one, and lower the rates if due."""
        not_traced(self)
        if listeners:
            tell("schedule", self)
        value = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self.is_better(value, self.best):
            self.best = value
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _reduce(self) -> None:
        for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            lower = max(group["lr"] * self.factor, least)
            if group["lr"] - lower > self.eps:
                group["lr"] = lower
