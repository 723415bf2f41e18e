"""Clipping of gradients, before a step of the optimizer. `foreach` has no effect."""

from __future__ import annotations

from collections.abc import Iterable

from clearprop import ops
from clearprop.autograd import no_grad
from clearprop.core import Tensor
from clearprop.core.events import listeners, tell
from clearprop.errors import AutogradError


@no_grad()
def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all elements of all tensors together: the norm of the tensors' norms.

    Errors: `AutogradError` for a norm of inf or nan, if `error_if_nonfinite`.

    >>> import clearprop as cp
    >>> cp.nn.utils.get_total_norm([cp.tensor([3.0]), cp.tensor([0.0, 4.0])])
    tensor(5.)
    """
    return _total("get_total_norm", _listed(tensors), norm_type, error_if_nonfinite)


@no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients by min(1, max_norm / (norm + 1e-6)), in place; returns the norm before.

    Errors: `AutogradError` for a norm of inf or nan, if `error_if_nonfinite`.

    >>> import clearprop as cp
    >>> w = cp.zeros(2, requires_grad=True)
    >>> w.grad = cp.tensor([3.0, 4.0])
    >>> cp.nn.utils.clip_grad_norm_([w], max_norm=1.0)
    tensor(5.)
    >>> w.grad
    tensor([0.6000, 0.8000])
    """
    grads = _grads(parameters)
    total = _total("clip_grad_norm_", grads, norm_type, error_if_nonfinite)
    _scale(grads, max_norm, total)
    if listeners:
        tell("clip", "clip_grad_norm_", parameters, max_norm, total)
    return total


@no_grad()
def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,
) -> None:
    """Scale all gradients by min(1, max_norm / (total_norm + 1e-6)), in place, for a norm that is
    known (`get_total_norm`).

    >>> import clearprop as cp
    >>> w = cp.zeros(2, requires_grad=True)
    >>> w.grad = cp.tensor([3.0, 4.0])
    >>> cp.nn.utils.clip_grads_with_norm_([w], 1.0, cp.tensor(5.0))
    >>> w.grad
    tensor([0.6000, 0.8000])
    """
    _scale(_grads(parameters), max_norm, total_norm)
    if listeners:
        tell("clip", "clip_grads_with_norm_", parameters, max_norm, total_norm)


@no_grad()
def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Limit every element of the gradients to [-clip_value, clip_value], in place.

    >>> import clearprop as cp
    >>> w = cp.zeros(2, requires_grad=True)
    >>> w.grad = cp.tensor([0.5, -4.0])
    >>> cp.nn.utils.clip_grad_value_([w], 1.0)
    >>> w.grad
    tensor([ 0.5000, -1.0000])
    """
    if listeners:
        tell("clip", "clip_grad_value_", parameters, clip_value, None)
    for g in _grads(parameters):
        g.clamp_(-clip_value, clip_value)  # type: ignore[attr-defined]


def _scale(grads: list[Tensor], max_norm: float, total: Tensor) -> None:
    factor = ops.clamp(max_norm / (total + 1e-6), max=1.0)
    for g in grads:
        g.mul_(factor.to(g.dtype))  # type: ignore[attr-defined]


def _total(op: str, tensors: list[Tensor], norm_type: float, error_if_nonfinite: bool) -> Tensor:
    norms = [ops.norm(x.detach(), norm_type) for x in tensors]
    total = ops.norm(ops.stack(norms), norm_type) if norms else ops.tensor(0.0)
    if error_if_nonfinite and not bool(ops.isfinite(total)):
        raise AutogradError(
            f"{op}: The total norm of order {norm_type} for gradients is non-finite, so it cannot "
            "be clipped; detect_anomaly() names the op that made it so"
        )
    return total


def _grads(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [p.grad for p in _listed(parameters) if p.grad is not None]


def _listed(tensors: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


__all__ = ["clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]
