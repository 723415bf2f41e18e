"""Schedules that rise and fall: one cycle, triangles, half waves that begin again.

Where the optimizer has momentum (or Adam's first beta), the first two move it against the rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from clearprop.optim.decays import attributes
from clearprop.optim.optimizer import Optimizer, not_traced
from clearprop.optim.schedule import LRScheduler, per_group


class _WithMomentum(LRScheduler):
    """A schedule of the learning rate and, with `cycle_momentum`, of the momentum."""

    cycle_momentum: bool
    use_beta1: bool

    def _find_momentum(self, optimizer: Optimizer) -> None:
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ValueError(
                f"{type(self).__name__}: optimizer must support momentum or beta1 with"
                f" `cycle_momentum` option enabled; {type(optimizer).__name__} has neither, give"
                " cycle_momentum=False"
            )
        self.use_beta1 = "betas" in optimizer.defaults

    def _set_momentum(self, group: dict[str, Any], momentum: float) -> None:
        if self.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


class OneCycleLR(_WithMomentum):
    """One rise from max_lr / div_factor to max_lr, one fall to a tiny rate, over a whole training.

    The rise takes pct_start of total_steps (or of epochs · steps_per_epoch), both go along half a
    cosine or a line; three_phase: back to the start in as many steps, then down. The last rate is
    the first / final_div_factor. Momentum goes from max_momentum to base_momentum and back. Step it
    after every batch.

    >>> import clearprop as cp
    >>> optimizer = cp.optim.SGD([cp.zeros(1, requires_grad=True)], momentum=0.9)
    >>> scheduler = cp.optim.lr_scheduler.OneCycleLR(
    ...     optimizer, max_lr=1.0, total_steps=5, pct_start=0.6, anneal_strategy="linear"
    ... )
    >>> rates = []
    >>> for _ in range(5):
    ...     rates += [round(lr, 3) for lr in scheduler.get_last_lr()]
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [0.04, 0.52, 1.0, 0.5, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError(
                    "OneCycleLR: You must define either total_steps OR (epochs AND steps_per_epoch)"
                )
            _positive(epochs=epochs, steps_per_epoch=steps_per_epoch)
            total_steps = epochs * steps_per_epoch
        _positive(total_steps=total_steps)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(
                f"OneCycleLR: Expected float between 0 and 1 pct_start, but got {pct_start}"
            )
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                "OneCycleLR: anneal_strategy must be one of 'cos' or 'linear', instead got "
                f"{anneal_strategy}"
            )
        self.total_steps = total_steps
        self._anneal_func_type = anneal_strategy
        top = pct_start * total_steps - 1
        ends = [top, 2 * top, total_steps - 1] if three_phase else [top, total_steps - 1]
        rates = ["initial_lr", "max_lr", *(["initial_lr"] if three_phase else []), "min_lr"]
        momenta = ["max_momentum", "base_momentum", "max_momentum", "max_momentum"]
        self._schedule_phases = [
            {
                "end_step": end,
                "start_lr": rates[i],
                "end_lr": rates[i + 1],
                "start_momentum": momenta[i],
                "end_momentum": momenta[i + 1],
            }
            for i, end in enumerate(ends)
        ]
        self.cycle_momentum = cycle_momentum
        highest = per_group(self, "max_lr", optimizer, max_lr)
        if cycle_momentum:
            self._find_momentum(optimizer)
            most = per_group(self, "max_momentum", optimizer, max_momentum)
            least = per_group(self, "base_momentum", optimizer, base_momentum)
        if last_epoch == -1:
            for i, group in enumerate(optimizer.param_groups):
                first = highest[i] / div_factor
                group |= {"initial_lr": first, "max_lr": highest[i]}
                group["min_lr"] = first / final_div_factor
                if cycle_momentum:
                    self._set_momentum(group, most[i])
                    group |= {"max_momentum": most[i], "base_momentum": least[i]}
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(
                f"OneCycleLR: Tried to step {step} times. The specified number of total steps is "
                f"{self.total_steps}"
            )
        begin: Any = 0.0
        for phase in self._schedule_phases:
            end: Any = phase["end_step"]
            if step <= end:
                break
            begin = end
        else:  # one step after the end
            begin = self._schedule_phases[-2]["end_step"]
        part = (step - begin) / (end - begin)
        rates = []
        for group in self.optimizer.param_groups:
            first, last = (group[str(phase[k])] for k in ("start_lr", "end_lr"))
            rates.append(self._between(first, last, part))
            if self.cycle_momentum:
                first, last = (group[str(phase[k])] for k in ("start_momentum", "end_momentum"))
                self._set_momentum(group, self._between(first, last, part))
        return rates

    def _between(self, first: float, last: float, part: float) -> float:
        if self._anneal_func_type == "linear":
            return (last - first) * part + first
        return last + (first - last) / 2.0 * (math.cos(math.pi * part) + 1)


