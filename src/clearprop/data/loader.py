"""The DataLoader: batches of a data set, in an order that a generator fixes.

What an epoch gives is determined by the states of its generators when the epoch begins; an iterator
remembers them, so a run that was interrupted at batch k can be continued from there (`state_dict`
of the iterator, `DataLoader.resume`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from clearprop.core.random import Generator, default_generator
from clearprop.data.collate import default_collate, default_convert
from clearprop.data.dataset import Rows, row_source
from clearprop.data.sampler import BatchSampler, RandomSampler, SequentialSampler, draw_seed

WORKERS = (
    "DataLoader: num_workers={0}, but batches are made in the training process, "
    "so only num_workers=0 is accepted; in-memory sets (TensorDataset) need no workers, "
    "because a batch of them is one slice"
)
EXCLUSIVE = "DataLoader: {0} option is mutually exclusive with {1}"
NOT_A_DATASET = (
    "DataLoader: dataset needs __getitem__ and __len__, got {0}; a generator or other iterable "
    "can be made into a list first"
)


class DataLoader:
    """Batches of a map-style data set.

    - `batch_size`: rows per batch; None gives single rows, uncollated.
    - `shuffle`: a new order for each epoch, PyTorch's for the same seed.
    - `sampler`, `batch_sampler`: your own order, as row numbers or lists of them.
    - `collate_fn`: from a list of rows to a batch (`default_collate`).
    - `drop_last`: leave out a last batch that is shorter.
    - `generator`: where the random order comes from (the default generator).
    - `num_workers`: only 0. `pin_memory` is accepted and has no effect: there is no device memory
      to copy to.

    >>> import clearprop as cp
    >>> from clearprop.data import DataLoader, TensorDataset
    >>> rows = TensorDataset(cp.arange(5), cp.arange(5) * 10)
    >>> for x, y in DataLoader(rows, batch_size=2):
    ...     print(x, y)
    tensor([0, 1]) tensor([ 0, 10])
    tensor([2, 3]) tensor([20, 30])
    tensor([4]) tensor([40])

    An interrupted epoch goes on where it stopped:

    >>> loader = DataLoader(rows, batch_size=1, shuffle=True)
    >>> epoch = iter(loader)
    >>> _ = next(epoch), next(epoch)
    >>> saved = epoch.state_dict()
    >>> missed = [x.item() for x, _ in epoch]
    >>> [x.item() for x, _ in loader.resume(saved)] == missed
    True
    """

    def __init__(
        self,
        dataset: Rows,
        batch_size: int | None = 1,
        shuffle: bool = False,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        *,
        generator: Generator | None = None,
    ) -> None:
        if num_workers != 0:
            raise ValueError(WORKERS.format(num_workers))
        if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
            raise TypeError(NOT_A_DATASET.format(type(dataset).__name__))
        if sampler is not None and shuffle:
            raise ValueError(EXCLUSIVE.format("sampler", "shuffle"))
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                others = "batch_size, shuffle, sampler, and drop_last"
                raise ValueError(EXCLUSIVE.format("batch_sampler", others))
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError(
                "DataLoader: batch_size=None option disables auto-batching "
                "and is mutually exclusive with drop_last"
            )
        if sampler is None:
            sampler = (
                RandomSampler(dataset, generator=generator)
                if shuffle
                else SequentialSampler(dataset)
            )
        if batch_sampler is None and batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate
        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.num_workers = num_workers
        self.collate_fn = collate_fn
        self.pin_memory = pin_memory
        self.drop_last = drop_last
        self.generator = generator

    def __len__(self) -> int:
        order = self.sampler if self.batch_sampler is None else self.batch_sampler
        return len(order)  # type: ignore[arg-type]

    def __iter__(self) -> Batches:
        return Batches(self)

    def generators(self) -> list[Generator]:
        """What can decide the order: the default generator, the loader's own, its samplers'."""
        found = [default_generator]
        inner = getattr(self.batch_sampler, "sampler", None)
        for owner in (self, self.sampler, self.batch_sampler, inner):
            generator = getattr(owner, "generator", None)
            if isinstance(generator, Generator) and not any(generator is g for g in found):
                found.append(generator)
        return found

    def resume(self, state: dict[str, Any]) -> Batches:
        """The iterator that `state = iterator.state_dict()` was taken from, at the same batch.

        Every generator is first put where it stood when that epoch began and, once the batches
        already given are skipped, where it stood when `state` was taken. Raises ValueError if the
        loader is another one: a different number of batches or generators.
        """
        generators = self.generators()
        if len(generators) != len(state["start"]):
            raise ValueError(
                f"DataLoader.resume: the state has {len(state['start'])} generators and this "
                f"loader {len(generators)}; build the loader as it was when the state was saved"
            )
        for generator, start in zip(generators, state["start"], strict=True):
            generator.set_state(start)
        batches = iter(self)
        batches.skip(state["position"])
        for generator, now in zip(generators, state["now"], strict=True):
            generator.set_state(now)
        return batches


class Batches:
    """One epoch of a DataLoader: an iterator that counts the batches it has given (`position`)."""

    def __init__(self, loader: DataLoader) -> None:
        self.loader = loader
        self.position = 0
        self._start = [g.get_state() for g in loader.generators()]
        self._order, self._fetch = _plan(loader)
        # PyTorch draws a seed for worker processes here, also without workers; the order would
        # differ if this one were left out.
        draw_seed(default_generator if loader.generator is None else loader.generator)

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> Any:
        batch = self._fetch(next(self._order))
        self.position += 1
        return batch

    def __len__(self) -> int:
        return len(self.loader)

    def skip(self, n: int) -> None:
        """Pass over `n` batches without fetching their rows."""
        for done in range(n):
            if next(self._order, None) is None:
                raise ValueError(
                    f"DataLoader: cannot skip {n} batches: the epoch ended after {done}; "
                    "is it the same data set and batch size?"
                )
        self.position += n

    def state_dict(self) -> dict[str, Any]:
        """For `DataLoader.resume`: the position, the generators' states at the start and now."""
        return {
            "position": self.position,
            "start": self._start,
            "now": [g.get_state() for g in self.loader.generators()],
        }


def _plan(loader: DataLoader) -> tuple[Iterator[Any], Callable[[Any], Any]]:
    """The order of an epoch, and how a batch is fetched for one element of it."""
    dataset, collate = loader.dataset, loader.collate_fn
    if loader.batch_sampler is None:
        return iter(loader.sampler), lambda i: collate(dataset[i])
    source = row_source(dataset) if collate is default_collate else None
    if source is None:
        fetch_many = getattr(dataset, "__getitems__", None)
        if fetch_many is not None:
            return iter(loader.batch_sampler), lambda rows: collate(fetch_many(rows))
        return iter(loader.batch_sampler), lambda rows: collate([dataset[i] for i in rows])
    if type(loader.batch_sampler) is BatchSampler:
        return loader.batch_sampler.slices(), source.take
    return (np.asarray(b, dtype=np.int64) for b in loader.batch_sampler), source.take
