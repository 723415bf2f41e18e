"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clearprop.core import Tensor, local
from clearprop.optim import on_arrays
from clearprop.optim.optimizer import Group, Optimizer, State, not_negative, zeros


class SGD(Optimizer):
    """Stochastic gradient descent with momentum: p -= lr · step.

    g += weight_decay · p; buf = g at first, then momentum · buf + (1 - dampening) · g; the step is
    buf, with nesterov g + momentum · buf, without momentum g. lr stays outside the buffer.
    Errors: a negative option, nesterov without momentum or with dampening.

    >>> import clearprop as cp
    >>> w = cp.tensor([1.0], requires_grad=True)
    >>> optimizer = cp.optim.SGD([w], lr=0.25, momentum=0.5)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (w * w).sum().backward()
    ...     optimizer.step()
    >>> w.tolist()
    [0.0]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        options: dict[str, Any] = {"lr": lr, "momentum": momentum, "dampening": dampening}
        options |= {"weight_decay": weight_decay, "nesterov": nesterov, "maximize": maximize}
        options |= {"foreach": foreach, "differentiable": differentiable, "fused": fused}
        super().__init__(params, options)

    def _check(self, group: Group) -> None:
        not_negative("SGD", **{k: group[k] for k in ("lr", "momentum", "weight_decay")})
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("SGD: Nesterov momentum requires a momentum and zero dampening")

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        lr, momentum, dampening = group["lr"], group["momentum"], group["dampening"]
        decay, buf = group["weight_decay"], None
        first = False
        if momentum != 0:
            buf = state.get("momentum_buffer")
            first = buf is None
            if buf is None:
                buf = state["momentum_buffer"] = zeros(p)
        if not first or dampening == 0:
            written = (p,) if buf is None else (p, buf)
            arrays = on_arrays.flat(g, written, (lr, momentum, dampening, decay))
            if arrays is not None:
                on_arrays.sgd(arrays, lr, momentum, dampening, decay, group["nesterov"])
                return
        if decay != 0:
            g = g.add(p, alpha=decay)
        if buf is not None:
            if first and dampening != 0:  # the first gradient is not dampened
                only_now(state)
                buf.copy_(g)
            else:  # momentum * 0 + g is g: without dampening the first step is like every other
                buf.mul_(momentum).add_(g, alpha=1 - dampening)
            g = g.add(buf, alpha=momentum) if group["nesterov"] else buf
        p.sub_(g, alpha=lr)


def only_now(state: State) -> None:
    """Tell a trace that the next step is another one."""
    interpreter = local.c.interpreter
    if interpreter is not None:
        interpreter.assume(lambda: "momentum_buffer" not in state, True, steady=False)
