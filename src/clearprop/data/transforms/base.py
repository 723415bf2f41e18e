"""What the feature transforms have in common, and putting one after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np

from clearprop.core import Tensor, wrap
from clearprop.errors import DataError, ShapeError

Values = TypeVar("Values", Tensor, np.ndarray)
Self = TypeVar("Self", bound="Transform")


class Transform(ABC):
    """A feature transform: `_apply` says what it does to a Tensor."""

    def __call__(self, x: Values) -> Values:
        name = type(self).__name__
        if isinstance(x, Tensor):
            return self._apply(self._checked(x, name))
        if not isinstance(x, np.ndarray):
            raise TypeError(f"{name}: got a {type(x).__name__}, wanted a Tensor or an array")
        return self._apply(self._checked(wrap(x, None), name)).numpy()

    def fit(self: Self, x: Tensor | np.ndarray) -> Self:
        """Learn from the rows of x what the transform needs; here that is nothing."""
        return self

    def width(self, inputs: int) -> int:
        """How many features come out where `inputs` go in."""
        zeros = np.zeros((1, inputs), dtype=np.float32)
        return int(self(zeros).shape[-1])

    @abstractmethod
    def _apply(self, x: Tensor) -> Tensor: ...

    def _checked(self, x: Tensor, name: str) -> Tensor:
        if x.ndim == 0:
            raise ShapeError(f"{name}: x has no dimensions, wanted (..., features)")
        # Whole numbers have no square root and no sine of their own type.
        return x if x.is_floating_point() else x.float()


class Compose(Transform):
    """One transform after the other: φ(x) = φ_n(... φ_1(x)).

    `fit` fits each on what those before it make of x.

    >>> import numpy as np
    >>> from clearprop.data.transforms import Compose, Polynomial, Standardize
    >>> phi = Compose([Standardize(), Polynomial(2)]).fit(np.array([[1.0], [3.0]]))
    >>> phi(np.array([[3.0]]))
    array([[1., 1.]])
    """

    def __init__(self, transforms: Iterable[Transform]) -> None:
        self.transforms = tuple(transforms)

    def fit(self, x: Tensor | np.ndarray) -> Compose:
        """Fit each transform in turn."""
        for t in self.transforms:
            x = t.fit(x)(x)  # type: ignore[type-var]
        return self

    def width(self, inputs: int) -> int:
        """What the last transform gives."""
        for t in self.transforms:
            inputs = t.width(inputs)
        return inputs

    def __call__(self, x: Values) -> Values:
        for t in self.transforms:
            x = t(x)
        return x

    def _apply(self, x: Tensor) -> Tensor:
        return self(x)


# ---------------------------------------------------------------------- numbers from data
def array_of(x: Any) -> np.ndarray:
    return x.numpy(force=True) if isinstance(x, Tensor) else np.asarray(x)


def matrix_of(x: Tensor | np.ndarray, who: str) -> np.ndarray:
    a = array_of(x)
    if a.ndim < 2 or not a.size:
        raise ShapeError(f"{who}: got shape {a.shape}, wanted rows: (rows, features), at least one")
    a = a.reshape(-1, a.shape[-1]).astype(np.float64)
    if not np.isfinite(a).all():
        row = int((~np.isfinite(a)).any(axis=1).argmax())
        raise DataError(f"{who}: row {row} (from 0) holds nan or inf: {a[row].tolist()}")
    return a
