"""Times of contenders that take turns.

Other programs on the machine disturb some rounds: a probe of fixed work runs before and after each
measurement, and only measurements between undisturbed probes count.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field

import numpy as np
from contenders import Program

SLOWER = 1.08  # a probe this much slower than the fastest was disturbed
FEWEST = 5  # measurements that count at least: then the least disturbed ones


@dataclass
class Times:
    """Seconds per step of one contender, each with how disturbed it was."""

    seconds: list[float] = field(default_factory=list)
    disturbed: list[float] = field(default_factory=list)
    cores: list[float] = field(default_factory=list)

    def clean(self, best_probe: float) -> list[float]:
        """The measurements that count."""
        limit = SLOWER * best_probe
        pairs = sorted(zip(self.disturbed, self.seconds, strict=True))
        wanted = max(sum(d <= limit for d, _ in pairs), min(FEWEST, len(pairs)))
        return [s for _, s in pairs[:wanted]]


@dataclass(frozen=True)
class Timing:
    """What is shown of one contender: seconds per step, and how many cores it kept busy."""

    median: float
    fastest: float
    cores: float
    clean: int
    rounds: int


class Probe:
    """A fixed piece of work of about 0.1 ms, and the shortest time that it took."""

    def __init__(self) -> None:
        self.a = np.ones((96, 96), np.float32)
        self.best = float("inf")
        for _ in range(50):
            self()

    def __call__(self) -> float:
        self.a @ self.a  # into the cache again
        start = time.perf_counter()
        for _ in range(6):
            self.a @ self.a
        took = time.perf_counter() - start
        self.best = min(self.best, took)
        return took


def calls_in(program: Program, seconds: float) -> int:
    """How many calls fit into the time."""
    program.run(1)
    calls, took = 1, 0.0
    while True:
        start = time.perf_counter()
        program.run(calls)
        took = time.perf_counter() - start
        if took > seconds / 4:
            return max(1, round(calls * seconds / took))
        calls *= 4


def take_turns(
    programs: dict[str, Program], rounds: int, seconds: float, probe: Probe
) -> dict[str, Timing]:
    """Measure every program once per round, each for that many seconds at least one call."""
    calls = {name: calls_in(program, seconds) for name, program in programs.items()}
    times = {name: Times() for name in programs}
    for turn in range(rounds):
        names = list(programs)
        shift = turn % len(names) if names else 0
        for name in names[shift:] + names[:shift]:
            program, found = programs[name], times[name]
            before = probe()
            cpu, start = time.process_time(), time.perf_counter()
            program.run(calls[name])
            took = time.perf_counter() - start
            found.cores.append((time.process_time() - cpu) / took)
            found.seconds.append(took / calls[name] / program.steps_per_call)
            found.disturbed.append(max(before, probe()))
    return {name: _timing(found, probe) for name, found in times.items()}


def _timing(found: Times, probe: Probe) -> Timing:
    clean = found.clean(probe.best)
    return Timing(
        statistics.median(clean), min(found.seconds), statistics.median(found.cores), len(clean),
        len(found.seconds),
    )  # fmt: skip
