"""Questions about tensors and types, under PyTorch's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from clearprop.core import Tensor, as_dtype, bump, dtype
from clearprop.core.dtypes import promote, promote_scalar, promote_types
from clearprop.errors import ShapeError
from clearprop.ops.broadcasting import as_tensor_or_number, here, need_tensors, tensor_of


def is_tensor(x: Any) -> bool:
    """Whether x is a Tensor."""
    return isinstance(x, Tensor)


def is_floating_point(x: Tensor) -> bool:
    """Whether the elements of x are floating-point numbers."""
    need_tensors("is_floating_point", x)
    return x.is_floating_point()


def is_complex(x: Tensor) -> bool:
    """False: there are no complex tensors."""
    need_tensors("is_complex", x)
    return False


def is_signed(x: Tensor) -> bool:
    """Whether the elements of x may be negative."""
    return x.dtype.is_signed


def is_nonzero(x: Tensor) -> bool:
    """Whether the only element of x is not 0."""
    if x.numel() != 1:
        values = "no values" if not x.numel() else "more than one value"
        raise ShapeError(
            f"is_nonzero: Boolean value of Tensor with {values} is ambiguous, it is"
            f" {x.aval}{here()}"
        )
    return bool(x)


def is_same_size(x: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape."""
    return x.shape == other.shape


def numel(x: Tensor) -> int:
    """The number of elements."""
    need_tensors("numel", x)
    return x.numel()


def result_type(x: Any, y: Any) -> dtype:
    """The dtype of an op on x and y, tensors or numbers.

    >>> import clearprop as cp
    >>> cp.result_type(cp.tensor([1]), 1.5)
    clearprop.float32
    """
    a, b = as_tensor_or_number(x, "result_type"), as_tensor_or_number(y, "result_type")
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        return promote_types(tensor_of(a, "result_type").dtype, tensor_of(b, "result_type").dtype)
    if not isinstance(a, Tensor):
        a, b = b, a
    assert isinstance(a, Tensor)
    if not isinstance(b, Tensor):
        return promote_scalar(a.dtype, b)
    return promote(a.dtype, a.ndim == 0, b.dtype, b.ndim == 0)


def can_cast(from_: Any, to: Any) -> bool:
    """Whether an in-place op may write results of one type to the other: never from floats to
    integers, nor to bool.

    >>> import clearprop as cp
    >>> cp.can_cast(cp.float64, cp.float32), cp.can_cast(cp.float32, cp.int64)
    (True, False)
    """
    return as_dtype(from_).category <= as_dtype(to).category


# ---------------------------------------------------------------------- Python, element by element
def apply_(x: Tensor, callable: Any) -> Tensor:
    """Write callable(element) to every element: slow, outside autograd."""
    value = x.array("apply_()")
    if x.requires_grad:
        raise RuntimeError(f"apply_: Can't call apply_() on Variable that requires grad{here()}")
    for place in np.ndindex(*value.shape):
        value[place] = callable(value[place].item())
    bump(x)
    return x


def map_(x: Tensor, other: Tensor, callable: Any) -> Tensor:
    """Write callable(element, element of other) to every element: slow, outside autograd."""
    value = x.array("map_()")
    if x.requires_grad or other.requires_grad:
        raise RuntimeError(f"map_: Can't call map_() on Variable that requires grad{here()}")
    others = np.broadcast_to(other.array("map_()"), value.shape)
    for place in np.ndindex(*value.shape):
        value[place] = callable(value[place].item(), others[place].item())
    bump(x)
    return x


__all__ = [
    "can_cast", "is_complex", "is_floating_point", "is_nonzero", "is_same_size", "is_signed",
    "is_tensor", "numel", "promote_types", "result_type",
]  # fmt: skip