class CyclicLR(_WithMomentum):
    """Triangles between base_lr and max_lr: step_size_up steps up, step_size_down down.

    lr = base + (max - base) · height · scale: scale is 1 ("triangular"), 1/2^(cycle - 1)
    ("triangular2"), gamma^step ("exp_range"), or scale_fn of the cycle, counted from 1, or with
    scale_mode="iterations" of the step. Momentum goes the other way. Step it after every batch.

    >>> import clearprop as cp
    >>> optimizer = cp.optim.SGD([cp.zeros(1, requires_grad=True)])
    >>> scheduler = cp.optim.lr_scheduler.CyclicLR(optimizer, 0.0, 1.0, step_size_up=2)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if scale_fn is None and mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError(
                f"CyclicLR: mode is invalid and scale_fn is None: {mode!r}; use 'triangular',"
                " 'triangular2' or 'exp_range'"
            )
        lowest = per_group(self, "base_lr", optimizer, base_lr)
        self.max_lrs = per_group(self, "max_lr", optimizer, max_lr)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        if scale_fn is None:
            scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.scale_mode = scale_mode
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._find_momentum(optimizer)
            self.base_momentums = per_group(self, "base_momentum", optimizer, base_momentum)
            self.max_momentums = per_group(self, "max_momentum", optimizer, max_momentum)
        if last_epoch == -1:
            for i, group in enumerate(optimizer.param_groups):
                group["lr"] = lowest[i]
                if cycle_momentum:
                    most, least = self.max_momentums[i], self.base_momentums[i]
                    self._set_momentum(group, most)
                    group |= {"max_momentum": most, "base_momentum": least}
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lowest

    def scale_fn(self, x: float) -> float:
        """The factor of the triangle's height, for a cycle or a step."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular2":
            return 1 / 2.0 ** (x - 1)
        return self.gamma**x if self.mode == "exp_range" else 1.0

    def get_lr(self) -> list[float]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        up = self.step_ratio
        height = x / up if x <= up else (x - 1) / (up - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            pairs = zip(self.base_momentums, self.max_momentums, strict=True)
            for group, (least, most) in zip(self.optimizer.param_groups, pairs, strict=True):
                self._set_momentum(group, most - (most - least) * height * scale)
        pairs = zip(self.base_lrs, self.max_lrs, strict=True)
        return [low + (high - low) * height * scale for low, high in pairs]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer; of scale_fn only the attributes, if it is no function."""
        custom = self._scale_fn_custom
        saved = None if custom is None else attributes(custom)
        return super().state_dict() | {"_scale_fn_custom": saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        saved = state_dict["_scale_fn_custom"]
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_scale_fn_custom"})
        if saved is not None:
            vars(self._scale_fn_custom).update(saved)


class CosineAnnealingWarmRestarts(LRScheduler):
    """lr = eta_min + (initial - eta_min) (1 + cos(π T_cur / T_i)) / 2, again every T_i epochs.

    T_i is T_0 at first and T_mult times as long after each restart. step(epoch) takes fractions.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(T_0, int) or T_0 <= 0:
            raise ValueError(
                f"CosineAnnealingWarmRestarts: Expected positive integer T_0, but got {T_0}"
            )
        if not isinstance(T_mult, int) or T_mult < 1:
            raise ValueError(
                f"CosineAnnealingWarmRestarts: Expected integer T_mult >= 1, but got {T_mult}"
            )
        self.T_0 = self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        wave = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return [self.eta_min + (base - self.eta_min) * wave / 2 for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go to the next epoch, or to the given one, which may lie between two."""
        not_traced(self)
        if epoch is None and self.last_epoch >= 0:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            epoch = 0 if epoch is None else epoch
            if epoch < 0:
                raise ValueError(
                    f"CosineAnnealingWarmRestarts: Expected non-negative epoch, but got {epoch}"
                )
            self._go_to(epoch)
        self.last_epoch = math.floor(epoch)
        self._set(self.get_lr())

    def _go_to(self, epoch: float) -> None:
        if epoch < self.T_0:
            self.T_i, self.T_cur = self.T_0, epoch
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            ratio = self.T_mult
            done = int(math.log(epoch / self.T_0 * (ratio - 1) + 1, ratio))
            self.T_cur = epoch - self.T_0 * (ratio**done - 1) / (ratio - 1)
            self.T_i = self.T_0 * ratio**done


def _positive(**options: Any) -> None:
    for name, value in options.items():
        if not isinstance(value, int) or value <= 0:
            raise ValueError(f"OneCycleLR: Expected positive integer {name}, but got {value}")
