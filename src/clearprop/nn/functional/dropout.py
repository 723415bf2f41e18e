"""Dropout of elements and of whole channels. Masks are drawn from the default generator (PyTorch's
come from a stream of its own).
"""

from __future__ import annotations

import numpy as np

from clearprop.core import Tensor, wrap
from clearprop.core import random as random_module
from clearprop.errors import ShapeError
from clearprop.nn.warn import warn
from clearprop.ops.broadcasting import expand_to, here

# Alpha dropout: what a dropped unit is set to, the limit of SELU at -inf (Klambauer et al. 2017)
SELU_FLOOR = -1.7580993408473766


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Each element is 0 with probability p, else x / (1 - p); the identity when not training."""
    return _drop("dropout", input, p, training, inplace, input.shape)


def _check(op: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(
            f"{op}: dropout probability has to be between 0 and 1, but got {p}{here()}"
        )


def _drop(
    op: str, x: Tensor, p: float, training: bool, inplace: bool, shape: tuple[int, ...]
) -> Tensor:
    """x times a mask of a shape that broadcasts to it."""
    _check(op, p)
    if not training or p == 0:
        return x
    mask = _mask(x, p, shape, 0.0 if p == 1 else 1 / x.value.dtype.type(1 - p))
    return x.mul_(mask) if inplace else x * mask  # type: ignore[attr-defined,no-any-return]


def _mask(x: Tensor, p: float, shape: tuple[int, ...], scale: float) -> Tensor:
    """`scale` with probability 1 - p, else 0, expanded to x."""
    if p == 1:
        return wrap(np.zeros(x.shape, x.value.dtype), None)

    def draw(g: random_module.Generator) -> np.ndarray:
        kept: np.ndarray = g.uniform(shape, np.float32) >= p
        return kept * scale

    return expand_to(wrap(random_module.drawn(shape, x.dtype, draw), None), x.shape)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Whole channels of (N, C, L) or (C, L) are 0 with probability p, the others divided by
    1 - p.
    """
    _check("dropout1d", p)
    if input.ndim not in (2, 3):
        raise ShapeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.ndim}D input:"
            f" {input.aval}{here()}"
        )
    return _drop("dropout1d", input, p, training, inplace, _channels(input, input.ndim == 3))


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Whole channels of (N, C, H, W) are 0 with probability p, the others divided by 1 - p.

    A 3-d input is (N, C, L), not (C, H, W), as in PyTorch.
    """
    if input.ndim < 2:
        raise ShapeError(
            f"dropout2d: Feature dropout requires at least 2 dimensions in the input, got"
            f" {input.aval}{here()}"
        )
    if input.ndim not in (3, 4):
        warn(
            f"dropout2d: Received a {input.ndim}-D input to dropout2d; the first two axes are taken"
            f" for (N, C). Pass a 3D or 4D input instead{here()}"
        )
    return _drop("dropout2d", input, p, training, inplace, _channels(input, True))


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Whole channels of (N, C, D, H, W) or (C, D, H, W) are 0 with probability p, the others
    divided by 1 - p.
    """
    if input.ndim not in (4, 5):
        warn(
            f"dropout3d: Received a {input.ndim}-D input to dropout3d; the first two axes are taken"
            f" for (N, C). Pass a 4D or 5D input instead{here()}"
        )
    return _drop("dropout3d", input, p, training, inplace, _channels(input, input.ndim != 4))


def _channels(x: Tensor, batched: bool) -> tuple[int, ...]:
    kept = 2 if batched else 1
    return x.shape[:kept] + (1,) * (x.ndim - kept)


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Dropout for SELU: dropped elements become SELU's limit -1.758, and all are scaled so that
    mean 0 and variance 1 stay.
    """
    return _alpha("alpha_dropout", input, p, training, inplace, input.shape)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """`alpha_dropout` of whole channels of (N, C, ...)."""
    if input.ndim < 2:
        raise ShapeError(
            f"feature_alpha_dropout: Feature dropout requires at least 2 dimensions in the input,"
            f" got {input.aval}{here()}"
        )
    return _alpha("feature_alpha_dropout", input, p, training, inplace, _channels(input, True))


def _alpha(
    op: str, x: Tensor, p: float, training: bool, inplace: bool, shape: tuple[int, ...]
) -> Tensor:
    _check(op, p)
    if not training or p == 0:
        return x
    if p == 1:
        return x.mul_(0.0) if inplace else x * 0.0  # type: ignore[attr-defined,no-any-return]
    kept = _mask(x, p, shape, 1.0)
    a = ((1 - p) * (1 + p * SELU_FLOOR**2)) ** -0.5
    y = x * (kept * a) + (1 - kept) * (a * SELU_FLOOR) - a * SELU_FLOOR * p
    return x.copy_(y) if inplace else y  # type: ignore[attr-defined,no-any-return]
