"""Products of very small matrices: C is a few vectors, row after row, in registers; no loops.

Lane t of C holds element (t // n, t % n). For every k, what it is multiplied from is brought to
the lanes by a shuffle of a short stretch of A and of a row of B.
"""

from __future__ import annotations

from clearprop.jit.gemm import Product, Written
from clearprop.jit.target import Target
from clearprop.jit.writer import SIZES, TYPES, Writer, splat

LONGEST = 16  # products that are added up
VECTORS = 4  # vectors of C
TOGETHER = 8  # products from which on two sums are made side by side


def suits(p: Product, target: Target) -> bool:
    """Whether a product is small enough, and its operands lie packed."""
    lanes = target.lanes(p.dtype)
    rows = -(-lanes // p.n) + (lanes % p.n > 0)  # that a vector of C may have parts of
    a = p.m if p.ta else p.k * min(p.m, rows)
    b = p.n * p.k if p.tb else p.n
    return (
        p.m * p.n <= VECTORS * lanes
        and p.k <= LONGEST
        and max(a, b, p.n) <= 2 * lanes
        and p.lda == (p.m if p.ta else p.k)
        and p.ldb == (p.k if p.tb else p.n)
        and p.ldc == p.n
    )


def kernel(name: str, p: Product, target: Target) -> Written:
    """The text of `void @name(ptr a, ptr b, ptr c[, ptr bias])`, and the declarations it needs."""
    return _Tiny(p, target).write(name)


class _Tiny:
    def __init__(self, p: Product, target: Target) -> None:
        self.p = p
        self.lanes = target.lanes(p.dtype)
        self.t, self.size = TYPES[p.dtype], SIZES[p.dtype]
        self.w = Writer()
        self.rows: dict[tuple[str, int], str] = {}

    def write(self, name: str) -> Written:
        """The whole kernel."""
        p, w = self.p, self.w
        self.b = self._load("%b", 0, p.n * p.k) if p.tb else ""
        self.bias = self._load("%bias", 0, p.n) if p.bias else ""
        for first, lanes, valid in self._pieces():
            self._piece(first, [divmod(first + min(j, valid - 1), p.n) for j in range(lanes)])
        w.do("ret void")
        more = ", ptr %bias" if p.bias else ""
        head = f"define internal void @{name}(ptr %a, ptr %b, ptr %c{more}) #0 {{"
        text = "\n".join([head, "entry:", *w.lines, "}"])
        return text, frozenset(w.declares), frozenset()

    def _pieces(self) -> list[tuple[int, int, int]]:
        """C as vectors: where each begins, its lanes, and how many of them count."""
        out, at, left = [], 0, self.p.m * self.p.n
        while left:
            lanes = self.lanes
            while lanes > 1 and lanes // 2 >= left:
                lanes //= 2
            out.append((at, lanes, min(lanes, left)))
            at, left = at + lanes, left - min(lanes, left)
        return out

    def _piece(self, first: int, places: list[tuple[int, int]]) -> None:
        """One vector of C, with the elements at these rows and columns."""
        p, w, lanes = self.p, self.w, len(places)
        kind = f"<{lanes} x {self.t}>"
        top, rows = places[0][0], places[-1][0] - places[0][0] + 1
        part = "" if p.ta else self._load("%a", top * p.k, rows * p.k)
        together = 2 if p.k >= TOGETHER else 1  # sums that do not wait for each other
        sums: list[str] = []
        for k in range(p.k):
            if p.ta:
                a = self._pick(self._row("%a", k, p.m), p.m, [i for i, _ in places])
            else:
                a = self._pick(part, rows * p.k, [(i - top) * p.k + k for i, _ in places])
            if p.tb:
                b = self._pick(self.b, p.n * p.k, [j * p.k + k for _, j in places])
            else:
                b = self._pick(self._row("%b", k, p.n), p.n, [j for _, j in places])
            if k < together:
                sums.append(w.emit(f"fmul contract {kind} {a}, {b}"))
                continue
            old, f = sums[k % together], f"@llvm.fmuladd.v{lanes}{p.dtype}"
            sums[k % together] = w.call(kind, f, f"{kind} {a}", f"{kind} {b}", f"{kind} {old}")
        x = sums[0]
        for other in sums[1:]:
            x = w.emit(f"fadd contract {kind} {x}, {other}")
        if p.bias:
            bias = self._pick(self.bias, p.n, [j for _, j in places])
            x = w.emit(f"fadd contract {kind} {x}, {bias}")
        if p.relu:  # nan stays nan
            low = w.emit(f"fcmp ole {kind} {x}, {splat(0, p.dtype, lanes)}")
            zero = splat(0, p.dtype, lanes)
            x = w.emit(f"select <{lanes} x i1> {low}, {kind} {zero}, {kind} {x}")
        valid = min(lanes, p.m * p.n - first)
        x = self._pick(x, lanes, list(range(valid)))
        at = w.emit(f"getelementptr {self.t}, ptr %c, i64 {first}")
        w.do(f"store <{valid} x {self.t}> {x}, ptr {at}, align {self.size}")

    def _load(self, base: str, first: int, size: int) -> str:
        """Elements that lie one after the other, as one vector."""
        at = self.w.emit(f"getelementptr {self.t}, ptr {base}, i64 {first}") if first else base
        return self.w.emit(f"load <{size} x {self.t}>, ptr {at}, align {self.size}")

    def _row(self, base: str, k: int, n: int) -> str:
        """Row k, loaded once."""
        if (base, k) not in self.rows:
            self.rows[base, k] = self._load(base, k * n, n)
        return self.rows[base, k]

    def _pick(self, x: str, size: int, picks: list[int]) -> str:
        """The chosen elements of a vector."""
        if picks == list(range(size)):
            return x
        kind = f"<{size} x {self.t}>"
        chosen = ", ".join(f"i32 {i}" for i in picks)
        return self.w.emit(
            f"shufflevector {kind} {x}, {kind} poison, <{len(picks)} x i32> <{chosen}>"
        )
