"""Where boxes go: rows by the longest path from an input, order in a row by the neighbours above
and below, arrows through gaps kept free for them.

The method of Sugiyama, Tagawa and Toda (Methods for visual understanding of hierarchical system
structures, IEEE Transactions on Systems, Man, and Cybernetics 11(2), 1981).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

Key = Hashable
Point = tuple[float, float]

SWEEPS = 6


@dataclass
class Layout:
    """Centre of every box, the points of every arrow, and the size of the picture."""

    at: dict[Key, Point]
    routes: dict[tuple[Key, Key], list[Point]]
    width: float
    height: float


def ranks(keys: Sequence[Key], arrows: Iterable[tuple[Key, Key]]) -> dict[Key, int]:
    """Row of each key: one below the lowest of those it comes from; sources stand right above the
    first thing they go into.
    """
    into: dict[Key, list[Key]] = defaultdict(list)
    waiting: dict[Key, int] = dict.fromkeys(keys, 0)
    for a, b in arrows:
        into[a].append(b)
        waiting[b] += 1
    rank = dict.fromkeys(keys, 0)
    ready = [k for k in keys if not waiting[k]]
    sources = list(ready)
    while ready:
        a = ready.pop()
        for b in into[a]:
            rank[b] = max(rank[b], rank[a] + 1)
            waiting[b] -= 1
            if not waiting[b]:
                ready.append(b)
    for a in sources:
        if into[a]:
            rank[a] = min(rank[b] for b in into[a]) - 1
    return rank


def place(
    sizes: dict[Key, tuple[float, float]],
    arrows: Sequence[tuple[Key, Key]],
    gap: Point = (28.0, 38.0),
) -> Layout:
    """Lay out boxes of the given sizes (width, height), from top to bottom."""
    rank = ranks(list(sizes), arrows)
    rows: list[list[Key]] = [[] for _ in range(max(rank.values(), default=-1) + 1)]
    for key in sizes:
        rows[rank[key]].append(key)
    size = dict(sizes)
    chains: dict[tuple[Key, Key], list[Key]] = {}
    for a, b in arrows:
        chain: list[Key] = [a]
        for r in range(rank[a] + 1, rank[b]):
            via = ("via", a, b, r)
            size[via] = (6.0, 0.0)
            rows[r].append(via)
            chain.append(via)
        chains[a, b] = [*chain, b]
    above: dict[Key, list[Key]] = defaultdict(list)
    below: dict[Key, list[Key]] = defaultdict(list)
    for chain in chains.values():
        for a, b in pairwise(chain):
            above[b].append(a)
            below[a].append(b)
    _untangle(rows, above, below)
    x = _columns(rows, size, above, below, gap[0])
    heights = [max((size[k][1] for k in row), default=0.0) for row in rows]
    y: dict[Key, float] = {}
    top = 0.0
    for row, height in zip(rows, heights, strict=True):
        for key in row:
            y[key] = top + height / 2
        top += height + gap[1]
    left = min((x[k] - size[k][0] / 2 for k in x), default=0.0)
    at = {k: (x[k] - left, y[k]) for k in x}
    width = max((at[k][0] + size[k][0] / 2 for k in at), default=0.0)
    routes = {}
    for (a, b), chain in chains.items():
        start = (at[a][0], at[a][1] + size[a][1] / 2)
        end = (at[b][0], at[b][1] - size[b][1] / 2)
        routes[a, b] = [start, *(at[k] for k in chain[1:-1]), end]
    return Layout({k: at[k] for k in sizes}, routes, width, max(top - gap[1], 0.0))


def _untangle(
    rows: list[list[Key]], above: dict[Key, list[Key]], below: dict[Key, list[Key]]
) -> None:
    """Order each row by the mean place of its neighbours, downwards and upwards in turn."""
    for sweep in range(SWEEPS):
        near, order = (above, rows) if sweep % 2 == 0 else (below, rows[::-1])
        for row in order:
            index = {k: i for r in rows for i, k in enumerate(r)}
            means = {
                k: sum(index[n] for n in near[k]) / len(near[k]) if near[k] else index[k]
                for k in row
            }
            row.sort(key=lambda k, means=means: means[k])  # type: ignore[misc]


def _columns(
    rows: list[list[Key]],
    size: dict[Key, tuple[float, float]],
    above: dict[Key, list[Key]],
    below: dict[Key, list[Key]],
    gap: float,
) -> dict[Key, float]:
    """The x of every key: near the mean of its neighbours, in the order of its row."""
    x: dict[Key, float] = {}
    for row in rows:
        left = 0.0
        for key in row:
            x[key] = left + size[key][0] / 2
            left += size[key][0] + gap
        for key in row:
            x[key] -= (left - gap) / 2
    for sweep in range(SWEEPS):
        order = rows if sweep % 2 == 0 else rows[::-1]
        for row in order:
            wanted = {}
            for key in row:
                near = above[key] + below[key]
                wanted[key] = sum(x[n] for n in near) / len(near) if near else x[key]
            _spread(row, wanted, size, gap, x)
    return x


def _spread(
    row: list[Key],
    wanted: dict[Key, float],
    size: dict[Key, tuple[float, float]],
    gap: float,
    x: dict[Key, float],
) -> None:
    """Put a row as near to the wanted places as its order and the gaps allow: neighbours that would
    touch move as one block, whose place is the mean of what its members want.
    """
    blocks: list[tuple[list[Key], list[float], float]] = []  # members, offsets, x of the first
    for key in row:
        members, offsets, first = [key], [0.0], wanted[key]
        while blocks:
            before, their_offsets, start = blocks[-1]
            step = (size[before[-1]][0] + size[members[0]][0]) / 2 + gap
            if start + their_offsets[-1] + step <= first:
                break
            blocks.pop()
            shift = their_offsets[-1] + step
            members = before + members
            offsets = their_offsets + [shift + o for o in offsets]
            first = sum(wanted[m] - o for m, o in zip(members, offsets, strict=True)) / len(members)
        blocks.append((members, offsets, first))
    for members, offsets, first in blocks:
        for member, offset in zip(members, offsets, strict=True):
            x[member] = first + offset
