"""NAdam, RAdam and Adamax: Adam with another momentum, another warm-up, another norm."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clearprop import ops
from clearprop.core import Tensor, count_up, float64
from clearprop.optim.optimizer import (
    Group,
    Optimizer,
    State,
    betas_in_range,
    counter,
    not_negative,
    scalar,
    zeros,
)


class NAdam(Optimizer):
    """Adam with Nesterov's momentum.

    μ_t = β1 (1 - 0.96^(t · momentum_decay) / 2), M = Π μ_i; m and v as in Adam;
    p -= lr (1-μ_t)/(1-M_t) · g/d + lr μ_(t+1)/(1-M_(t+1)) · m/d, d = √(v/(1-β2^t)) + eps.
    Errors: an option out of its range.

    >>> import clearprop as cp
    >>> w = cp.tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> cp.optim.NAdam([w], lr=0.5).step()
    >>> round(w.item(), 4)
    0.4718
    """

    _numbers = frozenset({"mu_product"})

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        options: dict[str, Any] = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
        }
        options |= {"momentum_decay": momentum_decay, "maximize": maximize, "foreach": foreach}
        options |= {"decoupled_weight_decay": decoupled_weight_decay, "capturable": capturable}
        super().__init__(params, options | {"differentiable": differentiable})

    def _check(self, group: Group) -> None:
        names = ("lr", "eps", "weight_decay", "momentum_decay")
        not_negative("NAdam", **{k: group[k] for k in names})
        betas_in_range("NAdam", group["betas"])

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        lr, (beta1, beta2), slow = group["lr"], group["betas"], group["momentum_decay"]
        if not state:
            state |= {"step": counter(), "mu_product": scalar(1.0)}
            state |= {"exp_avg": zeros(p), "exp_avg_sq": zeros(p)}
        t = count_up(state["step"])
        g = decayed(p, g, group)
        mu = beta1 * (1 - 0.5 * 0.96 ** (t * slow))
        mu_next = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * slow))
        product = state["mu_product"].mul_(mu).to(float64)
        m = state["exp_avg"].lerp_(g, 1 - beta1)
        v = state["exp_avg_sq"].mul_(beta2).addcmul_(g, g, value=1 - beta2)
        root = (v / (1 - beta2**t)).sqrt_().add_(group["eps"])
        p.sub_(g / root * (lr * (1 - mu) / (1 - product)).to(p.dtype))
        p.sub_(m / root * (lr * mu_next / (1 - product * mu_next)).to(p.dtype))


class RAdam(Optimizer):
    """Adam whose steps are corrected for how little the first ones know of the variance.

    With n = 2/(1-β2) - 1 and r = n - 2 t β2^t/(1-β2^t): p -= lr m/(1-β1^t) while r <= 5, then also
    times √((r-4)(r-2) n / ((n-4)(n-2) r)) · √(1-β2^t) / (√v + eps). Errors: an option out of its
    range.

    >>> import clearprop as cp
    >>> w = cp.tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> cp.optim.RAdam([w], lr=0.25).step()
    >>> w.tolist()
    [0.5]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        options: dict[str, Any] = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
        }
        options |= {"decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize}
        options |= {"foreach": foreach, "capturable": capturable}
        super().__init__(params, options | {"differentiable": differentiable})

    def _check(self, group: Group) -> None:
        not_negative("RAdam", **{k: group[k] for k in ("lr", "eps", "weight_decay")})
        betas_in_range("RAdam", group["betas"])

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        lr, (beta1, beta2) = group["lr"], group["betas"]
        if not state:
            state |= {"step": counter(), "exp_avg": zeros(p), "exp_avg_sq": zeros(p)}
        t = count_up(state["step"])
        g = decayed(p, g, group)
        m = state["exp_avg"].lerp_(g, 1 - beta1) / (1 - beta1**t)
        v = state["exp_avg_sq"].mul_(beta2).addcmul_(g, g, value=1 - beta2)
        correction = 1 - beta2**t
        n = 2 / (1 - beta2) - 1
        r = n - 2 * t * beta2**t / correction
        if r > 5:
            rate = ((r - 4) * (r - 2) * n / ((n - 4) * (n - 2) * r)) ** 0.5
            p.addcdiv_(m, v.sqrt().add_(group["eps"]), value=-lr * rate * correction**0.5)
        else:
            p.sub_(m, alpha=lr)


class Adamax(Optimizer):
    """Adam with the largest gradient in place of the mean square.

    m += (1-β1)(g - m); u = max(β2 u, |g| + eps); p -= lr/(1-β1^t) · m/u. Errors: an option out of
    its range.

    >>> import clearprop as cp
    >>> w = cp.tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> cp.optim.Adamax([w], lr=0.5).step()
    >>> round(w.item(), 6)
    0.5
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        options: dict[str, Any] = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
        }
        options |= {"foreach": foreach, "maximize": maximize, "differentiable": differentiable}
        super().__init__(params, options | {"capturable": capturable})

    def _check(self, group: Group) -> None:
        not_negative("Adamax", **{k: group[k] for k in ("lr", "eps", "weight_decay")})
        betas_in_range("Adamax", group["betas"])

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        beta1, beta2 = group["betas"]
        if not state:
            state |= {"step": counter(), "exp_avg": zeros(p), "exp_inf": zeros(p)}
        t = count_up(state["step"])
        if group["weight_decay"] != 0:
            g = g.add(p, alpha=group["weight_decay"])
        m, u = state["exp_avg"].lerp_(g, 1 - beta1), state["exp_inf"]
        u.copy_(ops.maximum(u * beta2, g.abs().add_(group["eps"])))
        p.addcdiv_(m, u, value=-group["lr"] / (1 - beta1**t))


def decayed(p: Tensor, g: Tensor, group: Group) -> Tensor:
    """g with weight decay in it, or g after p itself has been made smaller."""
    decay = group["weight_decay"]
    if decay == 0:
        return g
    if not group["decoupled_weight_decay"]:
        return g.add(p, alpha=decay)
    p.mul_(1 - group["lr"] * decay)
    return g
