"""A training step on one thread and on several: the same function under compile(threads=n).

    python bench/threads.py            on as many threads as there are cores
    python bench/threads.py 4 512      on 4, with a batch of 512

The shortest of many steps counts, since a thread that another program keeps waiting keeps all
others waiting, too; the median says how often that was.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable

import clearprop as cp
from clearprop import nn

SECONDS = 10.0


def make(threads: int, batch: int) -> Callable[[], cp.Tensor]:
    """A step of 784-512-256-10 with Adam."""
    cp.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10)
    )
    optimizer = cp.optim.Adam(model.parameters(), lr=1e-3)
    x, y = cp.randn(batch, 784), cp.randint(0, 10, (batch,))

    @cp.compile(threads=threads)
    def step(x: cp.Tensor, y: cp.Tensor) -> cp.Tensor:
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return lambda: step(x, y)


def main() -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else cores or 1
    batch = int(sys.argv[2]) if len(sys.argv) > 2 else 128
    steps = {n: make(n, batch) for n in (1, threads)}
    times: dict[int, list[float]] = {n: [] for n in steps}
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        for n, step in steps.items():
            step()
            for _ in range(5):
                start = time.perf_counter()
                step()
                times[n].append(time.perf_counter() - start)
    for n, found in times.items():
        best, usual = min(found), statistics.median(found)
        ratio = min(times[1]) / best
        print(f"{n} threads: {best * 1e6:.0f} us, median {usual * 1e6:.0f} us, {ratio:.2f}x")


if __name__ == "__main__":
    main()
