"""In which pass over a row every member of a nest is worked out.

A row value that comes from adding up a row is known after that pass; what needs it belongs to the
next one. With a short row, all passes are one stretch of code and values stay in registers.
"""

from __future__ import annotations

from clearprop.graph import Var
from clearprop.jit.nest import Member, Nest


class Stages:
    """`of[m]` is the pass of a member; for one that is worked out once per row, the pass after
    which it is (-1: before the first).
    """

    def __init__(self, nest: Nest) -> None:
        self.nest = nest
        self.of: dict[Member, int] = {}
        for m in nest.members:
            makers = [nest.made[r.base] for r in m.reads if r.base in nest.made]
            makers = [maker for maker in makers if maker is not m]
            if nest.is_row(m):
                self.of[m] = max((self.of[x] for x in makers), default=-1)
            else:
                self.of[m] = max((self._seen(x) for x in makers), default=0)
        self.count = 1 + max((self.of[m] for m in nest.members if not nest.is_row(m)), default=0)

    def _seen(self, maker: Member) -> int:
        """The first pass in which a member of the whole space sees the maker's value."""
        if self.nest.is_row(maker) or maker.combine:
            return self.of[maker] + 1
        return self.of[maker]

    def members(self, stage: int) -> list[Member]:
        """What is worked out at every element in a pass."""
        return [m for m in self.nest.members if self.of[m] == stage and not self.nest.is_row(m)]

    def row_members(self, stage: int) -> list[Member]:
        """What is worked out once, after a pass."""
        return [m for m in self.nest.members if self.of[m] == stage and self.nest.is_row(m)]


def crossing(nest: Nest) -> list[Var]:
    """Values of every element that a later pass wants again."""
    stages = Stages(nest)
    if stages.count == 1:
        return []
    out: dict[Var, None] = {}
    for m in nest.members:
        for read in m.reads:
            maker = nest.made.get(read.base)
            if maker is None or nest.is_row(maker) or maker.combine or nest.is_row(m):
                continue
            if stages.of[m] > stages.of[maker]:
                out[read.base] = None
    return list(out)
