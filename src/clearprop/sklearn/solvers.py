"""scikit-learn's rules of the stochastic solvers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clearprop.core import Tensor, count_up
from clearprop.optim.optimizer import Group, Optimizer, State, counter, zeros


class SGD(Optimizer):
    """v = momentum · v - lr · g; p += v, with nesterov p += momentum · v - lr · g.

    The learning rate is inside the buffer, so a schedule does not reach back.
    """

    def __init__(self, params: Iterable[Any], lr: float, momentum: float, nesterov: bool) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "nesterov": nesterov})

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        if not state:
            state["velocity"] = zeros(p)
        v = state["velocity"].mul_(group["momentum"]).sub_(g, alpha=group["lr"])
        if group["nesterov"]:
            p.add_(v, alpha=group["momentum"]).sub_(g, alpha=group["lr"])
        else:
            p.add_(v)


class Adam(Optimizer):
    """p -= lr √(1 - β2^t) / (1 - β1^t) · m / (√v + eps): eps beside the uncorrected √v."""

    def __init__(
        self, params: Iterable[Any], lr: float, betas: tuple[float, float], eps: float
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        beta1, beta2 = group["betas"]
        if not state:
            state |= {"step": counter(), "m": zeros(p), "v": zeros(p)}
        t = count_up(state["step"])
        m = state["m"].mul_(beta1).add_(g, alpha=1 - beta1)
        v = state["v"].mul_(beta2).addcmul_(g, g, value=1 - beta2)
        lr = group["lr"] * (1 - beta2**t) ** 0.5 / (1 - beta1**t)
        p.addcdiv_(m, v.sqrt().add_(group["eps"]), value=-lr)
