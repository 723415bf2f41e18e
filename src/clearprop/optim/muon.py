"""Muon: momentum whose matrix is made orthogonal before the step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from clearprop import ops
from clearprop.core import Tensor, float32
from clearprop.optim.bfloat16 import as_bfloat16
from clearprop.optim.optimizer import Group, Optimizer, State, not_negative, zeros


class Muon(Optimizer):
    """Steps with all singular values near 1, for the matrices of hidden layers.

    m += (1-momentum)(g - m), with nesterov b = g + momentum (m - g), else b = m. X = b/|b|, then
    ns_steps times X = a X + (b G + c G²) X with G = X Xᵀ, (a, b, c) = ns_coefficients, computed
    with the 8 bits of bfloat16. p *= 1 - lr · weight_decay; p -= lr · s · X for a (m, n) matrix:
    s = √max(1, m/n), or 0.2 √max(m, n) with adjust_lr_fn="match_rms_adamw". Biases, embeddings and
    the like want another optimizer. Errors: a parameter that is no matrix, a negative option.

    >>> import clearprop as cp
    >>> w = cp.tensor([[1.0, 0.0], [0.0, 3.0]], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> cp.optim.Muon([w], lr=0.1, weight_decay=0.0).step()
    >>> [[round(x, 2) for x in row] for row in w.tolist()]
    [[0.89, 0.0], [0.0, 2.92]]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        options: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum}
        options |= {"nesterov": nesterov, "ns_coefficients": ns_coefficients, "eps": eps}
        super().__init__(params, options | {"ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn})

    def _check(self, group: Group) -> None:
        not_negative("Muon", **{k: group[k] for k in ("lr", "momentum", "weight_decay")})
        if group["adjust_lr_fn"] not in (None, "original", "match_rms_adamw"):
            raise ValueError(
                f"Muon: Adjust learning rate function {group['adjust_lr_fn']} is not supported; "
                "use 'original' or 'match_rms_adamw'"
            )
        if len(group["ns_coefficients"]) != 3:
            raise ValueError("Muon: Coefficients must be a tuple of exactly 3 values")
        if group["ns_steps"] >= 100:
            raise ValueError(
                f"Muon: Number of steps must be less than 100, got ns_steps={group['ns_steps']}"
            )
        for p in group["params"]:
            if p.ndim != 2:
                raise ValueError(
                    "Muon: only supports 2D parameters whereas we found a parameter with size: "
                    f"{list(p.shape)}; give the others to AdamW"
                )

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        lr, momentum = group["lr"], group["momentum"]
        if not state:
            state["momentum_buffer"] = zeros(p)
        m = state["momentum_buffer"].lerp_(g, 1 - momentum)
        x = orthogonal(g.lerp(m, momentum) if group["nesterov"] else m, group)
        p.mul_(1 - lr * group["weight_decay"])
        rows, columns = p.shape
        if group["adjust_lr_fn"] == "match_rms_adamw":
            factor = 0.2 * math.sqrt(max(rows, columns))
        else:
            factor = math.sqrt(max(1, rows / columns))
        p.sub_(x.to(p.dtype), alpha=lr * factor)


def orthogonal(x: Tensor, group: Group) -> Tensor:
    """About U Vᵀ where x = U S Vᵀ, by an iteration that knows no S; in float32 with bfloat16's
    digits.
    """
    a, b, c = group["ns_coefficients"]
    tall = x.shape[0] > x.shape[1]
    x = as_bfloat16((x.T if tall else x).to(float32))
    norm = as_bfloat16((x * x).sum().sqrt())
    x = as_bfloat16(x / as_bfloat16(ops.maximum(norm, group["eps"])))
    steps = 0
    while steps < group["ns_steps"]:
        gram = as_bfloat16(x @ x.T)
        change = as_bfloat16(gram * b + (gram @ gram) * c)
        x = as_bfloat16(x * a + change @ x)
        steps += 1
    return x.T if tall else x
