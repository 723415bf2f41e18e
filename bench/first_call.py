"""The first call of a compiled step: fresh processes, with an empty cache on disk and a full one.

    python bench/first_call.py W1
    python bench/first_call.py 100        a network of 100 layers of 64

The time is that of the call alone, without importing.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from timing import single_thread

HERE = str(Path(__file__).resolve())
LIMIT = 120  # seconds after which a child is given up


def deep(layers: int) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A step of a network of equal layers of 64 with ReLU, batch 64, SGD, and its arguments."""
    cp: Any = importlib.import_module("clearprop")
    cp.manual_seed(0)
    parts: list[Any] = []
    for _ in range(layers):
        parts += [cp.nn.Linear(64, 64), cp.nn.ReLU()]
    model = cp.nn.Sequential(*parts)
    optimizer = cp.optim.SGD(model.parameters(), lr=1e-3)
    loss_fn = cp.nn.MSELoss()

    def step(x: Any, y: Any) -> Any:
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step, (cp.randn(64, 64), cp.randn(64, 64))


def row(key: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The step of a workload and its first arguments."""
    cp: Any = importlib.import_module("clearprop")
    workloads: Any = importlib.import_module("workloads")
    ours: Any = importlib.import_module("peers.clearprop_step")
    w = workloads.WORKLOADS[key]
    step = ours.step_of(w, ours.ways(w)[0])
    return step, tuple(cp.tensor(a) for a in w.feeds()[0])


def measure(what: str) -> float:
    """Seconds of the first call in this process."""
    cp: Any = importlib.import_module("clearprop")
    step, arguments = deep(int(what)) if what.isdigit() else row(what)
    compiled = cp.compile(step)
    start = time.perf_counter()
    compiled(*arguments)
    return time.perf_counter() - start


def cold_and_warm(what: str, times: int = 3) -> tuple[float, float]:
    """Seconds of the first call with an empty cache and with a full one: the best of some.

    Errors: RuntimeError with what the process said, where it failed or took too long.
    """
    cold, warm = [], []
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            cold.append(_child(what, folder))
            warm.append(_child(what, folder))
    return min(cold), min(warm)


def _child(what: str, folder: str) -> float:
    environment = {**os.environ, "CLEARPROP_CACHE_DIR": folder}
    run = [sys.executable, HERE, what, "--once"]
    try:
        done = subprocess.run(run, capture_output=True, text=True, env=environment, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"more than {LIMIT} s") from None
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["failed"])[-1])
    return float(done.stdout)


def main() -> None:
    what = sys.argv[1] if len(sys.argv) > 1 else "W1"
    single_thread()
    if "--once" in sys.argv:
        print(measure(what))
        return
    cold, warm = cold_and_warm(what)
    print(f"first call of {what}: {cold * 1e3:.0f} ms; from the cache on disk {warm * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
