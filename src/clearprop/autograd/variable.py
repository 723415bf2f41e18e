"""`Variable`: the older name of a tensor that autograd follows."""

from __future__ import annotations

from typing import Any

from clearprop.core import Tensor
from clearprop.ops import as_tensor


class _Variables(type):
    def __call__(cls, data: Any = (), requires_grad: bool = False, volatile: Any = None) -> Tensor:
        out = as_tensor(data).detach()
        return out.requires_grad_() if requires_grad else out

    def __instancecheck__(cls, x: object) -> bool:
        return isinstance(x, Tensor)


class Variable(metaclass=_Variables):
    """`Variable(x, requires_grad=True)` is a new leaf over the memory of x; every tensor is one.

    >>> import clearprop as cp
    >>> x = cp.autograd.Variable(cp.ones(2), requires_grad=True)
    >>> x.requires_grad, isinstance(cp.ones(1), cp.autograd.Variable)
    (True, True)
    """


__all__ = ["Variable"]
