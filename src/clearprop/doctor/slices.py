"""Which parameters a value depends on: by the flow of data, and by the tape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from clearprop.core import Tensor
from clearprop.doctor.log import Log, Record, Use, Value


@dataclass(frozen=True, eq=False)
class Cut:
    """Where the tape ends although data flows on: `use` came into `record` with a history, or out
    of one, and `record` is not on the tape for it. `why`: "op" (no derivative), "no_grad",
    "detached", or "outside" (through NumPy or a Python number).
    """

    record: Record
    use: Use
    why: str


@dataclass(eq=False)
class Slice:
    """What went into `target`."""

    log: Log
    target: Value
    guessing: bool = False  # follow hints, too
    records: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        wanted, stack, seen = set(), [self.target], set()
        while stack:
            value = stack.pop()
            if id(value) in seen:
                continue
            seen.add(id(value))
            before = self._before(value)
            if before is not None:
                stack.append(before)
            if value.maker is not None and id(value.maker) not in wanted:
                wanted.add(id(value.maker))
                stack.extend(use.value for use in value.maker.uses)
        self.records = [r for r in self.log.records if id(r) in wanted]

    def _before(self, value: Value) -> Value | None:
        """What a value was outside of clearprop's ops."""
        return value.source or (value.hint if self.guessing else None)

    @cached_property
    def _numbers(self) -> dict[int, tuple[Tensor, int]]:
        """The leaves in the slice and a bit for each, by the id of their value."""
        out: dict[int, tuple[Tensor, int]] = {}
        for record in self.records:
            for use in record.uses:
                tensor = use.value.leaf() if use.value.leaf is not None else None
                if tensor is not None and id(use.value) not in out:
                    out[id(use.value)] = (tensor, 1 << len(out))
        return out

    @cached_property
    def _reach(self) -> dict[int, int]:
        """For every value in the slice, the bits of the leaves that data flows from."""
        reach = {key: bit for key, (_, bit) in self._numbers.items()}
        for record in self.records:
            bits = 0
            for use in record.uses:
                bits |= self._bits(use.value, reach)
            for value in record.outs:
                reach[id(value)] = bits
        return reach

    def _bits(self, value: Value, reach: dict[int, int]) -> int:
        bits = reach.get(id(value), 0)
        source = self._before(value)
        while source is not None:
            bits |= reach.get(id(source), 0)
            source = self._before(source)
        return bits

    def leaves(self, value: Value | None = None) -> list[Tensor]:
        """The leaves that data flows from to a value (the target)."""
        bits = self._bits(self.target if value is None else value, self._reach)
        return [t for t, bit in self._numbers.values() if bits & bit]

    def cuts(self, p: Tensor) -> Iterator[Cut]:
        """Where the tape from p ends, first ones first."""
        bit = next((b for t, b in self._numbers.values() if t is p), 0)
        for record in self.records:
            for use, rule in zip(record.uses, record.rules(), strict=False):
                if not self._bits(use.value, self._reach) & bit or record.block is not None:
                    continue
                outside = self._before(use.value)
                if outside is not None and live(outside):
                    yield Cut(record, use, "outside")
                elif live(use.value):
                    if not record.recording:
                        yield Cut(record, use, "no_grad")
                    elif not use.tracked:
                        yield Cut(record, use, "detached")
                    elif rule is None or not record.out.is_float:
                        yield Cut(record, use, "op")


def live(value: Value) -> bool:
    """Whether the tape leads from this value back to a leaf."""
    if value.leaf is not None:
        return True
    return value.maker is not None and value.maker.tracked and value.is_float
