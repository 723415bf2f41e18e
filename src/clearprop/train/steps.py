"""What a training run computes at every step, compiled where that is possible."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from clearprop import jit
from clearprop.core import Tensor
from clearprop.core.tree import map_tensors
from clearprop.errors import TraceError
from clearprop.optim import clip_grad_norm_

IN_EAGER_MODE = (
    "fit: the {what} cannot be compiled and runs in eager mode, with the same results, but slower:"
    " {reason}. Trainer(..., eager=True), or --eager, says so without this warning"
)


class Steps:
    """`compute` leaves gradients, `update` moves the parameters by them, `predict` looks only.

    Everything is compiled before its first run, so a run and its resumption use the same code at
    the same step. A model or loss that decides on values, which cannot be traced, runs in eager
    mode, with one warning.
    """

    def __init__(
        self,
        model: Any,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: Any,
        clip_norm: float | None,
        eager: bool,
    ) -> None:
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        whole: list[Callable[..., Any]] = [self._compute, self._update, self._predict]
        if eager or has_hooks(model):
            self.compute, self.update, self.predict = whole
        else:
            self.compute = self._fast("training step", self._compute)
            self.update = self._fast("optimizer's step", self._update)
            self.predict = self._fast("model", self._predict)

    def _compute(self, *batch: Tensor) -> tuple[Any, Tensor]:
        """Outputs and loss of a batch; the gradients are left in the parameters."""
        *inputs, targets = batch
        self.optimizer.zero_grad()
        outputs = self.model(*inputs)
        loss = self.loss(outputs, targets)
        loss.backward()
        return map_tensors(lambda t: t.detach(), outputs), loss.detach()

    def _update(self) -> None:
        if self.clip_norm is not None:
            clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimizer.step()

    def _predict(self, *batch: Tensor) -> tuple[Any, Tensor]:
        *inputs, targets = batch
        outputs = self.model(*inputs)
        return outputs, self.loss(outputs, targets)

    def _fast(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """function, compiled; as it is from the first time on that this turns out impossible."""
        compiled: Callable[..., Any] = jit.compile(function)
        now = [compiled]

        def run(*args: Any) -> Any:
            try:
                return now[0](*args)
            except TraceError as reason:
                if now[0] is function:
                    raise
                warnings.warn(
                    IN_EAGER_MODE.format(what=what, reason=reason), RuntimeWarning, stacklevel=4
                )
                now[0] = function
                return function(*args)

        return run


def has_hooks(model: Any) -> bool:
    """Whether somebody looks on while modules run: a compiled module does not call hooks."""
    tables = ("_forward_hooks", "_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(m, table, None) for m in model.modules() for table in tables)
