"""What machine code knows of a version of a compiled function: a record of numbers and addresses,
and how code that reads one is written.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

# What a record holds, in this order, each in 8 bytes. `x_count` and `x_table` tell of a table.
FIELDS = (
    "next", "enabled", "busy", "arguments", "arguments_table", "tensors", "tensors_table", "draws",
    "draws_table", "apart", "apart_table", "words", "words_table", "grads",
    "grads_table", "names", "names_table", "written", "written_table", "outputs",
    "outputs_table", "step", "table", "changes", "expected", "context", "thread", "grad_mode",
    "slow", "fail", "release", "calls", "many", "writes", "count", "positive", "negative",
    "tensor", "parameter", "ndarray", "none", "at_value", "at_node", "at_cell", "at_view",
    "at_grad", "at_mode", "at_interpreter",
)  # fmt: skip
WORDS = {
    "arguments": 1, "tensors": 7, "words": 2, "grads": 3, "names": 3, "written": 1, "outputs": 7,
    "draws": 4, "apart": 4,
}  # fmt: skip
GIVEN, FIXED, HELD = 0, 1, 2  # a tensor is an argument, a certain one, or what a slot holds


class RecordText:
    """Writes a function that works by `%record`."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.count = 0
        self.label = "entry"

    def new(self, hint: str = "v") -> str:
        self.count += 1
        return f"%{hint}{self.count}"

    def let(self, instruction: str) -> str:
        name = self.new()
        self.lines.append(f"  {name} = {instruction}")
        return name

    def do(self, instruction: str) -> None:
        self.lines.append(f"  {instruction}")

    def block(self, label: str) -> None:
        self.lines.append(f"{label}:")
        self.label = label

    def need(self, condition: str) -> None:
        """Go on only if the condition holds; else to Python."""
        self.count += 1
        label = f"ok{self.count}"
        self.do(f"br i1 {condition}, label %{label}, label %other")
        self.block(label)

    def field(self, name: str, kind: str = "ptr") -> str:
        return self.at("%record", 8 * FIELDS.index(name), kind)

    def put(self, name: str, value: str) -> None:
        at = self.let(f"getelementptr i8, ptr %record, i64 {8 * FIELDS.index(name)}")
        self.do(f"store i64 {value}, ptr {at}")

    def at(self, base: str, offset: int | str, kind: str = "ptr") -> str:
        """What lies some bytes behind an address."""
        at = self.let(f"getelementptr i8, ptr {base}, i64 {offset}")
        return self.let(f"load {kind}, ptr {at}")

    def retain(self, x: str, times: int = 1) -> None:
        """One reference to an object more; later Pythons have objects that are not counted."""
        if sys.version_info >= (3, 12):
            self.lines += [f"  call void @Py_IncRef(ptr {x})"] * times
            return
        count = self.let(f"load i64, ptr {x}")
        self.do(f"store i64 {self.let(f'add i64 {count}, {times}')}, ptr {x}")

    def same(self, a: str, b: str, kind: str = "ptr") -> str:
        return self.let(f"icmp eq {kind} {a}, {b}")

    def either(self, a: str, b: str) -> str:
        return self.let(f"or i1 {a}, {b}")

    @contextmanager
    def each(self, name: str) -> Iterator[tuple[str, str]]:
        """For every entry of a table: its number and address."""
        n, base = self.field(name, "i64"), self.field(f"{name}_table")
        self.count += 1
        head, body, latch, done = (f"{x}{self.count}" for x in ("head", "body", "latch", "done"))
        before, i, after = self.label, self.new("i"), self.new("i")
        self.do(f"br label %{head}")
        self.block(head)
        self.do(f"{i} = phi i64 [0, %{before}], [{after}, %{latch}]")
        more = self.let(f"icmp slt i64 {i}, {n}")
        self.do(f"br i1 {more}, label %{body}, label %{done}")
        self.block(body)
        offset = self.let(f"mul i64 {i}, {8 * WORDS[name]}")
        entry = self.let(f"getelementptr i8, ptr {base}, i64 {offset}")
        yield i, entry
        self.do(f"br label %{latch}")
        self.block(latch)
        self.do(f"{after} = add i64 {i}, 1")
        self.do(f"br label %{head}")
        self.block(done)

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """Only if the condition holds."""
        self.count += 1
        yes, after = f"yes{self.count}", f"after{self.count}"
        self.do(f"br i1 {condition}, label %{yes}, label %{after}")
        self.block(yes)
        yield
        self.do(f"br label %{after}")
        self.block(after)
