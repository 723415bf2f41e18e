"""Matrix products as LLVM IR: C = A B, then + bias, then relu, for matrices of fixed sizes.

A tile of C stays in registers while a loop runs over k: rows times two vectors of columns, as many
as the processor has registers for. B is brought, a panel of columns at a time, into the order in
which the tiles read it, where it is transposed or so large that its rows lie far apart. Where A is
too large for the cache, some panels are packed together and every tile's rows meet all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from clearprop.jit.target import Target
from clearprop.jit.transpose import transposed
from clearprop.jit.writer import SIZES, TYPES, Carried, Writer, splat

TILES = {"avx512": (12, 2), "avx2": (6, 2), "neon": (8, 3), "sse2": (4, 2)}  # rows, vectors
FAR_APART = 1 << 16  # elements of B from which on a panel is copied before it is used
BLOCK = 1 << 19  # bytes of B that are packed together where A is larger than that
AHEAD = 8  # tiles that share the work of asking for the next panel


Written = tuple[str, frozenset[str], frozenset[str]]


@dataclass(frozen=True)
class Product:
    """C (m, n) = op(A) op(B), row by row, `ld` elements from one row to the next. With `ta`, A is
    stored as (k, m); with `tb`, B as (n, k). `bias`: n numbers are added to every row.
    """

    m: int
    n: int
    k: int
    ta: bool
    tb: bool
    dtype: str
    lda: int
    ldb: int
    ldc: int
    bias: bool = False
    relu: bool = False


@cache
def kernel(name: str, p: Product, target: Target) -> tuple[str, frozenset[str], frozenset[str]]:
    """The text of `void @name(ptr a, ptr b, ptr c[, ptr bias])`, the declarations it needs, and
    functions that kernels share.
    """
    if p.m == 1 and p.tb and p.k >= target.lanes(p.dtype):
        return _Dots(name, p, target).write()
    return _Tiles(name, p, target).write()


class _Kernel(ABC):
    def __init__(self, name: str, p: Product, target: Target) -> None:
        self.name, self.p, self.target = name, p, target
        self.lanes = target.lanes(p.dtype)
        self.t = TYPES[p.dtype]
        self.v = f"<{self.lanes} x {self.t}>"
        self.size = SIZES[p.dtype]
        self.functions: dict[str, str] = {}
        self.shared: set[str] = set()
        self.declares: set[str] = set()

    def at(self, w: Writer, base: str, *steps: tuple[str | int, int]) -> str:
        """An address: base + sum of index * stride elements."""
        fixed = sum(i * s for i, s in steps if isinstance(i, int))
        for i, s in steps:
            if isinstance(i, str):
                offset = i if s == 1 else w.emit(f"mul i64 {i}, {s}")
                base = w.emit(f"getelementptr {self.t}, ptr {base}, i64 {offset}")
        return w.emit(f"getelementptr {self.t}, ptr {base}, i64 {fixed}") if fixed else base

    def spread(self, w: Writer, x: str) -> str:
        """One number at every lane."""
        one = w.emit(f"insertelement {self.v} poison, {self.t} {x}, i64 0")
        return w.emit(f"shufflevector {self.v} {one}, {self.v} poison,"
                      f" <{self.lanes} x i32> zeroinitializer")  # fmt: skip

    def fma(self, w: Writer, a: str, b: str, c: str) -> str:
        f = f"@llvm.fmuladd.v{self.lanes}{self.p.dtype}"
        return w.call(self.v, f, f"{self.v} {a}", f"{self.v} {b}", f"{self.v} {c}")

    def mask(self, valid: int) -> str:
        return "<" + ", ".join(f"i1 {str(j < valid).lower()}" for j in range(self.lanes)) + ">"

    def load(self, w: Writer, at: str, valid: int) -> str:
        if valid == self.lanes:
            return w.emit(f"load {self.v}, ptr {at}, align {self.size}")
        f, i1 = f"@llvm.masked.load.v{self.lanes}{self.p.dtype}.p0", f"<{self.lanes} x i1>"
        w.declares.add(f"declare {self.v} {f}(ptr, {i1}, {self.v})")
        return w.emit(f"call {self.v} {f}(ptr align {self.size} {at}, {i1} {self.mask(valid)},"
                      f" {self.v} zeroinitializer)")  # fmt: skip

    def store(self, w: Writer, x: str, at: str, valid: int) -> None:
        if valid == self.lanes:
            w.do(f"store {self.v} {x}, ptr {at}, align {self.size}")
            return
        f, i1 = f"@llvm.masked.store.v{self.lanes}{self.p.dtype}.p0", f"<{self.lanes} x i1>"
        w.declares.add(f"declare void {f}({self.v}, ptr, {i1})")
        w.do(f"call void {f}({self.v} {x}, ptr align {self.size} {at}, {i1} {self.mask(valid)})")

    def finish(self, w: Writer, x: str, bias: str | None) -> str:
        """The epilogue; nan stays nan."""
        if bias is not None:
            x = w.emit(f"fadd contract {self.v} {x}, {bias}")
        if self.p.relu:
            zero = splat(0, self.p.dtype, self.lanes)
            low = w.emit(f"fcmp ole {self.v} {x}, {zero}")
            x = w.emit(f"select <{self.lanes} x i1> {low}, {self.v} {zero}, {self.v} {x}")
        return x

    def function(self, name: str, arguments: str, w: Writer) -> None:
        """Keep a function that was written."""
        w.do("ret void")
        self.declares |= w.declares
        self.functions[name] = "\n".join(
            [f"define internal void @{name}({arguments}) noinline #0 {{", "entry:", *w.lines, "}"]
        )

    @abstractmethod
    def write(self) -> Written:
        """The whole kernel."""

    @property
    def text(self) -> str:
        return "\n".join(self.functions.values())


class _Tiles(_Kernel):
    """Tiles of C, panel by panel of columns."""

    def write(self) -> Written:
        p, w = self.p, Writer()
        most, vectors = TILES[self.target.name]
        if p.m <= most // 2:
            vectors = min(4 * vectors, max(vectors, (most * vectors) // max(p.m, 1)))
        tiles = -(-p.m // most)
        equal = [r for r in range(most, most // 2, -1) if p.m % r == 0]  # one function will do
        self.rows = equal[0] if equal else -(-p.m // tiles)
        self.last_rows = p.m - self.rows * (-(-p.m // self.rows) - 1)
        self.width = vectors * self.lanes
        self.packs = p.tb or (p.n * p.k >= FAR_APART and p.m > 2 * most)
        self.together = self._panels_together()
        # columns of A that meet in few places of the cache are packed, those of some tiles together
        self.turns = self.together > 1 and p.ta and p.lda * self.size % 4096 == 0
        self.turned = max(1, min(8, BLOCK // 2 // (p.k * self.rows * self.size)))
        self.ahead = 0 if self.together > 1 else self._lines_ahead()
        if self.packs:
            space = p.k * min(self.width, -(-p.n // self.lanes) * self.lanes) * self.together
            self.panel = w.emit(f"alloca {self.t}, i64 {space}, align 64")
        if self.turns:
            space = p.k * self.rows * self.turned + self.lanes
            self.part = w.emit(f"alloca {self.t}, i64 {space}, align 64")
        whole, rest = divmod(p.n, self.width)
        if self.together > 1:
            self._blocks(w, whole, rest)
            whole, rest = 0, 0
        if whole == 1:
            self._columns(w, 0, self.width)
        elif whole:
            with w.loop(whole * self.width, self.width) as j:
                self._columns(w, j, self.width)
        if rest:
            self._columns(w, whole * self.width, rest)
        bias = ", ptr %bias" if p.bias else ""
        self.function(self.name, f"ptr %a, ptr %b, ptr %c{bias}", w)
        return self.text, frozenset(self.declares), frozenset(self.shared)

    def _panels_together(self) -> int:
        """How many panels are packed together, so that the rows of a tile meet all of them."""
        p = self.p
        if not self.packs or p.m * p.k * self.size <= BLOCK:
            return 1
        return max(1, min(8, BLOCK // (p.k * self.width * self.size), p.n // self.width))

    def _blocks(self, w: Writer, whole: int, rest: int) -> None:
        """All of C, some panels at a time; `rest` columns are less than a panel."""
        step = self.together * self.width
        full, left = divmod(whole, self.together)
        if full:
            with w.loop(full * step, step) as j:
                self._block(w, j, self.together, 0)
        if left or rest:
            self._block(w, full * step, left, rest)

    def _block(self, w: Writer, j: str | int, count: int, rest: int) -> None:
        """`count` panels and one of `rest` columns: packed one after the other, then every tile's
        rows with all of them.
        """
        p, wide = self.p, self.width
        panel = self.panel
        size = p.k * wide
        if count:
            with w.loop(count * wide, wide) as q:
                column = q if j == 0 else w.emit(f"add i64 {q}, {j}")
                self.panel = self.at(w, panel, (q, p.k))
                self._pack(w, column, wide)
        if rest:
            self.panel = self.at(w, panel, (count, size))
            last = (
                count * wide + j if isinstance(j, int) else w.emit(f"add i64 {j}, {count * wide}")
            )
            self._pack(w, last, rest)
        self.panel = panel
        lanes = self.lanes

        def row(rows: int, i: str | int, a: str) -> None:
            c = self.at(w, "%c", (i, p.ldc), (j, 1))

            def call(q: str | int, width: int) -> None:
                b = self.at(w, panel, (q, p.k))
                given = [f"ptr {a}", f"ptr {b}", f"ptr {self.at(w, c, (q, 1))}"]
                if p.bias:
                    given.append(f"ptr {self.at(w, '%bias', (j, 1), (q, 1))}")
                name = self._tile(rows, width, -(-width // lanes) * lanes)
                w.do(f"call void @{name}({', '.join(given)})")

            if count:
                with w.loop(count * wide, wide) as q:
                    call(q, wide)
            if rest:
                call(count * wide, rest)

        tiles = -(-p.m // self.rows)
        equal = tiles if self.last_rows == self.rows else tiles - 1
        parts = [(0, equal, self.rows), (equal * self.rows, tiles - equal, self.last_rows)]
        for first, count_of, rows in parts:
            if not self.turns:
                for i in self._steps(w, first, count_of, rows):
                    row(rows, i, self.at(w, "%a", (i, 1 if p.ta else p.lda)))
                continue
            groups = count_of // self.turned
            for i in self._steps(w, first, groups, rows * self.turned):
                self._turned(w, i, rows, self.turned, row)
            left = count_of - groups * self.turned
            if left:
                self._turned(w, first + groups * rows * self.turned, rows, left, row)

    def _steps(self, w: Writer, first: int, count: int, step: int) -> Iterator[str | int]:
        """first, first + step, ..., `count` of them."""
        if count == 1:
            yield first
        elif count:
            with w.loop(count * step, step) as i:
                yield w.emit(f"add i64 {i}, {first}") if first else i

    def _turned(
        self, w: Writer, i: str | int, rows: int, tiles: int,
        row: Callable[[int, str | int, str], None],
    ) -> None:  # fmt: skip
        """Some tiles from row i on, after their part of A was packed: one tile after the other, for
        every k its rows.
        """
        p, lanes = self.p, self.lanes
        a = self.at(w, "%a", (i, 1))
        with w.loop(p.k) as k:
            for tile in range(tiles):
                to = self.at(w, self.part, (k, rows), (tile * rows, p.k))
                for r in range(0, rows, lanes):
                    at = self.at(w, a, (k, p.lda), (tile * rows + r, 1))
                    x = self.load(w, at, min(rows - r, lanes))
                    self.store(w, x, self.at(w, to, (r, 1)), min(rows - r, lanes))
        for j in self._steps(w, 0, tiles, 1):
            here = w.emit(f"mul i64 {j}, {rows}")
            here = w.emit(f"add i64 {here}, {i}")
            row(rows, here, self.at(w, self.part, (j, rows * p.k)))

    def _lines_ahead(self) -> int:
        """How many cache lines of the next panel a tile asks for in a round of its loop over k, so
        that they have come when they are packed; 0 where that does not pay.
        """
        p = self.p
        tiles = p.m // self.rows
        if not self.packs or tiles < AHEAD or not 64 <= p.k <= 1024 or p.n < 2 * self.width:
            return 0  # a long panel would push out of the cache what was asked for first
        if p.tb and p.ldb != p.k:
            return 0
        return self.width * self.size // 64

    def _ask(self, w: Writer, at: str, locality: int) -> None:
        w.declares.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        w.do(f"call void @llvm.prefetch.p0(ptr {at}, i32 0, i32 {locality}, i32 1)")

    def _columns(self, w: Writer, j: str | int, width: int) -> None:
        """All rows of some columns of C."""
        p = self.p
        if self.packs:
            self._pack(w, j, width)
            b, ldb = self.panel, -(-width // self.lanes) * self.lanes
        else:
            b, ldb = self.at(w, "%b", (j, 1)), p.ldb
        c = self.at(w, "%c", (j, 1))
        more = [f"ptr {self.at(w, '%bias', (j, 1))}"] if p.bias else []
        ahead = ""
        if self.ahead:
            ahead = self.at(w, "%b", (j, p.ldb if p.tb else 1), (self.width, p.ldb if p.tb else 1))
        tiles = -(-p.m // self.rows)

        def call(rows: int, i: str | int) -> None:
            name = self._tile(rows, width, ldb)
            a = self.at(w, "%a", (i, 1 if p.ta else p.lda))
            at = self.at(w, c, (i, p.ldc))
            given = [f"ptr {a}", f"ptr {b}", f"ptr {at}", *more]
            if self.ahead:  # each tile asks for another part
                first = w.emit(f"udiv i64 {i}, {self.rows}")
                step = (p.k // AHEAD) * (self.width if p.tb else p.ldb)
                given.append(f"ptr {self.at(w, ahead, (first, step))}")
            w.do(f"call void @{name}({', '.join(given)})")

        equal = tiles if self.last_rows == self.rows else tiles - 1
        if equal == 1:
            call(self.rows, 0)
        elif equal:
            with w.loop(equal * self.rows, self.rows) as i:
                call(self.rows, i)
        if equal != tiles:
            call(self.last_rows, equal * self.rows)

    def _tile(self, rows: int, width: int, ldb: int) -> str:
        """The function for one tile: rows of `width` columns."""
        p, lanes = self.p, self.lanes
        name = f"{self.name}.t{rows}x{width}"
        if name in self.functions:
            return name
        w = Writer()
        vectors = -(-width // lanes)
        valid = [min(lanes, width - v * lanes) for v in range(vectors)]
        zero = splat(0, p.dtype, lanes)
        sums = {(r, v): Carried(self.v, zero) for r in range(rows) for v in range(vectors)}
        if p.k >= 64 and p.m * p.n > FAR_APART // 4:  # where the result goes
            for r in range(rows):
                for v in range(vectors):
                    self._ask(w, self.at(w, "%c", (r, p.ldc), (v * lanes, 1)), 3)
        with w.loop(p.k, 1, list(sums.values())) as k:
            if self.ahead:
                row = w.emit(f"lshr i64 {k}, {AHEAD.bit_length() - 1}")
                for line in range(self.ahead):
                    step = self.width if p.tb else p.ldb
                    self._ask(w, self.at(w, "%next", (row, step), (line * 64 // self.size, 1)), 2)
            down, along = (1, rows) if self.turns else (1, p.lda) if p.ta else (p.lda, 1)
            a = self.at(w, "%a", (k, along))
            b = self.at(w, "%b", (k, ldb))
            bs = [
                self.load(w, self.at(w, b, (v * lanes, 1)), lanes if self.packs else valid[v])
                for v in range(vectors)
            ]
            for r in range(rows):
                at = self.at(w, a, (r, down))
                x = self.spread(w, w.emit(f"load {self.t}, ptr {at}, align {self.size}"))
                for v in range(vectors):
                    sums[r, v].next = self.fma(w, x, bs[v], sums[r, v].name)
        for v in range(vectors):
            bias = None
            if p.bias:
                bias = self.load(w, self.at(w, "%bias", (v * lanes, 1)), valid[v])
            for r in range(rows):
                x = self.finish(w, sums[r, v].name, bias)
                self.store(w, x, self.at(w, "%c", (r, p.ldc), (v * lanes, 1)), valid[v])
        more = ", ptr %bias" if p.bias else ""
        more += ", ptr %next" if self.ahead else ""
        self.function(name, f"ptr %a, ptr %b, ptr %c{more}", w)
        return name

    # ------------------------------------------------------------------ panels of B
    def _pack(self, w: Writer, j: str | int, width: int) -> None:
        """Columns of B, one row of the panel after the other."""
        p, lanes = self.p, self.lanes
        vectors = -(-width // lanes)
        wide = vectors * lanes
        if not p.tb:
            with w.loop(p.k) as k:
                for v in range(vectors):
                    valid = min(lanes, width - v * lanes)
                    x = self.load(w, self.at(w, "%b", (k, p.ldb), (j, 1), (v * lanes, 1)), valid)
                    self.store(w, x, self.at(w, self.panel, (k, wide), (v * lanes, 1)), lanes)
            return
        for v in range(vectors):
            valid = min(lanes, width - v * lanes)
            source = self.at(w, "%b", (j, p.ldb), (v * lanes, p.ldb))
            target = self.at(w, self.panel, (v * lanes, 1))
            whole, rest = divmod(p.k, lanes)
            if whole:
                name = self._turn()
                with w.loop(whole * lanes, lanes) as k:
                    self._call_turn(w, name, source, target, k, wide, valid)
                if rest:  # the last block again, further back
                    self._call_turn(w, name, source, target, p.k - lanes, wide, valid)
                continue
            with w.loop(p.k) as k:
                for r in range(lanes):
                    at = self.at(w, source, (min(r, valid - 1), p.ldb), (k, 1))
                    x = w.emit(f"load {self.t}, ptr {at}, align {self.size}")
                    w.do(f"store {self.t} {x}, ptr {self.at(w, target, (k, wide), (r, 1))}")

    def _call_turn(
        self, w: Writer, name: str, source: str, target: str, k: str | int, wide: int, rows: int
    ) -> None:
        source, target = self.at(w, source, (k, 1)), self.at(w, target, (k, wide))
        ld = self.p.ldb
        w.do(f"call void @{name}(ptr {source}, i64 {ld}, i64 {rows}, ptr {target}, i64 {wide})")

    def _turn(self) -> str:
        """The function that transposes a square of lanes x lanes; rows that are not there are
        copies of the last one.
        """
        name = f"cp.turn.{self.p.dtype}x{self.lanes}"
        w, lanes = Writer(), self.lanes
        rows, at = [], "%from"
        for r in range(lanes):
            if r:
                there = w.emit(f"icmp ugt i64 %rows, {r}")
                step_on = w.emit(f"select i1 {there}, i64 %ld, i64 0")
                at = w.emit(f"getelementptr {self.t}, ptr {at}, i64 {step_on}")
            rows.append(self.load(w, at, lanes))
        rows = transposed(w, self.p.dtype, rows)
        at = "%to"
        for r, x in enumerate(rows):
            if r:
                at = w.emit(f"getelementptr {self.t}, ptr {at}, i64 %wide")
            self.store(w, x, at, lanes)
        self.function(name, "ptr %from, i64 %ld, i64 %rows, ptr %to, i64 %wide", w)
        self.shared.add(self.functions.pop(name))
        return name


class _Dots(_Kernel):
    """One row times the rows of a stored transpose: scalar products along k."""

    def write(self) -> Written:
        p, w = self.p, Writer()
        together = 8
        whole, rest = divmod(p.n, together)
        if whole:
            with w.loop(whole * together, together) as j:
                self._some(w, j, together)
        if rest:
            self._some(w, whole * together, rest)
        bias = ", ptr %bias" if p.bias else ""
        self.function(self.name, f"ptr %a, ptr %b, ptr %c{bias}", w)
        return self.text, frozenset(self.declares), frozenset(self.shared)

    def _some(self, w: Writer, j: str | int, count: int) -> None:
        p, lanes = self.p, self.lanes
        zero = splat(0, p.dtype, lanes)
        sums = [Carried(self.v, zero) for _ in range(count)]
        whole, rest = divmod(p.k, lanes)

        def step(k: str | int, valid: int) -> list[str]:
            step = p.lda if p.ta else 1
            if step == 1 or p.k == 1:
                x = self.load(w, self.at(w, "%a", (k, 1)), valid)
            else:
                x = self._gathered(w, self.at(w, "%a", (k, step)), step, valid)
            out = []
            for r, s in enumerate(sums):
                at = self.at(w, "%b", (j, p.ldb), (r, p.ldb), (k, 1))
                out.append(self.fma(w, x, self.load(w, at, valid), s.name))
            return out

        with w.loop(whole * lanes, lanes, sums) as k:
            for s, new in zip(sums, step(k, lanes), strict=True):
                s.next = new
        if rest:
            for s, new in zip(sums, step(whole * lanes, rest), strict=True):
                s.name = new
        for r, s in enumerate(sums):
            total = w.call(self.t, f"@llvm.vector.reduce.fadd.v{lanes}{p.dtype}",
                           f"{self.t} -0.0", f"{self.v} {s.name}").strip()  # fmt: skip
            w.lines[-1] = w.lines[-1].replace("= call", "= call reassoc")
            if p.bias:
                b = w.emit(f"load {self.t}, ptr {self.at(w, '%bias', (j, 1), (r, 1))}")
                total = w.emit(f"fadd {self.t} {total}, {b}")
            if p.relu:
                low = w.emit(f"fcmp ole {self.t} {total}, 0.0")
                total = w.emit(f"select i1 {low}, {self.t} 0.0, {self.t} {total}")
            w.do(f"store {self.t} {total}, ptr {self.at(w, '%c', (j, 1), (r, 1))}")

    def _gathered(self, w: Writer, at: str, step: int, valid: int) -> str:
        x = splat(0, self.p.dtype, self.lanes)
        for r in range(valid):
            one = w.emit(f"load {self.t}, ptr {self.at(w, at, (r, step))}, align {self.size}")
            x = w.emit(f"insertelement {self.v} {x}, {self.t} {one}, i64 {r}")
        return x
