"""Samplers: in which order the rows of a data set are visited.

A sampler of this module gives its order in blocks of row numbers (`blocks`), drawn when they are
needed, so that a batch costs one slice of an array. What is drawn from which generator, how much
and when, is PyTorch's: the same seed gives the same order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from clearprop.core.random import Generator, default_generator
from clearprop.data.dataset import Rows

NOT_POSITIVE = "{who}: {name} should be a positive integer value, but got {name}={value}"


class Sampler:
    """Base class of samplers: define `__iter__` (row numbers) and `__len__`."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__}: define __iter__(self)")


class SequentialSampler(Sampler):
    """Rows in their own order: 0, 1, ..., n - 1."""

    def __init__(self, data_source: Rows) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """Rows in random order, a new one for every epoch.

    Without `replacement` one permutation after the other until `num_samples` (all rows by default)
    are given; with it, each row is drawn from all. Without a `generator`, each epoch seeds a fresh
    one from the default generator.

    >>> import clearprop as cp
    >>> from clearprop.data import RandomSampler
    >>> sorted(RandomSampler(range(4), generator=cp.Generator().manual_seed(0)))
    [0, 1, 2, 3]
    """

    def __init__(
        self,
        data_source: Rows,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        self.data_source = data_source
        self.replacement = replacement
        self.wanted = num_samples
        self.generator = generator
        if not isinstance(replacement, bool):
            raise TypeError(
                "RandomSampler: replacement should be a boolean value, "
                f"but got replacement={replacement}"
            )
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError(
                NOT_POSITIVE.format(who="RandomSampler", name="num_samples", value=self.num_samples)
                + ("; the data set is empty" if num_samples is None else "")
            )

    @property
    def num_samples(self) -> int:
        return len(self.data_source) if self.wanted is None else self.wanted

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        return itertools.chain.from_iterable(block.tolist() for block in self.blocks())

    def blocks(self) -> Iterator[np.ndarray]:
        """The order of one epoch in pieces, each drawn when it is asked for."""
        generator = self.generator
        if generator is None:
            generator = Generator().manual_seed(draw_seed(default_generator))
        n, wanted = len(self.data_source), self.num_samples
        if self.replacement:
            for _ in range(wanted // 32):
                yield generator.randint(0, n, (32,))
            yield generator.randint(0, n, (wanted % 32,))
        else:
            for _ in range(wanted // n):
                yield generator.randperm(n)
            # PyTorch draws this one even if nothing of it is used, and a generator that was passed
            # moves on by it.
            yield generator.randperm(n)[: wanted % n]


class SubsetRandomSampler(Sampler):
    """The given row numbers in random order."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        generator = default_generator if self.generator is None else self.generator
        for i in generator.randperm(len(self.indices)).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """Rows drawn with probabilities in proportion to `weights`: for classes of unequal size.

    Raises ValueError for weights that are no list of numbers >= 0, or too few rows to draw
    without replacement.

    >>> import clearprop as cp
    >>> from clearprop.data import WeightedRandomSampler
    >>> list(WeightedRandomSampler([0.0, 1.0, 0.0], 3))
    [1, 1, 1]
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        who = "WeightedRandomSampler"
        if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
            raise ValueError(NOT_POSITIVE.format(who=who, name="num_samples", value=num_samples))
        if not isinstance(replacement, bool):
            raise ValueError(
                f"{who}: replacement should be a boolean value, but got replacement={replacement}"
            )
        self.weights = np.asarray(weights, dtype=np.float64)
        if self.weights.ndim != 1:
            raise ValueError(
                f"{who}: weights should be a 1d sequence but given weights have shape"
                f" {self.weights.shape}"
            )
        if not (np.isfinite(self.weights).all() and (self.weights >= 0).all()):
            raise ValueError(f"{who}: weights should be finite numbers >= 0")
        if not self.weights.sum():
            raise ValueError(f"{who}: at least one weight should be above 0")
        if not replacement and num_samples > np.count_nonzero(self.weights):
            raise ValueError(
                f"{who}: {num_samples} rows cannot be drawn without replacement from"
                f" {np.count_nonzero(self.weights)} rows with a weight above 0"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        generator = default_generator if self.generator is None else self.generator
        if self.replacement:
            ends = np.cumsum(self.weights / self.weights.sum())
            u = generator.uniform((self.num_samples,), np.dtype(np.float64), 0.0, 1.0)
            found = np.searchsorted(ends, u, side="right")
            last = int(np.flatnonzero(self.weights)[-1])  # where rounding leaves ends below 1
            return iter(np.minimum(found, last).tolist())
        # The k smallest of exponential times with rate w: a draw without replacement.
        u = generator.uniform((len(self.weights),), np.dtype(np.float64), 0.0, 1.0)
        with np.errstate(divide="ignore"):
            times = -np.log1p(-u) / self.weights
        order = np.argsort(np.where(self.weights > 0, times, np.inf), kind="stable")
        return iter(order[: self.num_samples].tolist())


class BatchSampler(Sampler):
    """Lists of `batch_size` row numbers; `drop_last` leaves out a last one that is shorter.

    >>> from clearprop.data import BatchSampler, SequentialSampler
    >>> list(BatchSampler(SequentialSampler(range(5)), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool = False) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(
                NOT_POSITIVE.format(who="DataLoader", name="batch_size", value=batch_size)
            )
        if not isinstance(drop_last, bool):
            raise ValueError(
                f"DataLoader: drop_last should be a boolean value, but got drop_last={drop_last}"
            )
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        rows = iter(self.sampler)
        while batch := list(itertools.islice(rows, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield batch

    def __len__(self) -> int:
        n = len(self.sampler)  # type: ignore[arg-type]
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def slices(self) -> Iterator[slice | np.ndarray]:
        """The batches of one epoch as something to index arrays with."""
        sampler = self.sampler
        if type(sampler) is SequentialSampler:
            n, size = len(sampler), self.batch_size
            stop = n - n % size if self.drop_last else n
            return (slice(i, min(i + size, n)) for i in range(0, stop, size))
        if type(sampler) is RandomSampler:
            return _regroup(sampler.blocks(), self.batch_size, self.drop_last)
        return (np.asarray(batch, dtype=np.int64) for batch in self)


def _regroup(blocks: Iterator[np.ndarray], size: int, drop_last: bool) -> Iterator[np.ndarray]:
    rest = np.empty(0, dtype=np.int64)
    for block in blocks:
        rest = np.concatenate((rest, block)) if len(rest) else block
        whole = len(rest) - len(rest) % size
        for i in range(0, whole, size):
            yield rest[i : i + size]
        rest = rest[whole:]
    if len(rest) and not drop_last:
        yield rest


def draw_seed(generator: Generator) -> int:
    """A 63-bit seed from two words of a generator."""
    high, low = generator.words(2).tolist()
    return int((high << 32 | low) & (2**63 - 1))
