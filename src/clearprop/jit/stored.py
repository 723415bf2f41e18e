"""What a step's caller must know of its plan, kept on disk beside the object: a second process that
traces the same graph needs neither schedule nor text to find its code.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import llvmlite

from clearprop._version import __version__
from clearprop.core import TABLE
from clearprop.graph import Graph
from clearprop.jit import cache as disk
from clearprop.jit.memory import Plan
from clearprop.jit.schedule import work_of
from clearprop.jit.target import host

_KNOWN = dict(TABLE)  # primitives of clearprop's own, whose meaning `stamp` tells


@dataclass(frozen=True)
class Layout:
    """`constants` are the numbers of the graph's constants that have a slot, `object` the name of
    the code.
    """

    slots: int
    arena: int
    constants: tuple[int, ...]
    kernels: int
    callbacks: int
    work: float
    object: str


def layout_of(plan: Plan, arena: int, name: str) -> Layout:
    """The layout of a plan whose code wants so many bytes of arena."""
    found, slots = plan.schedule, [plan.places[v].slot for v in plan.graph.constants]
    first = plan.slots - 1 - len(plan.constants)
    constants = tuple(i for i, slot in enumerate(slots) if first <= slot < plan.slots - 1)
    assert len(constants) == len(plan.constants)
    work = sum(map(work_of, found.kernels))
    return Layout(
        plan.slots, arena, constants, len(found.kernels), len(found.callbacks), work, name
    )


def key_of(graph: Graph, printed: str, threads: int) -> str | None:
    """The name of the entry of a graph for so many threads; None if it has primitives that may mean
    anything tomorrow.
    """
    if any(_KNOWN.get(e.prim.name) is not e.prim for e in graph.equations):
        return None
    target = host()
    return disk.key(
        "layout", printed, str(threads), target.triple, target.cpu, target.features, __version__,
        llvmlite.__version__, stamp(),
    )  # fmt: skip


def load(name: str) -> Layout | None:
    """The layout of that name."""
    body = disk.load(name)
    if body is None:
        return None
    fields = json.loads(body)
    return Layout(**{**fields, "constants": tuple(fields["constants"])})


def store(name: str, layout: Layout) -> None:
    """Keep a layout."""
    disk.store(name, json.dumps(asdict(layout)).encode())


@cache
def stamp() -> str:
    """Changes whenever a file of clearprop does: for those who work on it."""
    seen = []
    for folder, _, files in os.walk(Path(__file__).parents[1]):
        for file in files:
            if file.endswith(".py"):
                status = os.stat(os.path.join(folder, file))
                seen.append((folder, file, status.st_size, status.st_mtime_ns))
    return repr(sorted(seen))
