"""What a contender is: a program that runs n steps, and the numbers by which it is checked."""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

import numpy as np
from references import summary_of_dag, summary_of_logits
from workloads import Feed, Workload

Make = Callable[[], "Program"]

# column of the table: (module that makes its variants, package that it needs)
COLUMNS = {
    "torch eager": ("peers.torch_eager", "torch"),
    "torch.compile": ("peers.torch_compile", "torch"),
    "jax.jit": ("peers.jax_jit", "jax"),
    "jax scan": ("peers.jax_jit", "jax"),
    "clearprop eager": ("peers.clearprop_step", "clearprop"),
    "clearprop": ("peers.clearprop_step", "clearprop"),
    "clearprop run": ("peers.clearprop_step", "clearprop"),
}


class SkipError(Exception):
    """Why a contender cannot take part in a row."""


def variants(column: str, w: Workload) -> dict[str, Make]:
    """The ways in which a contender can do a workload; the fastest counts."""
    module, package = COLUMNS[column]
    if importlib.util.find_spec(package) is None:
        raise SkipError("not installed")
    return importlib.import_module(module).variants(column, w)


def feeds_of(w: Workload, convert: Callable[[np.ndarray], Any]) -> list[tuple[Any, ...]]:
    """The arguments of each step as another library's arrays."""
    return [tuple(map(convert, feed)) for feed in w.feeds()]


def stacked_feed(w: Workload) -> Feed:
    """`w.scan` steps' arguments, with an axis for the steps in front."""
    feeds = list(islice(cycle(w.feeds()), w.scan))
    return tuple(np.stack(column) for column in zip(*feeds, strict=True))


def checks(w: Workload) -> int:
    """How many steps are compared with the reference."""
    return {"dag": w.n_feeds, "scalar": w.n_feeds, "inference": 2}.get(w.kind, w.check_steps)


def numbers(w: Workload, out: Sequence[np.ndarray]) -> list[float]:
    """What one step computed, in the form of the reference."""
    if w.kind == "dag":
        return summary_of_dag(*out)
    if w.kind == "inference":
        return summary_of_logits(out[0])
    return [float(a) for a in out]


@dataclass
class Program:
    """A contender at work: `call(*feed)` is the timed callable, `wait(out)` ends asynchronous work.

    `read(out)` gives the arrays of a result; with `many`, a call does `w.scan` steps and its
    arrays have an axis for them. The first call is timed while the numbers are checked.
    """

    w: Workload
    call: Callable[..., Any]
    feeds: list[tuple[Any, ...]]
    read: Callable[[Any], Sequence[np.ndarray]]
    wait: Callable[[Any], object] | None = None
    many: bool = False
    first: float = field(init=False, default=0.0)
    values: list[float] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        start = time.perf_counter()
        out = self.read(self.call(*self.feeds[0]))
        self.first = time.perf_counter() - start
        count = checks(self.w)
        if self.many:
            for i in range(count):
                self.values += numbers(self.w, [a[i] for a in out])
            return
        self.values += numbers(self.w, out)
        for i in range(1, count):
            out = self.read(self.call(*self.feeds[i % len(self.feeds)]))
            self.values += numbers(self.w, out)

    @property
    def steps_per_call(self) -> int:
        return self.w.scan if self.many else 1

    def run(self, calls: int) -> None:
        """That many calls, one after the other; all work is done on return."""
        call, wait = self.call, self.wait
        feeds = islice(cycle(self.feeds), calls)
        out = None
        if wait is not None and self.w.sync_each:
            for feed in feeds:
                wait(call(*feed))
            return
        if len(self.feeds[0]) == 1:
            for (x,) in feeds:
                out = call(x)
        elif len(self.feeds[0]) == 2:
            for x, y in feeds:
                out = call(x, y)
        else:
            for feed in feeds:
                out = call(*feed)
        if wait is not None:
            wait(out)
