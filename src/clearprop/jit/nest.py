"""A nest of loops: equations that are computed together, element by element, in one kernel.

All members share one iteration space, or the space without its innermost axis; these are worked out
once per row, between passes over the row. A member reads a value of another member without going
through memory if it wants it at the very place of the space where the other one makes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from clearprop.graph import Equation, Var
from clearprop.graph.formula import Tree
from clearprop.jit.access import Access, Shape, squeezed

LARGEST = 128  # members of one kernel
WIDEST_ROW_WORK = 24  # members that are worked out once per row, as single numbers


@dataclass(frozen=True, slots=True)
class Read:
    """An operand of a member: element offset + i*strides[0] + ... of base, over the space."""

    base: Var
    offset: int
    strides: Shape

    def over(self, axes: int) -> Read:
        """The same with as many axes; those that are added at the end do not matter."""
        return Read(self.base, self.offset, self.strides + (0,) * (axes - len(self.strides)))


@dataclass(frozen=True, slots=True)
class Counter:
    """An operand that is the index along an axis of the space."""

    axis: int


Operand = Read | Counter


@dataclass(eq=False, slots=True)
class Member:
    """`out` = tree(operands) at every point of the space; with `combine`, joined along the axes
    `reduced`. `write` are the strides of out over the space, `offset` where it begins.
    """

    equation: Equation
    tree: Tree
    operands: tuple[Operand, ...]
    out: Var
    space: Shape
    write: Shape
    combine: str | None = None
    reduced: frozenset[int] = frozenset()
    offset: int = 0
    alone: bool = False  # writes only a part of out: other members see nothing of it
    reads: tuple[Read, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.reads = tuple(x for x in self.operands if isinstance(x, Read))


def read_of(x: Access) -> Read:
    """An access over the axes that are not of size 1."""
    return Read(x.base, x.offset, tuple(x.strides[i] for i in squeezed(x.shape)))


@dataclass(eq=False)
class Nest:
    """Members in an order in which each comes after what it reads."""

    space: Shape
    members: list[Member] = field(default_factory=list)
    made: dict[Var, Member] = field(default_factory=dict)
    _ours: set[Var] = field(default_factory=set)  # what the first members read and make
    _seen: int = 0  # how many of them

    def add(self, member: Member) -> None:
        self.members.append(member)
        self.made[member.out] = member

    def is_row(self, member: Member) -> bool:
        """Whether the member is worked out once per row."""
        return len(member.space) < len(self.space)

    def takes(self, member: Member) -> bool:
        """Whether a member fits into the nest as far as the nest itself is concerned."""
        if not self.members or self.members[-1].alone or member.alone:  # others move in before it
            return False
        if len(self.members) >= LARGEST:
            return False
        if member.space == self.space:
            return all(self._reaches(read) for read in member.reads)
        if member.space == self.space[:-1] and self.space:
            return self._rows() < WIDEST_ROW_WORK and all(
                self._reaches(r.over(len(self.space))) for r in member.reads
            )
        return self._grows(member)

    def _rows(self) -> int:
        return sum(map(self.is_row, self.members))

    def _reaches(self, read: Read) -> bool:
        """Whether an operand, if it is made here, is at hand where it is wanted."""
        maker = self.made.get(read.base)
        if maker is None:
            return True
        return not self.is_barrier(maker) and self.forwards(read, maker)

    def forwards(self, read: Read, maker: Member) -> bool:
        """Whether the read wants the maker's value at the point where it is made."""
        write = maker.write + (0,) * (len(self.space) - len(maker.space))
        return read.offset == 0 and read.strides == write

    def is_barrier(self, maker: Member) -> bool:
        """Whether the value is complete only when the nest is done."""
        if maker.combine is None:
            return False
        last = len(self.space) - 1
        return self.is_row(maker) or maker.reduced != {last}

    def _grows(self, member: Member) -> bool:
        """Whether the nest can become the rows of a larger one."""
        if not self.space or member.space[:-1] != self.space or len(self.members) > WIDEST_ROW_WORK:
            return False
        if any(self.is_row(m) for m in self.members):
            return False
        used = {r.base for m in self.members for r in m.reads}
        if any(m.combine and m.out in used for m in self.members):
            return False
        larger = Nest(member.space, self.members, self.made)
        return any(r.base in self.made for r in member.reads) and all(
            larger._reaches(r) for r in member.reads
        )

    def is_related(self, member: Member) -> bool:
        """Whether the two have values in common, so that being together saves memory traffic."""
        if not self.space:
            return True
        if self._seen != len(self.members):  # members come at the end
            for m in self.members[self._seen :]:
                self._ours.update(r.base for r in m.reads if any(r.strides))
            self._ours.update(self.made)
            self._seen = len(self.members)
        ours = self._ours
        return any(r.base in ours and (any(r.strides) or r.base in self.made) for r in member.reads)

    def accept(self, member: Member) -> None:
        """Take a member in for which `takes` is true."""
        if len(member.space) > len(self.space):
            self.space = member.space
        self.add(member)
