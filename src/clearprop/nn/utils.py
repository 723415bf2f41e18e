"""Tools for gradients of parameters: clipping."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clearprop import ops
from clearprop.autograd import no_grad
from clearprop.core import Tensor
from clearprop.errors import AutogradError


def _grads(parameters: Any) -> list[Tensor]:
    listed: Iterable[Tensor] = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in listed if p.grad is not None]


@no_grad()
def get_total_norm(tensors: Iterable[Tensor], norm_type: float = 2.0) -> Tensor:
    """The norm of all tensors together: the norm of their norms."""
    norms = [ops.norm(g.detach(), norm_type) for g in tensors]
    return ops.norm(ops.stack(norms), norm_type) if norms else ops.tensor(0.0)


@no_grad()
def clip_grad_norm_(parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False) -> Tensor:
    """Scale all gradients by min(1, max_norm / (norm + 1e-6)), in place; returns the norm before."""
    grads = _grads(parameters)
    total = get_total_norm(grads, norm_type)
    if error_if_nonfinite and not bool(ops.isfinite(total)):
        raise AutogradError(f"clip_grad_norm_: The total norm of order {norm_type} for gradients is non-finite, so it cannot be clipped")
    factor = ops.clamp(max_norm / (total + 1e-6), max=1.0)
    for g in grads:
        g.mul_(factor.to(g.dtype))  # type: ignore[attr-defined]
    return total


@no_grad()
def clip_grad_value_(parameters: Any, clip_value: float) -> None:
    """Limit every element of the gradients to [-clip_value, clip_value], in place."""
    for g in _grads(parameters):
        g.clamp_(-clip_value, clip_value)  # type: ignore[attr-defined]
