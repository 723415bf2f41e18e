"""Averages of a model's weights over the steps of its training: SWA and EMA."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

from clearprop import ops
from clearprop.autograd import no_grad
from clearprop.core import Tensor
from clearprop.core.tensor import known
from clearprop.nn import BatchNorm1d, BatchNorm2d, BatchNorm3d, Module
from clearprop.optim.optimizer import Optimizer
from clearprop.optim.schedule import LRScheduler, per_group

Average = Callable[[Tensor, Tensor, Any], Tensor]
AverageAll = Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]


def _decay(decay: float) -> float:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(
            f"Invalid decay value {decay} provided. Please provide a value in [0,1] range."
        )
    return decay


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """The exponential moving average, for AveragedModel: decay · average + (1 - decay) · p.

    >>> import clearprop as cp
    >>> average = cp.optim.swa_utils.get_ema_avg_fn(0.75)
    >>> average(cp.tensor([4.0]), cp.tensor([8.0]), 1).tolist()
    [5.0]
    """
    keep = _decay(decay)

    @no_grad()
    def average(mean: Tensor, p: Tensor, n: Any) -> Tensor:
        return mean * keep + p * (1 - keep)

    return average


def get_swa_avg_fn() -> Average:
    """The mean of all that was seen, for AveragedModel: average + (p - average) / (n + 1).

    >>> import clearprop as cp
    >>> average = cp.optim.swa_utils.get_swa_avg_fn()
    >>> average(cp.tensor([4.0]), cp.tensor([8.0]), 3).tolist()
    [5.0]
    """

    @no_grad()
    def average(mean: Tensor, p: Tensor, n: Any) -> Tensor:
        return mean + (p - mean) / _like(n + 1, mean)

    return average


def get_ema_multi_avg_fn(decay: float = 0.999) -> AverageAll:
    """`get_ema_avg_fn` for whole lists, in place."""
    return _in_place(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> AverageAll:
    """`get_swa_avg_fn` for whole lists, in place."""
    return _in_place(get_swa_avg_fn())


def _in_place(average: Average) -> AverageAll:
    @no_grad()
    def average_all(means: Sequence[Tensor], ps: Sequence[Tensor], n: Any) -> None:
        for mean, p in zip(means, ps, strict=True):
            mean.copy_(average(mean, p, n))

    return average_all


def _like(n: Any, x: Tensor) -> Any:
    return n.to(x.dtype) if isinstance(n, Tensor) and x.is_floating_point() else n


class AveragedModel(Module):
    """A copy of a model that holds an average of its weights: their mean, or an EMA.

    `update_parameters(model)` takes in the weights of now, the first time as they are; avg_fn(mean,
    p, n) gives the new mean after n of them, or multi_avg_fn(means, ps, n) changes lists in place
    (`get_ema_multi_avg_fn(0.999)`). Buffers are copied, with use_buffers averaged. Call it like the
    model. Errors: both functions at once.

    >>> import clearprop as cp
    >>> model = cp.nn.Linear(1, 1, bias=False)
    >>> averaged = cp.optim.swa_utils.AveragedModel(model)
    >>> for value in (1.0, 2.0, 6.0):
    ...     _ = cp.nn.init.constant_(model.weight, value)
    ...     averaged.update_parameters(model)
    >>> averaged.module.weight.item()
    3.0
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: AverageAll | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError(
                "AveragedModel: Only one of avg_fn and multi_avg_fn should be provided"
            )
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device=device)
        self.register_buffer("n_averaged", ops.tensor(0))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Take the weights of `model` into the average."""
        means, ps = (self._averaged(m) for m in (self.module, model))
        if len(means) != len(ps):
            raise ValueError(
                f"AveragedModel: the model has {len(ps)} tensors to average, the copy {len(means)}"
            )
        count = known(self.n_averaged)
        first = self.n_averaged == 0
        if count is None or count > 0:
            self._average(means, ps)
        for mean, p in zip(means, ps, strict=True):
            if count is None:  # in a trace, which runs again at other counts
                mean.copy_(ops.where(first, p, mean))
            elif count == 0:
                mean.copy_(p)
        if not self.use_buffers:
            for mine, other in zip(self.module.buffers(), model.buffers(), strict=True):
                mine.copy_(other)  # type: ignore[attr-defined]
        self.n_averaged.add_(1)  # type: ignore[attr-defined]

    def _averaged(self, model: Module) -> list[Any]:
        found = chain(model.parameters(), model.buffers()) if self.use_buffers else None
        return [x.detach() for x in (model.parameters() if found is None else found)]

    def _average(self, means: list[Any], ps: list[Any]) -> None:
        if self.multi_avg_fn is None:
            average = get_swa_avg_fn() if self.avg_fn is None else self.avg_fn
            for mean, p in zip(means, ps, strict=True):
                mean.copy_(average(mean, p, self.n_averaged))
            return
        for d in dict.fromkeys(x.dtype for x in means):
            some = [i for i, x in enumerate(means) if x.dtype is d]
            self.multi_avg_fn([means[i] for i in some], [ps[i] for i in some], self.n_averaged)


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the running statistics of all BatchNorm layers anew, as means over the batches of
    `loader` (tensors, or tuples that begin with the input): averaged weights have none that fit.
    """
    layers = [m for m in model.modules() if isinstance(m, BatchNorm1d | BatchNorm2d | BatchNorm3d)]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    was_training = model.training
    try:
        model.train()
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # the mean of all batches
        for batch in loader:
            model(batch[0] if isinstance(batch, list | tuple) else batch)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        model.train(was_training)


class SWALR(LRScheduler):
    """From the present rate to swa_lr in anneal_epochs epochs, along half a cosine or a line.

    >>> import clearprop as cp
    >>> optimizer = cp.optim.SGD([cp.zeros(1, requires_grad=True)], lr=1.0)
    >>> scheduler = cp.optim.swa_utils.SWALR(
    ...     optimizer, swa_lr=0.5, anneal_epochs=2, anneal_strategy="linear"
    ... )
    >>> rates = []
    >>> for _ in range(4):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [1.0, 0.75, 0.5, 0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        rates = per_group(self, "swa_lr", optimizer, swa_lr)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                "SWALR: anneal_strategy must be one of 'cos' or 'linear', instead got "
                f"{anneal_strategy}"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(
                f"SWALR: anneal_epochs must be equal or greater than 0, got {anneal_epochs}"
            )
        for rate, group in zip(rates, optimizer.param_groups, strict=True):
            group["swa_lr"] = rate
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._part(step - 1), self._part(step)
        out = []
        for group in self.optimizer.param_groups:
            lr, last = group["lr"], group["swa_lr"]
            start = last if before == 1 else (lr - before * last) / (1 - before)
            out.append(last * now + start * (1 - now))
        return out

    def _part(self, step: int) -> float:
        """How much of the way is behind after so many steps."""
        t = max(0, min(1, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2


__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]
