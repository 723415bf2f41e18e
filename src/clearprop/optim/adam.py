"""Adam, and AdamW, whose weight decay is apart from the gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clearprop import ops
from clearprop.core import Tensor, count_up
from clearprop.optim import on_arrays
from clearprop.optim.optimizer import (
    Group,
    Optimizer,
    State,
    betas_in_range,
    counter,
    not_negative,
    zeros,
)


class Adam(Optimizer):
    """Steps scaled by running means of the gradient and of its square.

    m += (1-β1)(g - m); v = β2 v + (1-β2) g²; p -= lr/(1-β1^t) · m / (√v/√(1-β2^t) + eps).
    weight_decay · p goes into g; amsgrad uses the largest v so far. t counts the steps of each
    parameter. Errors: an option out of its range.

    >>> import clearprop as cp
    >>> w = cp.tensor([1.0, -1.0], requires_grad=True)
    >>> optimizer = cp.optim.Adam([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> [round(x, 6) for x in w.tolist()]
    [0.5, -0.5]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        options: dict[str, Any] = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
        }
        options |= {"amsgrad": amsgrad, "maximize": maximize, "foreach": foreach}
        options |= {"capturable": capturable, "differentiable": differentiable, "fused": fused}
        super().__init__(params, options | {"decoupled_weight_decay": decoupled_weight_decay})

    def _check(self, group: Group) -> None:
        not_negative(self._name, **{k: group[k] for k in ("lr", "eps", "weight_decay")})
        betas_in_range(self._name, group["betas"])

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        lr, (beta1, beta2), decay = group["lr"], group["betas"], group["weight_decay"]
        if not state:
            state |= {"step": counter(), "exp_avg": zeros(p), "exp_avg_sq": zeros(p)}
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = zeros(p)
        t = count_up(state["step"])
        means = [state[k] for k in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if k in state]
        arrays = on_arrays.flat(g, (p, *means), (lr, beta1, beta2, decay, group["eps"]))
        if arrays is not None and len(means) == 2 + bool(group["amsgrad"]):
            apart = decay != 0 and group["decoupled_weight_decay"]
            on_arrays.adam(
                arrays, beta1, beta2, group["eps"], 0 if apart else decay,
                1 - lr * decay if apart else 1, (1 - beta2**t) ** 0.5, lr / (1 - beta1**t),
            )  # fmt: skip
            return
        if decay != 0 and group["decoupled_weight_decay"]:
            p.mul_(1 - lr * decay)
        elif decay != 0:
            g = g.add(p, alpha=decay)
        state["exp_avg"].lerp_(g, 1 - beta1)
        v = state["exp_avg_sq"].mul_(beta2).addcmul_(g, g, value=1 - beta2)
        if group["amsgrad"]:
            most = state["max_exp_avg_sq"]
            v = most.copy_(ops.maximum(most, v))
        root = v.sqrt().div_((1 - beta2**t) ** 0.5).add_(group["eps"])
        p.addcdiv_(state["exp_avg"], root, value=-lr / (1 - beta1**t))


class AdamW(Adam):
    """Adam with decoupled weight decay: p *= 1 - lr · weight_decay, then Adam's step.

    >>> import clearprop as cp
    >>> w = cp.tensor([1.0], requires_grad=True)
    >>> w.grad = cp.zeros(1)
    >>> cp.optim.AdamW([w], lr=0.5, weight_decay=0.5).step()
    >>> w.tolist()
    [0.75]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, foreach=foreach,
            capturable=capturable, differentiable=differentiable, fused=fused,
            decoupled_weight_decay=True,
        )  # fmt: skip
