"""The iteration space of a nest as it is run: which axes are one, and which one is innermost."""

from __future__ import annotations

from dataclasses import dataclass

from clearprop.jit.access import Shape
from clearprop.jit.nest import Counter, Member, Nest, Read


@dataclass(frozen=True)
class Space:
    """`axes[i]` are the axes of the nest that loop i runs over, the last being the innermost; they
    lie packed in each other for every operand, so one stride per loop is enough.
    """

    sizes: Shape
    axes: tuple[tuple[int, ...], ...]
    rows: bool  # the innermost loop is an axis of its own: some members are done once per row

    def strides(self, strides: Shape) -> Shape:
        """Strides over the loops, from strides over the axes of the nest."""
        return tuple(strides[group[-1]] if group else 0 for group in self.axes)

    def loop_of(self, axis: int) -> int:
        """The loop that runs over an axis of the nest."""
        return next(i for i, group in enumerate(self.axes) if axis in group)


def space_of(nest: Nest) -> Space:
    """Merge axes where all operands allow it, and put the best one innermost."""
    axes = len(nest.space)
    rows = any(nest.is_row(m) for m in nest.members)
    patterns = [_over(s, axes) for m in nest.members for s in _strides(m)]
    counted = {x.axis for m in nest.members for x in m.operands if isinstance(x, Counter)}
    groups: list[tuple[int, ...]] = [(i,) for i in range(axes)]

    def merges(i: int) -> bool:
        """Whether loops i and i+1 can be one."""
        left, right = groups[i], groups[i + 1]
        if counted & {*left, *right} or (rows and i + 1 == len(groups) - 1):
            return False
        size = 1
        for axis in right:
            size *= nest.space[axis]
        if any(s[left[-1]] != s[right[-1]] * size for s in patterns):
            return False
        return all(
            (left[-1] in m.reduced) == (right[-1] in m.reduced) for m in nest.members if m.combine
        )

    i = len(groups) - 2
    while i >= 0:
        if merges(i):
            groups[i : i + 2] = [groups[i] + groups[i + 1]]
        i -= 1
    if not rows and not any(m.combine for m in nest.members) and len(groups) > 1:
        groups = _best_last(groups, patterns)
    sizes = []
    for group in groups:
        n = 1
        for axis in group:
            n *= nest.space[axis]
        sizes.append(n)
    return Space(tuple(sizes), tuple(groups), rows)


def _strides(m: Member) -> list[Shape]:
    return [m.write, *(x.strides for x in m.operands if isinstance(x, Read))]


def _over(strides: Shape, axes: int) -> Shape:
    return strides + (0,) * (axes - len(strides))


def _best_last(groups: list[tuple[int, ...]], patterns: list[Shape]) -> list[tuple[int, ...]]:
    """The loop innermost along which most operands lie one after the other."""

    def packed(group: tuple[int, ...]) -> int:
        return sum(abs(s[group[-1]]) == 1 for s in patterns)

    best = max(range(len(groups)), key=lambda i: (packed(groups[i]), i))
    return [g for i, g in enumerate(groups) if i != best] + [groups[best]]
