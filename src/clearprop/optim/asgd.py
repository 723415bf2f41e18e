"""ASGD: gradient descent that also averages the parameters it went through."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clearprop import ops
from clearprop.core import Tensor, count_up, float64
from clearprop.optim.optimizer import Group, Optimizer, State, counter, not_negative, scalar, zeros


class ASGD(Optimizer):
    """Averaged stochastic gradient descent.

    p -= η (g + lambd p) with η = lr / (1 + lambd lr t)^alpha of the step before; the mean of the
    parameters is kept in `state[p]["ax"]`: ax += μ (p - ax), μ = 1 / max(1, t - t0).
    Errors: a negative lr or weight_decay.

    >>> import clearprop as cp
    >>> w = cp.tensor([1.0], requires_grad=True)
    >>> optimizer = cp.optim.ASGD([w], lr=0.25, lambd=0.0, t0=0)
    >>> for _ in range(3):
    ...     optimizer.zero_grad()
    ...     (w * w).sum().backward()
    ...     optimizer.step()
    >>> w.tolist(), optimizer.state[w]["ax"].tolist()
    ([0.125], [0.1875])
    """

    _numbers = frozenset({"eta", "mu"})

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        options: dict[str, Any] = {"lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0}
        options |= {"weight_decay": weight_decay, "foreach": foreach, "maximize": maximize}
        super().__init__(
            params, options | {"differentiable": differentiable, "capturable": capturable}
        )

    def _check(self, group: Group) -> None:
        not_negative("ASGD", lr=group["lr"], weight_decay=group["weight_decay"])

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        lr, lambd = group["lr"], group["lambd"]
        if not state:
            state |= {"step": counter(), "eta": scalar(lr), "mu": scalar(1.0), "ax": zeros(p)}
        t = count_up(state["step"])
        if group["weight_decay"] != 0:
            g = g.add(p, alpha=group["weight_decay"])
        eta, mu, mean = state["eta"], state["mu"], state["ax"]
        p.mul_((1 - eta.to(float64) * lambd).to(p.dtype))
        p.sub_(g * eta.to(p.dtype))
        # At μ = 1 the mean begins anew, whatever it held.
        mean.copy_(ops.where(mu == 1, p, mean + (p - mean) * mu.to(p.dtype)))
        eta.copy_(ops.full((), 1.0, dtype=float64) * (lr / (1 + lambd * lr * t) ** group["alpha"]))
        mu.copy_((state["step"].to(float64) - group["t0"]).clamp(min=1).reciprocal())
