"""Feature transforms that learn nothing: products, and waves."""

from __future__ import annotations

import math
from collections.abc import Sequence

from clearprop import ops
from clearprop.core import Tensor
from clearprop.data.transforms.base import Transform


class Polynomial(Transform):
    """Products of up to `degree` entries of x: for two inputs and degree 2 x₁, x₂, x₁², x₁x₂, x₂².

    `include_bias` adds the constant 1 in front; `interaction_only` leaves out powers: x₁, x₂, x₁x₂.
    The order is scikit-learn's.

    >>> import numpy as np
    >>> from clearprop.data.transforms import Polynomial
    >>> Polynomial(2)(np.array([[2.0, 3.0]]))
    array([[2., 3., 4., 6., 9.]])
    """

    def __init__(
        self, degree: int, *, include_bias: bool = False, interaction_only: bool = False
    ) -> None:
        if degree < 1:
            raise ValueError(f"Polynomial: degree is {degree}, wanted at least 1")
        self.degree = degree
        self.include_bias = include_bias
        self.interaction_only = interaction_only

    def width(self, inputs: int) -> int:
        """Σ C(inputs + k - 1, k) for k = 1 ... degree; without powers Σ C(inputs, k)."""
        count = 0
        for k in range(1, self.degree + 1):
            count += math.comb(inputs if self.interaction_only else inputs + k - 1, k)
        return count + self.include_bias

    def _apply(self, x: Tensor) -> Tensor:
        n = x.shape[-1]
        columns = [x[..., j : j + 1] for j in range(n)]
        blocks = [ops.ones_like(x[..., :1])] if self.include_bias else []
        # Products of degree k + 1 that begin with x_j: x_j times the products of degree k that
        # begin with x_j or later.
        products, starts = x, list(range(n))
        for degree in range(self.degree):
            if degree:
                parts, next_starts, width = [], [], 0
                for j in range(n):
                    first = j + self.interaction_only
                    next_starts.append(width)
                    if first < n and starts[first] < products.shape[-1]:
                        part = columns[j] * products[..., starts[first] :]
                        parts.append(part)
                        width += part.shape[-1]
                if not parts:
                    break  # no product of so many different entries
                products, starts = ops.cat(parts, dim=-1), next_starts
            blocks.append(products)
        return ops.cat(blocks, dim=-1)


class Fourier(Transform):
    """Waves: sin(2π k x / period) and cos(2π k x / period), k = 1 ... order, of each entry of x.

    The order is all sines of k = 1, all cosines of k = 1, all sines of k = 2, ...

    >>> import numpy as np
    >>> from clearprop.data.transforms import Fourier
    >>> Fourier(1, period=4.0)(np.array([[1.0]])).round(3)
    array([[1., 0.]])
    """

    def __init__(
        self, order: int, *, period: float = 2 * math.pi, include_bias: bool = False
    ) -> None:
        if order < 1:
            raise ValueError(f"Fourier: order is {order}, wanted at least 1")
        if not 0 < period < math.inf:
            raise ValueError(f"Fourier: period is {period}, wanted a positive number")
        self.order = order
        self.period = period
        self.include_bias = include_bias

    def _apply(self, x: Tensor) -> Tensor:
        blocks = [ops.ones_like(x[..., :1])] if self.include_bias else []
        for k in range(1, self.order + 1):
            angle = x * (2 * math.pi * k / self.period)
            blocks += [ops.sin(angle), ops.cos(angle)]
        return ops.cat(blocks, dim=-1)


class Sine(Transform):
    """sin(ω x) for each angular frequency ω and each entry of x; `keep` puts x itself in front.

    >>> import numpy as np
    >>> from clearprop.data.transforms import Sine
    >>> Sine([1.0], keep=True)(np.array([[0.0, np.pi / 2]])).round(3)
    array([[0.   , 1.571, 0.   , 1.   ]])
    """

    def __init__(self, frequencies: Sequence[float] = (1.0,), *, keep: bool = False) -> None:
        if not len(frequencies):
            raise ValueError("Sine: no frequencies given")
        self.frequencies = tuple(map(float, frequencies))
        self.keep = keep

    def _apply(self, x: Tensor) -> Tensor:
        waves = [ops.sin(x * w) for w in self.frequencies]
        return ops.cat([x, *waves] if self.keep else waves, dim=-1)
