"""Adafactor: Adam's second moment kept as a row and a column instead of a matrix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from clearprop import ops
from clearprop.core import Tensor, count_up
from clearprop.optim.optimizer import Group, Optimizer, State, counter, not_negative, zeros


class Adafactor(Optimizer):
    """Steps that are relative to the size of the parameter, with little memory.

    With w = t^beta2_decay, a matrix keeps the running means of its rows and columns of g²,
    r += w (mean(g², -1) - r), c += w (mean(g², -2) - c), and takes v = r c / max(mean(r), eps[0]);
    a vector keeps v itself. u = g / √max(v, eps[0]²);
    p -= min(lr, 1/√t) · max(eps[1], rms(p)) · u / max(1, rms(u)/d). eps[0] None is the dtype's eps.
    weight_decay: p *= 1 - lr · weight_decay first. Errors: an option out of its range.

    >>> import clearprop as cp
    >>> w = cp.tensor([[1.0, 2.0]], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> cp.optim.Adafactor([w], lr=0.1).step()
    >>> [round(x, 4) for x in w.tolist()[0]]
    [0.8419, 1.8419]
    """

    _factors = frozenset({"row_var", "col_var"})

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        options: dict[str, Any] = {"lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d}
        options |= {"weight_decay": weight_decay, "foreach": foreach, "maximize": maximize}
        super().__init__(params, options)

    def _check(self, group: Group) -> None:
        not_negative("Adafactor", lr=group["lr"], weight_decay=group["weight_decay"])
        small, floor = group["eps"]
        not_negative("Adafactor", epsilon1=small or 0.0, epsilon2=floor)
        if not group["beta2_decay"] <= 0.0:
            raise ValueError(
                f"Adafactor: beta2_decay should be <= 0 but is: {group['beta2_decay']}"
            )
        if not group["d"] >= 1.0:
            raise ValueError(f"Adafactor: Clipping threshold d should be >= 1 but is: {group['d']}")

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        lr, (small, floor) = group["lr"], group["eps"]
        small = float(np.finfo(p.value.dtype).eps) if small is None else small
        if not state:
            state["step"] = counter()
            if g.ndim > 1:
                state["row_var"] = zeros(p[..., :1])
                state["col_var"] = zeros(p[..., :1, :])
            else:
                state["variance"] = zeros(p)
        t = count_up(state["step"])
        weight = t ** group["beta2_decay"]
        scale = _at_least(_rms(p), floor) * min(lr, 1 / t**0.5)
        if group["weight_decay"] != 0:
            p.mul_(1 - lr * group["weight_decay"])
        if g.ndim > 1:
            row = state["row_var"].lerp_((g * g).mean(-1, keepdim=True), weight)
            column = state["col_var"].lerp_((g * g).mean(-2, keepdim=True), weight)
            v = row @ column / _at_least(row.mean(-2, keepdim=True), small)
        else:
            v = state["variance"].lerp_(g * g, weight)
        u = _at_least(v, small * small).rsqrt() * g
        p.sub_(u * (scale / _at_least(_rms(u) / group["d"], 1.0)))


def _rms(x: Tensor) -> Tensor:
    return (x * x).mean().sqrt()


def _at_least(x: Tensor, least: Any) -> Tensor:
    return ops.maximum(x, least)
