"""Map-style data sets: something with a length whose rows are fetched by index.

A `TensorDataset`, and any nesting of `Subset`s of one, can hand out a whole batch with one index
per tensor; `row_source` finds out whether that is so, and the DataLoader then never loops over
rows.
"""

from __future__ import annotations

import bisect
import itertools
import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from clearprop.core import Tensor, wrap
from clearprop.core.random import Generator, default_generator
from clearprop.errors import ClearpropError


class DatasetError(ClearpropError, ValueError, AssertionError):
    """Data sets that do not fit together; also an AssertionError, as PyTorch raises there."""


class Rows(Protocol):
    """What a map-style data set must have."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: Any, /) -> Any: ...


class Dataset:
    """Base class of map-style data sets: define `__getitem__` and `__len__`.

    A list, a range or an array is a data set too: nothing asks for this base class. It adds `a +
    b`, the concatenation.

    >>> from clearprop.data import Dataset
    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 5
    ...
    ...     def __getitem__(self, i):
    ...         return i, i * i
    >>> (Squares() + Squares())[6]
    (1, 1)
    """

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}: define __getitem__(self, index)")

    def __add__(self, other: Rows) -> ConcatDataset:
        return ConcatDataset([self, other])  # type: ignore[list-item]  # it defines __len__


class TensorDataset(Dataset):
    """Rows of tensors that share their first size; row `i` is the tuple of every tensor's row `i`.

    Raises `DatasetError` where the first sizes differ.

    >>> import clearprop as cp
    >>> from clearprop.data import TensorDataset
    >>> rows = TensorDataset(cp.tensor([[0.0, 1.0], [2.0, 3.0]]), cp.tensor([7, 8]))
    >>> rows[1]
    (tensor([2., 3.]), tensor(8))
    """

    def __init__(self, *tensors: Tensor) -> None:
        for i, t in enumerate(tensors):
            if not isinstance(t, Tensor):
                raise TypeError(
                    f"TensorDataset: argument {i} is a {type(t).__name__}, wanted a Tensor; "
                    "convert it with clearprop.tensor(...) or clearprop.from_numpy(...)"
                )
            if t.ndim == 0:
                raise IndexError(
                    f"TensorDataset: argument {i} has no dimensions, so no rows; it is {t.aval}"
                )
        sizes = [t.shape[0] for t in tensors]
        if len(set(sizes)) > 1:
            raise DatasetError(
                "TensorDataset: Size mismatch between tensors: they have "
                f"{', '.join(map(str, sizes))} rows; every tensor needs the same first size"
            )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        if not self.tensors:
            raise TypeError("TensorDataset: it holds no tensors, so it has no length")
        return self.tensors[0].shape[0]


class Subset(Dataset):
    """The rows `indices` of another data set, in that order.

    >>> from clearprop.data import Subset
    >>> Subset("abcdef", [4, 0])[0]
    'e'
    """

    def __init__(self, dataset: Rows, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset):
    """Several data sets one after the other.

    >>> from clearprop.data import ConcatDataset
    >>> joined = ConcatDataset(["abc", "de"])
    >>> len(joined), joined[3], joined[-1]
    (5, 'd', 'e')
    """

    def __init__(self, datasets: Iterable[Rows]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise DatasetError("ConcatDataset: datasets should not be an empty iterable")
        self.cumulative_sizes = list(itertools.accumulate(len(d) for d in self.datasets))

    def __getitem__(self, index: int) -> Any:
        n = len(self)
        if index < -n:
            raise ValueError(
                "ConcatDataset: absolute value of index should not exceed dataset length, "
                f"got {index} for {n} rows"
            )
        if index >= n:
            raise IndexError(f"ConcatDataset: index {index} is out of range for {n} rows")
        index = index % n
        part = bisect.bisect_right(self.cumulative_sizes, index)
        start = self.cumulative_sizes[part - 1] if part else 0
        return self.datasets[part][index - start]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class RowSource(NamedTuple):
    """Tensors from which a batch is one index each, and the rows of them that count (None: all)."""

    tensors: tuple[Tensor, ...]
    rows: np.ndarray | None

    def take(self, index: slice | np.ndarray) -> list[Tensor]:
        """One copied batch: `index` counts rows of the data set."""
        if self.rows is not None:
            index = self.rows[index] if isinstance(index, slice) else gather(self.rows, index)
        return [_rows_of(t, index) for t in self.tensors]


def row_source(dataset: Rows) -> RowSource | None:
    """The tensors behind a TensorDataset or Subset; None where rows must be fetched one by one.

    A class with a `__getitem__` or `__getitems__` of its own decides itself what a row is.
    """
    rows: np.ndarray | None = None
    while isinstance(dataset, Subset) and type(dataset).__getitem__ is Subset.__getitem__:
        indices = np.asarray(dataset.indices, dtype=np.int64)
        rows = indices if rows is None else gather(indices, rows)
        dataset = dataset.dataset
    if (
        isinstance(dataset, TensorDataset)
        and type(dataset).__getitem__ is TensorDataset.__getitem__
        and not hasattr(dataset, "__getitems__")
    ):
        return RowSource(dataset.tensors, rows)
    return None


def gather(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Rows of an array, with PyTorch's words where there is no such row."""
    try:
        return values.take(index, axis=0)
    except IndexError:
        n = len(values)
        bad = int(index[(index < -n) | (index >= n)][0])
        raise IndexError(
            f"DataLoader: index {bad} is out of bounds for dimension 0 with size {n}; "
            "the sampler gave a row that the data set does not have"
        ) from None


