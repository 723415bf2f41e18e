"""RMSprop, Adagrad and Adadelta: steps divided by the size of the gradients so far."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clearprop import ops
from clearprop.core import Tensor, count_up
from clearprop.optim.optimizer import Group, Optimizer, State, counter, not_negative, zeros


class RMSprop(Optimizer):
    """Steps divided by the root of a running mean of g².

    s = α s + (1-α) g²; p -= lr · g / (√s + eps). centered: √(s - mean²) with the running mean of g.
    momentum: buf = momentum · buf + g / (√s + eps); p -= lr · buf. Errors: a negative option.

    >>> import clearprop as cp
    >>> w = cp.tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> cp.optim.RMSprop([w], lr=0.05).step()
    >>> round(w.item(), 4)
    0.5
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        options: dict[str, Any] = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
        }
        options |= {"momentum": momentum, "centered": centered, "maximize": maximize}
        options |= {"capturable": capturable, "foreach": foreach, "differentiable": differentiable}
        super().__init__(params, options)

    def _check(self, group: Group) -> None:
        names = ("lr", "eps", "momentum", "weight_decay", "alpha")
        not_negative("RMSprop", **{k: group[k] for k in names})

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        alpha = group["alpha"]
        if not state:
            state |= {"step": counter(), "square_avg": zeros(p)}
            if group["momentum"] > 0:
                state["momentum_buffer"] = zeros(p)
            if group["centered"]:
                state["grad_avg"] = zeros(p)
        count_up(state["step"])
        if group["weight_decay"] != 0:
            g = g.add(p, alpha=group["weight_decay"])
        s = state["square_avg"].mul_(alpha).addcmul_(g, g, value=1 - alpha)
        if group["centered"]:
            mean = state["grad_avg"].lerp_(g, 1 - alpha)
            s = s.addcmul(mean, mean, value=-1)
        root = s.sqrt().add_(group["eps"])
        if group["momentum"] > 0:
            buf = state["momentum_buffer"].mul_(group["momentum"]).addcdiv_(g, root)
            p.sub_(buf, alpha=group["lr"])
        else:
            p.addcdiv_(g, root, value=-group["lr"])


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all g² so far.

    sum += g²; p -= lr / (1 + (t-1) lr_decay) · g / (√sum + eps). Errors: a negative option.

    >>> import clearprop as cp
    >>> w = cp.tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> cp.optim.Adagrad([w], lr=0.5).step()
    >>> w.tolist()
    [0.5]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        options: dict[str, Any] = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
        }
        options |= {"initial_accumulator_value": initial_accumulator_value, "maximize": maximize}
        options |= {"foreach": foreach, "differentiable": differentiable, "fused": fused}
        super().__init__(params, options)

    def add_param_group(self, param_group: Group) -> None:
        """Add a group, and its sums of squares, which begin at initial_accumulator_value."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for p in group["params"]:
            total = ops.full_like(p.detach(), group["initial_accumulator_value"])
            self.state[p] = {"step": counter(), "sum": total}

    def _check(self, group: Group) -> None:
        names = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")
        not_negative("Adagrad", **{k: group[k] for k in names})

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        t = count_up(state["step"])
        if group["weight_decay"] != 0:
            g = g.add(p, alpha=group["weight_decay"])
        root = state["sum"].addcmul_(g, g).sqrt().add_(group["eps"])
        p.addcdiv_(g, root, value=-group["lr"] / (1 + (t - 1) * group["lr_decay"]))


class Adadelta(Optimizer):
    """Steps as large as the ones before, so that no unit of a learning rate is needed.

    v = ρ v + (1-ρ) g²; Δ = √(u + eps) / √(v + eps) · g; u = ρ u + (1-ρ) Δ²; p -= lr Δ.
    Errors: a negative option, rho above 1.

    >>> import clearprop as cp
    >>> w = cp.tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> cp.optim.Adadelta([w], eps=1e-2).step()
    >>> round(w.item(), 4)
    0.6877
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        options: dict[str, Any] = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay}
        options |= {"maximize": maximize, "capturable": capturable, "foreach": foreach}
        super().__init__(params, options | {"differentiable": differentiable})

    def _check(self, group: Group) -> None:
        not_negative("Adadelta", **{k: group[k] for k in ("lr", "rho", "eps", "weight_decay")})
        if group["rho"] > 1.0:
            raise ValueError(f"Adadelta: Invalid rho value: {group['rho']}; it must be 1 or less")

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        rho, eps = group["rho"], group["eps"]
        if not state:
            state |= {"step": counter(), "square_avg": zeros(p), "acc_delta": zeros(p)}
        count_up(state["step"])
        if group["weight_decay"] != 0:
            g = g.add(p, alpha=group["weight_decay"])
        v = state["square_avg"].mul_(rho).addcmul_(g, g, value=1 - rho)
        delta = (state["acc_delta"] + eps).sqrt_().div_((v + eps).sqrt_()).mul_(g)
        state["acc_delta"].mul_(rho).addcmul_(delta, delta, value=1 - rho)
        p.sub_(delta, alpha=group["lr"])
