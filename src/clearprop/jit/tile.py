"""What kernels with register tiles are made of: vectors loaded, multiplied, finished, stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from clearprop.jit.target import Target
from clearprop.jit.transpose import transposed
from clearprop.jit.writer import SIZES, TYPES, Carried, Writer, splat


class Tile:
    """Vectors of one type on one processor."""

    def __init__(self, target: Target, d: str) -> None:
        self.d = d
        self.lanes = target.lanes(d)
        self.most = target.registers * 3 // 4  # sums that stay in registers
        self.element = TYPES[d]
        self.kind = f"<{self.lanes} x {self.element}>"
        self.align = f"align {SIZES[d]}"

    def load(self, w: Writer, at: str, valid: int | None = None) -> str:
        if valid is None or valid == self.lanes:
            return w.emit(f"load {self.kind}, ptr {at}, {self.align}")
        f, i1 = f"@llvm.masked.load.v{self.lanes}{self.d}.p0", f"<{self.lanes} x i1>"
        w.declares.add(f"declare {self.kind} {f}(ptr, {i1}, {self.kind})")
        return w.emit(f"call {self.kind} {f}(ptr {self.align} {at}, {i1} {self.mask(valid)},"
                      f" {self.kind} zeroinitializer)")  # fmt: skip

    def store(self, w: Writer, x: str, at: str, valid: int | None = None) -> None:
        if valid is None or valid == self.lanes:
            w.do(f"store {self.kind} {x}, ptr {at}, {self.align}")
            return
        f, i1 = f"@llvm.masked.store.v{self.lanes}{self.d}.p0", f"<{self.lanes} x i1>"
        w.declares.add(f"declare void {f}({self.kind}, ptr, {i1})")
        w.do(f"call void {f}({self.kind} {x}, ptr {self.align} {at}, {i1} {self.mask(valid)})")

    def mask(self, valid: int) -> str:
        return "<" + ", ".join(f"i1 {str(j < valid).lower()}" for j in range(self.lanes)) + ">"

    def spread(self, w: Writer, at: str) -> str:
        """One number of the memory at every lane."""
        x = w.emit(f"load {self.element}, ptr {at}, {self.align}")
        one = w.emit(f"insertelement {self.kind} poison, {self.element} {x}, i64 0")
        return w.emit(f"shufflevector {self.kind} {one}, {self.kind} poison,"
                      f" <{self.lanes} x i32> zeroinitializer")  # fmt: skip

    def fma(self, w: Writer, a: str, b: str, c: str) -> str:
        k = self.kind
        f = f"@llvm.fmuladd.v{self.lanes}{self.d}"
        w.declares.add(f"declare {k} {f}({k}, {k}, {k})")
        return w.emit(f"call {k} {f}({k} {a}, {k} {b}, {k} {c})")

    def add(self, w: Writer, a: str, b: str) -> str:
        return w.emit(f"fadd {self.kind} {a}, {b}")

    def finish(self, w: Writer, x: str, bias: str | None, relu: bool) -> str:
        """+ bias, then ReLU; nan stays nan."""
        if bias is not None:
            x = self.add(w, x, bias)
        if relu:
            zero = splat(0, self.d, self.lanes)
            low = w.emit(f"fcmp ole {self.kind} {x}, {zero}")
            x = w.emit(f"select <{self.lanes} x i1> {low}, {self.kind} {zero}, {self.kind} {x}")
        return x

    def total(self, w: Writer, x: str) -> str:
        """The sum of the lanes, by halves."""
        f = f"@llvm.vector.reduce.fadd.v{self.lanes}{self.d}"
        w.declares.add(f"declare {self.element} {f}({self.element}, {self.kind})")
        return w.emit(f"call reassoc {self.element} {f}({self.element} -0.0, {self.kind} {x})")

    def transposed(self, w: Writer, rows: Sequence[str]) -> list[str]:
        """The columns of a square whose first rows these are; what is missing does not matter."""
        missing = self.lanes - len(rows)
        return transposed(w, self.d, [*rows, *["poison"] * missing])


def chunks(w: Writer, n: int, size: int) -> Iterator[tuple[str, int]]:
    """0..n in pieces, a loop over those of the full size, then the rest: (begin, size)."""
    whole = n - n % size
    if whole == size:
        yield "0", size
    elif whole:
        with w.loop(whole, size) as i:
            yield i, size
    if whole < n:
        yield str(whole), n - whole


def sums_over(
    w: Writer, sizes: Sequence[int | str], sums: list[str], kind: str,
    body: Callable[[list[str], list[str]], list[str]],
) -> list[str]:  # fmt: skip
    """Nested loops that carry sums: body(counters, sums) gives the sums after a round."""

    def nested(left: Sequence[int | str], counters: list[str], sums: list[str]) -> list[str]:
        if not left:
            return body(counters, list(sums))
        if left[0] == 1:
            return nested(left[1:], [*counters, "0"], sums)
        carried = [Carried(kind, s) for s in sums]
        with w.loop(left[0], 1, carried) as i:
            after = nested(left[1:], [*counters, i], [c.name for c in carried])
            for c, s in zip(carried, after, strict=True):
                c.next = s
        return [c.name for c in carried]

    return nested(sizes, [], sums)
