"""-log softmax(x)[y] of rows of logits as one primitive, and its derivative as another: a loss that
most classifiers end with, in a few NumPy calls each way.

With p = softmax(x) and the one-hot row h of y: the derivative in x is g (p - h), and that of the
derivative along G is g p (G - sum(p G)).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from clearprop import ops
from clearprop.core import Aval, Composed, Example, Tensor, apply, float64, int64, primitive
from clearprop.ops.broadcasting import expand_to, zeros_for
from clearprop.ops.index import GATHER, SCATTER_ADD
from clearprop.ops.movement import reshape_to


def _shifted(x: np.ndarray) -> np.ndarray:
    """x - the row's largest number."""
    return x - np.maximum.reduce(x, 1, keepdims=True) if x.size else x.copy()


def _loss(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    shifted = _shifted(x)
    picked = shifted[np.arange(len(y)), y]
    out: np.ndarray = np.log(np.add.reduce(np.exp(shifted, shifted), 1))
    out -= picked
    return out


def _loss_back(g: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    e = _shifted(x)
    np.exp(e, e)
    e *= (g / np.add.reduce(e, 1))[:, None]
    e[np.arange(len(y)), y] -= g
    return e


def _column(v: Tensor, like: Tensor) -> Tensor:
    return expand_to(reshape_to(v, (v.shape[0], 1)), like.shape)


def _places(y: Tensor) -> Tensor:
    return reshape_to(y, (y.shape[0], 1))


def _picked(x: Tensor, y: Tensor) -> Tensor:
    return reshape_to(apply(GATHER, x, _places(y), dim=1), y.shape)


def _in_ops(x: Tensor, y: Tensor) -> Tensor:
    return -_picked(ops.log_softmax(x, 1), y)


def _back_in_ops(g: Tensor, x: Tensor, y: Tensor) -> Tensor:
    at = apply(SCATTER_ADD, zeros_for(x), _places(y), _places(g), dim=1)
    return ops.softmax(x, 1) * _column(g, x) - at


def _along(t: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The derivative of the loss along t."""
    return ops.sum(ops.softmax(x, 1) * t, 1) - _picked(t, y)


def _curvature(t: Tensor, g: Tensor, x: Tensor) -> Tensor:
    p = ops.softmax(x, 1)
    return _column(g, x) * p * (t - _column(ops.sum(p * t, 1), x))


def _as_rows(name: str) -> Any:
    """vmap: the rows of all examples at once."""

    def rule(size: int, mapped: Any, *inputs: Tensor) -> Tensor:
        whole = [
            x if m else expand_to(reshape_to(x, (1, *x.shape)), (size, *x.shape))
            for x, m in zip(inputs, mapped, strict=True)
        ]
        n = whole[-1].shape[1]
        out = apply(_TABLE[name], *(reshape_to(x, (size * n, *x.shape[2:])) for x in whole))
        return reshape_to(out, (size, n, *out.shape[1:]))

    return rule


_X, _Y = Aval((4, 3), float64), Aval((4,), int64)
_CLASSES = np.array([2, 0, 1, 2])
CROSS_ENTROPY = primitive(
    "cross_entropy",
    doc="-log softmax(x)[y] of every row of x.",
    eager=_loss,
    shape=lambda x, y: Aval(y.shape, x.dtype),
    vjp=(lambda g, _out, x, y: apply(CROSS_ENTROPY_BACK, g, x, y), None),  # type: ignore[has-type]
    lower=Composed(_in_ops),
    batch=_as_rows("loss"),
    examples=(Example((_X, _Y), {}, (None, _CLASSES)),),
)
CROSS_ENTROPY_BACK = primitive(
    "cross_entropy_back",
    doc="The derivative of cross_entropy: g (softmax(x) - one_hot(y)).",
    eager=_loss_back,
    shape=lambda _g, x, _y: x,
    vjp=(
        lambda t, _out, _g, x, y: _along(t, x, y),
        lambda t, _out, g, x, _y: _curvature(t, g, x),
        None,
    ),
    lower=Composed(_back_in_ops),
    batch=_as_rows("back"),
    examples=(Example((Aval((4,), float64), _X, _Y), {}, (None, None, _CLASSES)),),
)
_TABLE = {"loss": CROSS_ENTROPY, "back": CROSS_ENTROPY_BACK}
