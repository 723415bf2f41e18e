"""Running sums and the like: one element after the other along an axis, as in eager mode; across,
several at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from clearprop.jit.access import Access, Shape, row_major
from clearprop.jit.expressions import Value, Vectors
from clearprop.jit.special import Code, Special, Spot, loops, moved, shifted
from clearprop.jit.target import Target
from clearprop.jit.writer import SIZES, Carried, Writer, stored, vector


@dataclass(eq=False)
class Running(Special):
    """out[i] = combine(out[i-1], x[i]) along dim, out[0] = x[0]."""

    combine: str = "add"
    dim: int = 0

    def write(self, target: Target, in_place: bool) -> Code:
        (x,) = self.inputs
        w, d = Writer(), self.out.aval.dtype.short
        to = row_major(x.shape)
        axes = [i for i, n in enumerate(x.shape) if n != 1 and i != self.dim]
        lanes = 1
        across = axes[-1] if axes and axes[-1] == len(x.shape) - 1 else None
        if across is not None and x.strides[across] == 1:
            lanes = target.vector_bits // (8 * SIZES[d])
            axes.remove(across)
        with loops(w, [x.shape[i] for i in axes]) as counters:
            source = moved(w, Spot("%p0", _at(x.strides, axes)), counters, d)
            target_at = moved(w, Spot("%p1", _at(to, axes)), counters, d)
            source = shifted(w, source, x.offset, d)
            n = x.shape[across] if lanes > 1 and across is not None else 1
            whole = n - n % lanes
            if whole:
                with w.loop(whole, lanes) as j:
                    self._run(w, d, lanes, x, to, moved(w, Spot(source, (1,)), [j], d),
                              moved(w, Spot(target_at, (1,)), [j], d))  # fmt: skip
            while whole < n:
                lanes = 1 << ((n - whole).bit_length() - 1)
                spots = [shifted(w, at, whole, d) for at in (source, target_at)]
                self._run(w, d, lanes, x, to, *spots)
                whole += lanes
        w.do("ret void")
        text = "\n".join(
            ["define internal void @KERNEL(ptr %p0, ptr %p1) #0 {", "entry:", *w.lines, "}"]
        )
        return Code(text, [x.base, self.out], set(w.declares))

    def _run(self, w: Writer, d: str, lanes: int, x: Access, to: Shape, a: str, b: str) -> None:
        """Along dim, for some neighbours."""
        kind, align = f"<{lanes} x {stored(d)}>", f"align {SIZES[d]}"
        vectors = Vectors(w, lanes)
        s, t, n = x.strides[self.dim], to[self.dim], x.shape[self.dim]
        first = w.emit(f"load {kind}, ptr {a}, {align}")
        w.do(f"store {kind} {first}, ptr {b}, {align}")
        if n == 1:
            return
        a, b = shifted(w, a, s, d), shifted(w, b, t, d)
        so_far = Carried(vector(d, lanes), self._as_value(w, d, lanes, first))
        with w.loop(n - 1, 1, [so_far]) as i:
            new = w.emit(f"load {kind}, ptr {moved(w, Spot(a, (s,)), [i], d)}, {align}")
            value = Value(self._as_value(w, d, lanes, new), d)
            so_far.next = vectors.apply(self.combine, [Value(so_far.name, d), value]).name
            stored_value = so_far.next
            if d == "bool":
                stored_value = w.emit(f"zext <{lanes} x i1> {stored_value} to {kind}")
            w.do(f"store {kind} {stored_value}, ptr {moved(w, Spot(b, (t,)), [i], d)}, {align}")

    def _as_value(self, w: Writer, d: str, lanes: int, x: str) -> str:
        return w.emit(f"icmp ne <{lanes} x i8> {x}, zeroinitializer") if d == "bool" else x


def _at(strides: Shape, axes: list[int]) -> Shape:
    return tuple(strides[i] for i in axes)
