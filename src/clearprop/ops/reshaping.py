"""In-place methods that change the shape of a tensor: it becomes a view of what it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clearprop.core import Leaf, Tensor, local, version_cell, wrap
from clearprop.core.tensor import refresh
from clearprop.errors import AutogradError
from clearprop.ops import shapes
from clearprop.ops.broadcasting import here
from clearprop.ops.inplace import LEAF


def _reshaping(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def method(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if local.c.grad and type(x.node) is Leaf:
            raise AutogradError(LEAF.format(op=name, here=here()))
        if x.view_of is not None:
            refresh(x)
        before = wrap(x.value, x.node)
        before.cell, before.view_of = version_cell(x), x.view_of
        after = function(before, *args, **kwargs)
        x.value, x.node, x.view_of = after.value, after.node, after.view_of
        return x

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"{function.__name__} in place: this tensor becomes a view of what it was."
    return method


squeeze_ = _reshaping("squeeze_", shapes.squeeze)
unsqueeze_ = _reshaping("unsqueeze_", shapes.unsqueeze)
transpose_ = _reshaping("transpose_", shapes.transpose)
swapaxes_ = _reshaping("swapaxes_", shapes.transpose)
swapdims_ = _reshaping("swapdims_", shapes.transpose)
t_ = _reshaping("t_", shapes.t)

__all__ = ["squeeze_", "swapaxes_", "swapdims_", "t_", "transpose_", "unsqueeze_"]