def _rows_of(t: Tensor, index: slice | np.ndarray) -> Tensor:
    if t.requires_grad:
        return t[index]
    a = t.array("a batch")
    # A batch is a copy also when it is a slice: writing into a batch must not change the data.
    return wrap(a[index].copy() if isinstance(index, slice) else gather(a, index), None)


def random_split(
    dataset: Rows,
    lengths: Sequence[int | float],
    generator: Generator | None = None,
) -> list[Subset]:
    """Split a data set at random into parts that do not overlap.

    `lengths` are row counts that add up to `len(dataset)`, or fractions that add up to 1: then each
    part has floor(fraction · n) rows, and the rows that are left over go one each to the first
    parts. The order is PyTorch's for the same seed.

    >>> import clearprop as cp
    >>> from clearprop.data import random_split
    >>> parts = random_split(range(10), [0.8, 0.2], generator=cp.Generator().manual_seed(0))
    >>> [len(p) for p in parts]
    [8, 2]
    """
    n = len(dataset)
    sizes = _counts(lengths, n)
    if sum(sizes) != n:
        raise ValueError(
            "random_split: Sum of input lengths does not equal the length of the input dataset! "
            f"{' + '.join(map(str, lengths))} = {sum(lengths)}, but the data set has {n} rows; "
            "fractions must add up to 1"
        )
    order = (default_generator if generator is None else generator).randperm(n).tolist()
    ends = itertools.accumulate(sizes)
    return [Subset(dataset, order[end - k : end]) for k, end in zip(sizes, ends, strict=True)]


def _counts(lengths: Sequence[int | float], n: int) -> list[Any]:
    total = sum(lengths)
    if not (math.isclose(total, 1) and total <= 1):
        return list(lengths)
    for i, fraction in enumerate(lengths):
        if not 0 <= fraction <= 1:
            raise ValueError(
                f"random_split: Fraction at index {i} is not between 0 and 1, it is {fraction}"
            )
    sizes = [math.floor(n * fraction) for fraction in lengths]
    for i in range(n - sum(sizes)):
        sizes[i % len(sizes)] += 1
    for i, size in enumerate(sizes):
        if size == 0:
            warnings.warn(
                f"random_split: Length of split at index {i} is 0. "
                f"This might result in an empty dataset ({n} rows, fractions {list(lengths)}).",
                stacklevel=3,
            )
    return sizes
