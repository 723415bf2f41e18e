"""Windows: smooth bumps that weight the samples of a signal."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from clearprop.core import Tensor, as_dtype, dtype, get_default_dtype, wrap
from clearprop.errors import ShapeError
from clearprop.ops.broadcasting import here


def _window(name: str, doc: str, shape: Callable[..., np.ndarray]) -> Callable[..., Tensor]:
    def op(
        window_length: int,
        periodic: bool = True,
        *args: float,
        dtype: dtype | None = None,
        requires_grad: bool = False,
        device: Any = None,
        **kwargs: float,
    ) -> Tensor:
        if window_length < 0:
            raise ShapeError(
                f"{name}: window_length must be non-negative, got {window_length}{here()}"
            )
        d = get_default_dtype() if dtype is None else as_dtype(dtype)
        n = window_length + 1 if periodic else window_length
        at = np.arange(window_length) / max(n - 1, 1)
        value = np.ones(1) if window_length == 1 else shape(at, *args, **kwargs)
        out = wrap(value.astype(d.np), None)
        return out.requires_grad_() if requires_grad else out

    op.__name__ = op.__qualname__ = name
    op.__doc__ = f"{doc} Periodic windows leave out the last of one sample more."
    return op


def _cosines(at: np.ndarray, *factors: float) -> np.ndarray:
    """a0 - a1 cos(2 pi t) + a2 cos(4 pi t)."""
    terms = [(-1) ** k * a * np.cos(2 * math.pi * k * at) for k, a in enumerate(factors)]
    return np.asarray(sum(terms[1:], terms[0]))


hann_window = _window("hann_window", "sin^2(pi t).", lambda t: _cosines(t, 0.5, 0.5))
hamming_window = _window(
    "hamming_window",
    "alpha - beta cos(2 pi t).",
    lambda t, alpha=0.54, beta=0.46: _cosines(t, alpha, beta),
)
blackman_window = _window(
    "blackman_window",
    "0.42 - 0.5 cos(2 pi t) + 0.08 cos(4 pi t).",
    lambda t: _cosines(t, 0.42, 0.5, 0.08),
)
bartlett_window = _window("bartlett_window", "1 - |2t - 1|.", lambda t: 1 - np.abs(2 * t - 1))

__all__ = ["bartlett_window", "blackman_window", "hamming_window", "hann_window"]
