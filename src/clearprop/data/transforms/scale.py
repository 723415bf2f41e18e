"""Feature transforms that look at the training rows: standardised values, one column per value."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from clearprop.core import Tensor, wrap
from clearprop.data.transforms.base import Transform, Values, array_of, matrix_of
from clearprop.errors import DataError, ShapeError


class Standardize(Transform):
    """z = (x - mean) / deviation, both of the rows that `fit` saw.

    The deviation is the root of the mean square (divided by n, not n - 1).
    A constant entry becomes 0. `inverse(z)` gives x back.

    >>> import numpy as np
    >>> from clearprop.data.transforms import Standardize
    >>> Standardize().fit(np.array([[1.0], [3.0]]))(np.array([[5.0]]))
    array([[3.]])
    """

    def __init__(self) -> None:
        self.mean: np.ndarray | None = None
        self.deviation: np.ndarray | None = None

    def fit(self, x: Tensor | np.ndarray) -> Standardize:
        """Learn mean and deviation of each entry, in float64."""
        rows = matrix_of(x, "Standardize")
        self.mean = rows.mean(axis=0)
        deviation = rows.std(axis=0)
        # Of a constant entry only rounding is left, which must not be blown up.
        self.deviation = np.where(deviation <= 1e-12 * np.abs(self.mean), 1.0, deviation)
        return self

    def width(self, inputs: int) -> int:
        """As many as go in."""
        return inputs

    def inverse(self, z: Values) -> Values:
        """x = z · deviation + mean."""
        mean, deviation = self._learnt(wrap(z, None) if isinstance(z, np.ndarray) else z)
        if isinstance(z, np.ndarray):
            return z * deviation.numpy() + mean.numpy()
        return z * deviation + mean

    def _apply(self, x: Tensor) -> Tensor:
        mean, deviation = self._learnt(x)
        return (x - mean) / deviation

    def _learnt(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.mean is None or self.deviation is None:
            raise ValueError("Standardize: call fit(training_rows) first")
        if x.shape[-1] != len(self.mean):
            raise ShapeError(
                f"Standardize: x is {x.aval}, fit saw rows with {len(self.mean)} entries"
            )
        dtype = x.value.dtype
        return wrap(self.mean.astype(dtype), None), wrap(self.deviation.astype(dtype), None)


class OneHot(Transform):
    """φ(x)_c = 1 if x is the c-th known value, else 0: whole numbers (...) to (..., values).

    The values are given, or those that `fit` sees, in ascending order. Another value raises
    `DataError`. There is no derivative.

    >>> import numpy as np
    >>> from clearprop.data.transforms import OneHot
    >>> OneHot([3, 5, 7])(np.array([5, 3]))
    array([[0., 1., 0.],
           [1., 0., 0.]], dtype=float32)
    """

    def __init__(self, values: Iterable[int] | None = None) -> None:
        self.values = None if values is None else _whole(np.unique(np.asarray(list(values))))

    def fit(self, x: Tensor | np.ndarray) -> OneHot:
        """Learn which values there are."""
        self.values = np.unique(_whole(array_of(x)))
        return self

    def width(self, inputs: int = 1) -> int:
        """One feature per known value."""
        return len(self._known())

    def _known(self) -> np.ndarray:
        if self.values is None:
            raise ValueError("OneHot: call fit(x) first, or give the values")
        return self.values

    def _checked(self, x: Tensor, name: str) -> Tensor:
        return x

    def _apply(self, x: Tensor) -> Tensor:
        values, a = self._known(), _whole(array_of(x))
        number = np.searchsorted(values, a).clip(max=len(values) - 1)
        wrong = values[number] != a
        if wrong.any():
            raise DataError(
                f"OneHot: {a[wrong].flat[0]} at position {int(np.flatnonzero(wrong)[0])} is none "
                f"of the {len(values)} known values {values[:20].tolist()}"
            )
        return wrap(np.eye(len(values), dtype=np.float32)[number], None)


def _whole(a: np.ndarray) -> np.ndarray:
    if a.dtype.kind in "iub":
        return a.astype(np.int64)
    if a.dtype.kind == "f" and (a == np.floor(a)).all():
        return a.astype(np.int64)
    raise DataError(f"OneHot: got {a.dtype} values that are not whole numbers")
