"""Radial basis functions: bumps around centres."""

from __future__ import annotations

import math

import numpy as np

from clearprop import ops
from clearprop.core import Tensor, wrap
from clearprop.core.random import Generator
from clearprop.data.transforms.base import Transform, array_of, matrix_of
from clearprop.errors import DataError, ShapeError


class RBF(Transform):
    """Gaussian bumps: φ_j(x) = exp(-‖x - c_j‖² / (2 width²)).

    Either the centres are given, (k, in), or `k` of them are chosen from the rows that `fit` sees:
    the first at random, each next one with a probability proportional to its squared distance from
    the nearest chosen one (k-means++). `width` defaults to d_max / √(2k), d_max the largest
    distance between two centres; for one centre to the mean distance of the rows from it.

    >>> import numpy as np
    >>> from clearprop.data.transforms import RBF
    >>> RBF(np.array([[0.0], [1.0]]), width=1.0)(np.array([[1.0]])).round(4)
    array([[0.6065, 1.    ]])
    """

    def __init__(
        self,
        centers: Tensor | np.ndarray | None = None,
        *,
        k: int | None = None,
        width: float | None = None,
        seed: int = 0,
    ) -> None:
        if (centers is None) == (k is None):
            raise ValueError("RBF: give either centers or k, the number to choose from the data")
        if centers is not None and not np.ndim(array_of(centers)):
            raise ValueError(
                f"RBF: centers is the number {centers!r}, wanted the centres themselves, (k, in);"
                f" RBF(k={centers!r}) chooses that many from the data"
            )
        if k is not None and k < 1:
            raise ValueError(f"RBF: k is {k}, wanted at least 1")
        if width is not None and not 0 < width < math.inf:
            raise ValueError(f"RBF: width is {width}, wanted a positive number")
        self.k = k
        self.seed = seed
        self.asked_width = width
        self.bump_width = width
        self.centers: np.ndarray | None = None
        if centers is not None:
            self.centers = matrix_of(centers, "RBF")
            if width is None:
                self.bump_width = _spread(self.centers)

    def fit(self, x: Tensor | np.ndarray) -> RBF:
        """Choose `k` centres from the rows of x (float64 arithmetic, fixed by `seed`)."""
        if self.k is None:
            return self
        rows = matrix_of(x, "RBF")
        chosen = _far_apart(rows, self.k, Generator().manual_seed(self.seed))
        self.centers = chosen
        self.bump_width = self.asked_width
        if self.asked_width is None:
            away = np.sqrt(((rows - chosen[0]) ** 2).sum(axis=1)).mean()
            self.bump_width = float(away) or 1.0 if self.k == 1 else _spread(chosen)
        return self

    def width(self, inputs: int) -> int:
        """One feature per centre."""
        return self.k if self.k is not None else len(self.centers)  # type: ignore[arg-type]

    def _apply(self, x: Tensor) -> Tensor:
        if self.centers is None or self.bump_width is None:
            raise ValueError("RBF: call fit(x) first; it chooses the centres from the data")
        inputs = self.centers.shape[1]
        if x.shape[-1] != inputs:
            raise ShapeError(f"RBF: x is {x.aval}, the centres have {inputs} entries each")
        centers = wrap(self.centers.astype(x.value.dtype), None)
        away = x.unsqueeze(-2) - centers
        return ops.exp((away * away).sum(dim=-1) * (-0.5 / self.bump_width**2))


def _spread(centers: np.ndarray) -> float:
    away = centers[:, None, :] - centers[None, :, :]
    largest = float(np.sqrt((away**2).sum(axis=-1).max()))
    return largest / math.sqrt(2 * len(centers)) or 1.0


def _far_apart(rows: np.ndarray, k: int, generator: Generator) -> np.ndarray:
    """k rows by k-means++ seeding."""
    distinct = len(np.unique(rows, axis=0))
    if k > distinct:
        raise DataError(f"RBF: k is {k}, but there are only {distinct} different rows")
    nearest = np.full(len(rows), np.inf)
    share = np.full(len(rows), 1 / len(rows))
    chosen: list[np.ndarray] = []
    for word in generator.words(k).tolist():
        upto = np.cumsum(share)
        at = int(np.searchsorted(upto, word / 2**32 * upto[-1], side="right"))
        chosen.append(rows[at])
        nearest = np.minimum(nearest, ((rows - rows[at]) ** 2).sum(axis=1))
        share = nearest
    return np.stack(chosen)
