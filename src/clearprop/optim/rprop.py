"""Rprop: step sizes that follow the signs of the gradient, not its size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clearprop import ops
from clearprop.core import Tensor, count_up
from clearprop.optim.optimizer import Group, Optimizer, State, counter, filled, not_negative, zeros


class Rprop(Optimizer):
    """Resilient backpropagation, for gradients of the whole data set.

    Every element has a step size s, lr at first, within `step_sizes`: times etas[1] while its
    gradient keeps its sign, times etas[0] when the sign turns, and then g counts as 0.
    p -= s · sign(g). Errors: a negative lr, etas that are not 0 < etas[0] < 1 < etas[1].

    >>> import clearprop as cp
    >>> w = cp.tensor([1.0], requires_grad=True)
    >>> optimizer = cp.optim.Rprop([w], lr=0.25)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (w * w).sum().backward()
    ...     optimizer.step()
    >>> round(w.item(), 6)
    0.45
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        options: dict[str, Any] = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "maximize": maximize,
        }
        options |= {"foreach": foreach, "differentiable": differentiable}
        super().__init__(params, options | {"capturable": capturable})

    def _check(self, group: Group) -> None:
        not_negative("Rprop", lr=group["lr"])
        less, more = group["etas"]
        if not 0.0 < less < 1.0 < more:
            raise ValueError(
                f"Rprop: Invalid eta values: {less}, {more}; the first must lie between 0 and 1, "
                "the second above 1"
            )

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        (less, more), (least, most) = group["etas"], group["step_sizes"]
        if not state:
            state |= {"step": counter(), "prev": zeros(p), "step_size": filled(p, group["lr"])}
        count_up(state["step"])
        agreement = g * state["prev"]
        one = ops.ones_like(p)
        factor = ops.where(agreement > 0, one * more, ops.where(agreement < 0, one * less, one))
        size = state["step_size"].mul_(factor)
        size.copy_(ops.minimum(ops.maximum(size, least), most))
        g = ops.where(agreement < 0, 0.0, g)
        p.addcmul_(g.sign(), size, value=-1)
        state["prev"].copy_(g)
