"""Threads that fetch batches ahead of the one that trains.

Batch k is fetched by worker k mod n, each worker has a generator of its own, and batches are given
in order: so random transforms draw the same numbers in every run with the same seed and number of
workers. Threads help where rows come from files, or are decoded by code that releases the
interpreter lock; they share memory, so nothing is copied or pickled.
"""

from __future__ import annotations

import queue
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from clearprop.core.random import Generator, default_generator


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker knows of itself: `id` from 0 to `num_workers - 1`, its `seed`, the `dataset`,
    and its own `generator` of random numbers.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any
    generator: Generator


_here = threading.local()


def get_worker_info() -> WorkerInfo | None:
    """The worker that is running; None in the training thread."""
    return getattr(_here, "info", None)


def worker_generator() -> Generator:
    """Where random transforms draw from: the worker's own generator, or the default one."""
    info = get_worker_info()
    return default_generator if info is None else info.generator


class _End:
    """A worker's stream is over."""


class _Failure:
    def __init__(self, error: BaseException, worker: int) -> None:
        self.error = error
        self.worker = worker


_STOP = object()


class Workers:
    """`n` threads; `submit` gives the next batch to its worker, `result` waits for the oldest.

    `task(info)` is called in each worker and returns the function that makes a batch of what was
    submitted.
    """

    def __init__(
        self,
        n: int,
        seed: int,
        dataset: Any,
        task: Callable[[], Callable[[Any], Any]],
        init: Callable[[int], None] | None,
        timeout: float,
    ) -> None:
        self.timeout = timeout or None
        self.inboxes: list[queue.SimpleQueue[Any]] = [queue.SimpleQueue() for _ in range(n)]
        self.outboxes: list[queue.SimpleQueue[Any]] = [queue.SimpleQueue() for _ in range(n)]
        self.waiting: deque[tuple[int, Any]] = deque()
        self.next = 0
        for i in range(n):
            generator = Generator().manual_seed(seed + i)
            info = WorkerInfo(i, n, seed + i, dataset, generator)
            args = (info, task, init, self.inboxes[i], self.outboxes[i])
            threading.Thread(target=_work, args=args, name=f"DataLoader-{i}", daemon=True).start()
        self.finalizer = weakref.finalize(self, _stop, self.inboxes)

    def submit(self, what: Any, note: Any = None) -> None:
        """Ask for a batch; `note` comes back with it."""
        self.inboxes[self.next].put(what)
        self.waiting.append((self.next, note))
        self.next = (self.next + 1) % len(self.inboxes)

    def result(self) -> tuple[Any, Any]:
        """The oldest batch that was asked for, and its note."""
        worker, note = self.waiting.popleft()
        try:
            out = self.outboxes[worker].get(timeout=self.timeout)
        except queue.Empty:
            raise RuntimeError(
                f"DataLoader timed out after {self.timeout} seconds: worker {worker} has not given"
                " its batch"
            ) from None
        if isinstance(out, _Failure):
            self.close()
            if hasattr(out.error, "add_note"):
                out.error.add_note(f"Caught in DataLoader worker thread {out.worker}.")
            raise out.error
        return out, note

    def close(self) -> None:
        """End the threads once they have done what they are at."""
        self.finalizer()


def _stop(inboxes: list[queue.SimpleQueue[Any]]) -> None:
    for inbox in inboxes:
        inbox.put(_STOP)


def _work(info: WorkerInfo, task: Any, init: Any, inbox: Any, outbox: Any) -> None:
    _here.info = info
    try:
        if init is not None:
            init(info.id)
        make = task()
    except BaseException as error:
        inbox.get()
        outbox.put(_Failure(error, info.id))
        return
    while (what := inbox.get()) is not _STOP:
        try:
            outbox.put(make(what))
        except StopIteration:
            outbox.put(_End)
        except BaseException as error:
            outbox.put(_Failure(error, info.id))


def ahead(workers: Workers, order: Iterator[Any], depth: int, note: Callable[[], Any]) -> Any:
    """(batch, note) for every element of `order`, `depth` of them asked for ahead; `note()` is
    called when an element has been drawn.
    """
    ended = False
    try:
        while True:
            while not ended and len(workers.waiting) < depth:
                try:
                    what = next(order)
                except StopIteration:
                    ended = True
                else:
                    workers.submit(what, note())
            if not workers.waiting:
                return
            yield workers.result()
    finally:
        workers.close()


def streams(workers: Workers, n: int, depth: int) -> Iterator[Any]:
    """The batches of n workers that each iterate a stream, in turn until all are over."""
    alive = set(range(n))
    try:
        for _ in range(depth):
            workers.submit(None, workers.next)
        while workers.waiting:
            batch, worker = workers.result()
            if batch is _End:
                alive.discard(worker)
            else:
                yield batch
            while alive and workers.next not in alive:
                workers.next = (workers.next + 1) % n
            if alive and len(workers.waiting) < depth:
                workers.submit(None, workers.next)
    finally:
        workers.close()
