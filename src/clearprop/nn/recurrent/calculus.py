"""What a sweep through time is written in: the same few operations for arrays and for tensors, so
that one text is the eager kernel and the composite that compiled code is made of.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from clearprop import ops
from clearprop.core import Tensor, apply, apply2, wrap
from clearprop.ops.broadcasting import expand_to, zeros_for
from clearprop.ops.contract import MATMUL
from clearprop.ops.elementwise import relu, where
from clearprop.ops.movement import concat_p, permute, reshape_to, slice_


class Arrays:
    """On NumPy arrays."""

    tanh = staticmethod(np.tanh)
    product = staticmethod(np.matmul)

    @staticmethod
    def rows(x: Any, start: int, stop: int) -> Any:
        """Rows start to stop."""
        return x[start:stop]

    @staticmethod
    def columns(x: Any, start: int, stop: int) -> Any:
        """Columns start to stop."""
        return x[:, start:stop]

    @staticmethod
    def below(parts: list[Any]) -> Any:
        """The parts one below the other."""
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    @staticmethod
    def beside(parts: list[Any]) -> Any:
        """The parts side by side."""
        return np.concatenate(parts, 1)

    @staticmethod
    def turned(w: Any) -> Any:
        """The transpose."""
        return w.T

    @staticmethod
    def packed(w: Any) -> Any:
        """The same with its rows one after the other: many products with it are quicker then."""
        return np.ascontiguousarray(w)

    @staticmethod
    def row(v: np.ndarray, like: Any) -> Any:
        """One row, for every row of `like`."""
        return v

    @staticmethod
    def total(x: Any) -> Any:
        """The sum of all rows."""
        return x.sum(0)

    @staticmethod
    def relu(x: Any) -> Any:
        return np.where(x <= 0, x.dtype.type(0), x)  # nan stays

    @staticmethod
    def where_positive(y: Any, x: Any) -> Any:
        """x, and 0 where y <= 0."""
        return np.where(y <= 0, x.dtype.type(0), x)

    @staticmethod
    def activated(x: Any, half: Any, width: Any, shift: Any) -> Any:
        """width * tanh(half * x) + shift."""
        y = x * half
        np.tanh(y, y)
        y *= width
        y += shift
        return y


class Tensors:
    """On tensors, in ops: recorded, traced, differentiated."""

    tanh = staticmethod(ops.tanh)
    relu = staticmethod(relu)

    @staticmethod
    def product(x: Tensor, y: Tensor) -> Tensor:
        return apply2(MATMUL, x, y)

    @staticmethod
    def rows(x: Tensor, start: int, stop: int) -> Tensor:
        if stop - start == x.shape[0]:
            return x
        return slice_(x, (start, 0), (stop, x.shape[1]), (1, 1))

    @staticmethod
    def columns(x: Tensor, start: int, stop: int) -> Tensor:
        return slice_(x, (0, start), (x.shape[0], stop), (1, 1))

    @staticmethod
    def below(parts: list[Tensor]) -> Tensor:
        return parts[0] if len(parts) == 1 else apply(concat_p, *parts, dim=0)

    @staticmethod
    def beside(parts: list[Tensor]) -> Tensor:
        return apply(concat_p, *parts, dim=1)

    @staticmethod
    def turned(w: Tensor) -> Tensor:
        return permute(w, (1, 0))

    @staticmethod
    def packed(w: Tensor) -> Tensor:
        return w

    @staticmethod
    def row(v: Any, like: Tensor) -> Tensor:
        t = v if isinstance(v, Tensor) else wrap(np.array(v), None)
        return expand_to(reshape_to(t, (1, like.shape[1])), like.shape)

    @staticmethod
    def total(x: Tensor) -> Tensor:
        return ops.sum(x, 0)

    @staticmethod
    def where_positive(y: Tensor, x: Tensor) -> Tensor:
        return where(y <= 0, zeros_for(x), x)

    @staticmethod
    def activated(x: Tensor, half: Tensor, width: Tensor, shift: Tensor) -> Tensor:
        return ops.tanh(x * half) * width + shift


Calculus = Any  # Arrays or Tensors
