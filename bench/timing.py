"""Timing for noisy machines: what is compared runs in turn, round after round, in one process, and
the median over the rounds counts.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

ONE_THREAD = [f"{name}_NUM_THREADS" for name in ("OMP", "OPENBLAS", "MKL")]
ONE_THREAD += ["VECLIB_MAXIMUM_THREADS"]


def single_thread() -> None:
    """Keep numerical libraries to one thread, and the process to one core, since not all libraries
    can be kept from starting threads; call before they are imported.
    """
    for name in ONE_THREAD:
        os.environ[name] = "1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def medians(
    programs: dict[str, Callable[[], object]], rounds: int = 15, target: float = 0.02
) -> dict[str, float]:
    """Microseconds per call of each program, the median over rounds; the rounds are interleaved."""
    counts = {}
    for name, program in programs.items():
        for _ in range(20):
            program()
        start = time.perf_counter()
        for _ in range(20):
            program()
        counts[name] = max(1, int(target / ((time.perf_counter() - start) / 20)))
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            start = time.perf_counter()
            for _ in range(counts[name]):
                program()
            times[name].append((time.perf_counter() - start) / counts[name] * 1e6)
    return {name: statistics.median(ts) for name, ts in times.items()}
