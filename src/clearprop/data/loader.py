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
from clearprop.data.iterable import IterableDataset, batches_of
from clearprop.data.sampler import BatchSampler, RandomSampler, SequentialSampler, draw_seed
from clearprop.data.workers import Workers, ahead, streams

WORKERS = (
    "DataLoader: num_workers option should be non-negative, got {0}; use num_workers=0 to fetch"
    " batches in the training thread"
)
ONLY_WORKERS = (
    "DataLoader: {0} option could only be specified when num_workers > 0, where threads fetch"
    " batches ahead"
)
NO_ORDER = "DataLoader: an IterableDataset gives its rows in its own order: {0} cannot be used"
EXCLUSIVE = "DataLoader: {0} option is mutually exclusive with {1}"
NOT_A_DATASET = (
    "DataLoader: dataset needs __getitem__ and __len__, got {0}; a generator or other iterable "
    "can be made into a list first, or be the __iter__ of an IterableDataset"
)


class DataLoader:
    """Batches of a data set with row numbers, or of a stream (IterableDataset).

    - `batch_size`: rows per batch; None gives single rows, uncollated.
    - `shuffle`: a new order for each epoch, PyTorch's for the same seed.
    - `sampler`, `batch_sampler`: your own order, as row numbers or lists of them.
    - `collate_fn`: from a list of rows to a batch (`default_collate`).
    - `drop_last`: leave out a last batch that is shorter.
    - `generator`: where the random order comes from (the default generator).
    - `num_workers`: how many threads fetch batches ahead, `prefetch_factor` each (2). A batch of an
      in-memory set (TensorDataset) is one slice, which is made in the training thread.
    - `worker_init_fn(id)` is called in each worker; `timeout`: seconds to wait for a batch.
    - `pin_memory`, `persistent_workers`, `multiprocessing_context` are accepted and have no effect:
      there is no device memory to copy to, and threads cost nothing to start.

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
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
    ) -> None:
        if num_workers < 0:
            raise ValueError(WORKERS.format(num_workers))
        if timeout < 0:
            raise ValueError(f"DataLoader: timeout option should be non-negative, got {timeout}")
        if num_workers == 0 and prefetch_factor is not None:
            raise ValueError(ONLY_WORKERS.format("prefetch_factor"))
        if num_workers == 0 and persistent_workers:
            raise ValueError(ONLY_WORKERS.format("persistent_workers"))
        if prefetch_factor is not None and prefetch_factor < 1:
            raise ValueError(
                f"DataLoader: prefetch_factor option should be at least 1, got {prefetch_factor}"
            )
        self.num_workers = num_workers
        self.prefetch_factor = 2 if prefetch_factor is None and num_workers else prefetch_factor
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.persistent_workers = persistent_workers
        self.multiprocessing_context = multiprocessing_context
        self.pin_memory_device = pin_memory_device
        if isinstance(dataset, IterableDataset):
            for name, given in (
                ("shuffle", shuffle), ("sampler", sampler), ("batch_sampler", batch_sampler),
            ):  # fmt: skip
                if given:
                    raise ValueError(NO_ORDER.format(name))
            self._stream(dataset, batch_size, collate_fn, pin_memory, drop_last, generator)
            return
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
        self.sampler: Any = sampler
        self.batch_sampler: Any = batch_sampler
        self.collate_fn = collate_fn
        self.pin_memory = pin_memory
        self.drop_last = drop_last
        self.generator = generator

    def _stream(
        self, dataset: Any, batch_size: Any, collate: Any, pin: bool, drop: bool, generator: Any
    ) -> None:
        """Set up for a stream, which has no row numbers to put in order."""
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop
        self.sampler, self.batch_sampler = None, None
        self.pin_memory, self.generator = pin, generator
        if collate is None:
            collate = default_convert if batch_size is None else default_collate
        self.collate_fn = collate

    def __len__(self) -> int:
        if isinstance(self.dataset, IterableDataset):
            n: int = len(self.dataset)  # type: ignore[arg-type]  # TypeError where it has none
            if self.batch_size is None:
                return n
            return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
        order = self.sampler if self.batch_sampler is None else self.batch_sampler
        return len(order)

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
        self._now: list[Any] | None = None  # the generators' states, where batches are made ahead
        stream = isinstance(loader.dataset, IterableDataset)
        self._order, self._fetch, threads = _stream_plan(loader) if stream else _plan(loader)
        # PyTorch draws a seed for worker processes here, also without workers; the order would
        # differ if this one were left out.
        seed = draw_seed(default_generator if loader.generator is None else loader.generator)
        self._seed = seed
        self._ahead: Iterator[Any] | None = None
        self._threads = threads

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> Any:
        if self._threads:
            if self._ahead is None:
                self._ahead = self._start_workers()
            batch, self._now = next(self._ahead)
        else:
            batch = self._fetch(next(self._order))
        self.position += 1
        return batch

    def _start_workers(self) -> Iterator[Any]:
        loader, fetch = self.loader, self._fetch
        n = loader.num_workers
        if isinstance(loader.dataset, IterableDataset):
            workers = Workers(
                n, self._seed, loader.dataset, lambda: _stream_task(loader),
                loader.worker_init_fn, loader.timeout,
            )  # fmt: skip
            return ((b, None) for b in streams(workers, n, n * (loader.prefetch_factor or 2)))
        workers = Workers(
            n, self._seed, loader.dataset, lambda: fetch, loader.worker_init_fn, loader.timeout
        )
        states = lambda: [g.get_state() for g in loader.generators()]
        return ahead(workers, self._order, n * (loader.prefetch_factor or 2), states)  # type: ignore[no-any-return]

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
            "now": self._now or [g.get_state() for g in self.loader.generators()],
        }


Plan = tuple[Iterator[Any], Callable[[Any], Any], bool]


def _plan(loader: DataLoader) -> Plan:
    """The order of an epoch, how a batch is fetched for one element of it, and whether threads do
    that.
    """
    dataset, collate = loader.dataset, loader.collate_fn
    threads = loader.num_workers > 0
    if loader.batch_sampler is None:
        return iter(loader.sampler), lambda i: collate(dataset[i]), threads  # type: ignore[arg-type]
    source = row_source(dataset) if collate is default_collate else None
    if source is None:
        fetch_many = getattr(dataset, "__getitems__", None)
        if fetch_many is not None:
            return iter(loader.batch_sampler), lambda rows: collate(fetch_many(rows)), threads
        return (
            iter(loader.batch_sampler), lambda rows: collate([dataset[i] for i in rows]), threads
        )  # fmt: skip
    if type(loader.batch_sampler) is BatchSampler:
        return loader.batch_sampler.slices(), source.take, False
    return (np.asarray(b, dtype=np.int64) for b in loader.batch_sampler), source.take, False


def _stream_plan(loader: DataLoader) -> Plan:
    if loader.num_workers:
        return iter(()), loader.collate_fn, True
    stream = iter(loader.dataset)  # type: ignore[call-overload]
    batches = batches_of(stream, loader.batch_size, loader.drop_last, loader.collate_fn)
    return batches, lambda batch: batch, False


def _stream_task(loader: DataLoader) -> Callable[[Any], Any]:
    stream = iter(loader.dataset)  # type: ignore[call-overload]
    batches = batches_of(stream, loader.batch_size, loader.drop_last, loader.collate_fn)
    return lambda _: next(batches)
