"""Writing LLVM IR: names, types and loops of one function."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

TYPES = {
    "f16": "half", "f32": "float", "f64": "double", "i64": "i64", "i32": "i32", "i16": "i16",
    "i8": "i8", "u8": "i8", "bool": "i1",
}  # fmt: skip
SIZES = {"f16": 2, "f32": 4, "f64": 8, "i64": 8, "i32": 4, "i16": 2, "i8": 1, "u8": 1, "bool": 1}


def vector(dtype: str, lanes: int) -> str:
    """The type of so many elements in registers."""
    return f"<{lanes} x {TYPES[dtype]}>"


def stored(dtype: str) -> str:
    """The type of one element in memory: truth values are bytes there."""
    return "i8" if dtype == "bool" else TYPES[dtype]


def number(value: Any, dtype: str) -> str:
    """A constant as LLVM writes it."""
    if dtype == "bool":
        return "1" if value else "0"
    if dtype in ("f32", "f64"):
        value = float(value)
        if dtype == "f32":
            try:
                value = struct.unpack("f", struct.pack("f", value))[0]
            except OverflowError:
                value = float("inf") if value > 0 else float("-inf")
        return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
    if dtype == "f16":
        return f"0xH{struct.unpack('<H', struct.pack('<e', float(value)))[0]:04X}"
    return str(int(value))


def splat(value: Any, dtype: str, lanes: int) -> str:
    """A vector with one number at every place."""
    text = f"{TYPES[dtype]} {number(value, dtype)}"
    return f"<{', '.join([text] * lanes)}>" if lanes == 1 else f"splat ({text})"


class Writer:
    """The body of a function: `emit` adds an instruction and returns the name of its result."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.declares: set[str] = set()
        self.label = "entry"
        self._names = 0

    def name(self, hint: str = "v") -> str:
        self._names += 1
        return f"%{hint}{self._names}"

    def emit(self, instruction: str, hint: str = "v") -> str:
        name = self.name(hint)
        self.lines.append(f"  {name} = {instruction}")
        return name

    def do(self, instruction: str) -> None:
        self.lines.append(f"  {instruction}")

    def block(self, label: str) -> None:
        """Begin a block; the one before falls through into it."""
        self.do(f"br label %{label}")
        self.start(label)

    def start(self, label: str) -> None:
        """Begin a block that others branch to."""
        self.lines.append(f"{label}:")
        self.label = label

    def fresh(self, hint: str) -> str:
        self._names += 1
        return f"{hint}{self._names}"

    @contextmanager
    def loop(
        self,
        stop: int | str,
        step: int = 1,
        carried: Sequence[Carried] | None = None,
        start: int | str = 0,
    ) -> Iterator[str]:
        """for i in range(start, stop, step), at least once; the counter's name. `carried`: values
        that go from one round to the next.
        """
        head, latch, done = self.fresh("loop"), self.fresh("latch"), self.fresh("done")
        before = self.label
        i, after = self.name("i"), self.name("i")
        self.block(head)
        phi = len(self.lines)
        self.lines.append(f"  {i} = phi i64 [{start}, %{before}], [{after}, %{latch}]")
        for c in carried or ():
            c.name = self.name("acc")
            self.lines.append("")
        yield i
        self.block(latch)
        for j, c in enumerate(carried or ()):
            self.lines[phi + 1 + j] = (
                f"  {c.name} = phi {c.type} [{c.start}, %{before}], [{c.next}, %{latch}]"
            )
            c.name = c.next
        self.do(f"{after} = add nuw nsw i64 {i}, {step}")
        more = self.emit(f"icmp ult i64 {after}, {stop}")
        self.do(f"br i1 {more}, label %{head}, label %{done}")
        self.start(done)

    def call(self, result: str, function: str, *args: str) -> str:
        """Call an intrinsic or function, and declare it. Arguments are `type value`."""
        kinds = ", ".join(a.rsplit(" ", 1)[0] for a in args)
        self.declares.add(f"declare {result} {function}({kinds})")
        return self.emit(f"call {result} {function}({', '.join(args)})")


class Carried:
    """A value that a loop carries from round to round: set `next` in its body; after the loop,
    `name` is what the last round left.
    """

    def __init__(self, kind: str, start: str) -> None:
        self.type = kind
        self.start = start
        self.name = start
        self.next = start
