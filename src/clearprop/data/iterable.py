"""Data sets that are a stream: they have an iterator, and no row numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any


class IterableDataset:
    """Base class of streams: define `__iter__`.

    A DataLoader with several workers iterates it once in each of them; `get_worker_info()` tells
    each its number, so that it can take its share of the stream. `a + b` is one stream after the
    other.

    >>> from clearprop.data import DataLoader, IterableDataset
    >>> class Squares(IterableDataset):
    ...     def __iter__(self):
    ...         return iter([i * i for i in range(5)])
    >>> [batch.tolist() for batch in DataLoader(Squares(), batch_size=3)]
    [[0, 1, 4], [9, 16]]
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__}: define __iter__(self)")

    def __add__(self, other: IterableDataset) -> ChainDataset:
        return ChainDataset([self, other])


class ChainDataset(IterableDataset):
    """Several streams one after the other."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)

    def __iter__(self) -> Iterator[Any]:
        for d in self.datasets:
            if not isinstance(d, IterableDataset):
                raise TypeError(
                    "ChainDataset only supports IterableDataset, got"
                    f" {type(d).__name__}; ConcatDataset joins data sets with row numbers"
                )
            yield from d

    def __len__(self) -> int:
        return sum(len(d) for d in self.datasets)


def batches_of(
    stream: Iterator[Any], batch_size: int | None, drop_last: bool, collate: Any
) -> Iterator[Any]:
    """The batches of a stream."""
    if batch_size is None:
        yield from map(collate, stream)
        return
    while rows := list(itertools.islice(stream, batch_size)):
        if len(rows) == batch_size or not drop_last:
            yield collate(rows)
