"""Random in-place fills: `x.uniform_(a, b)` and the like, PyTorch's numbers for the same seed (see
core.random).
"""

from __future__ import annotations

from typing import Any

from clearprop.core import Tensor, wrap
from clearprop.core.random import Generator, drawn
from clearprop.ops.inplace import overwrite


def _fill(x: Tensor, draw: Any, generator: Generator | None, op: str) -> Tensor:
    """x filled with draw(generator, shape, dtype)."""
    shape, d = x.shape, x.value.dtype
    value = drawn(shape, x.dtype, lambda g: draw(g, shape, d), generator)
    return overwrite(x, wrap(value, None), op)


def uniform_(
    x: Tensor, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with uniform numbers in [a, b)."""
    return _fill(x, lambda g, shape, d: g.uniform(shape, d, a, b), generator, "uniform_")


def normal_(
    x: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with normal numbers."""
    return _fill(x, lambda g, shape, d: g.normal(shape, d, mean, std), generator, "normal_")


def bernoulli_(x: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with 1 (probability p) or 0."""
    chance = p.array("bernoulli_()") if isinstance(p, Tensor) else p
    return _fill(x, lambda g, shape, d: g.bernoulli(chance, shape), generator, "bernoulli_")


def exponential_(x: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with exponentially distributed numbers of rate lambd."""
    return _fill(x, lambda g, shape, d: g.exponential(shape, d, lambd), generator, "exponential_")


def geometric_(x: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill with numbers of trials until the first success of probability p."""
    return _fill(x, lambda g, shape, d: g.geometric(shape, p), generator, "geometric_")


def cauchy_(
    x: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with Cauchy-distributed numbers."""
    return _fill(x, lambda g, shape, d: g.cauchy(shape, median, sigma), generator, "cauchy_")


def log_normal_(
    x: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with e to the power of normal numbers."""
    return _fill(x, lambda g, shape, d: g.log_normal(shape, mean, std), generator, "log_normal_")


def random_(
    x: Tensor, low: int = 0, high: int | None = None, *, generator: Generator | None = None
) -> Tensor:
    """Fill with integers in [low, high), or [0, low) when only one bound is given."""
    if high is None:
        low, high = 0, low
    return _fill(x, lambda g, shape, d: g.randint(low, high, shape), generator, "random_")


__all__ = [
    "bernoulli_", "cauchy_", "exponential_", "geometric_", "log_normal_", "normal_", "random_",
    "uniform_",
]  # fmt: skip
