"""Matrix products of a schedule as calls of kernels: which kernel, and the loop over a batch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from clearprop.jit import gemm, tiny
from clearprop.jit.access import Access, Shape, row_major
from clearprop.jit.schedule import Product
from clearprop.jit.target import Target
from clearprop.jit.writer import Writer, stored


@dataclass(frozen=True)
class Matrix:
    """Where a matrix lies: row by row with `ld` elements from one to the next, or (transposed)
    column by column; `batch` are its strides over the batch axes.
    """

    rows: int
    columns: int
    transposed: bool
    ld: int
    offset: int
    batch: Shape

    @property
    def turned(self) -> Matrix:
        """The transpose."""
        return Matrix(
            self.columns, self.rows, not self.transposed, self.ld, self.offset, self.batch
        )


def matrix(x: Access) -> Matrix:
    """The last two axes of x."""
    (m, n), (down, right) = x.shape[-2:], x.strides[-2:]
    batch = x.strides[:-2]
    if (right == 1 or n == 1) and (down >= n or m == 1):
        return Matrix(m, n, False, down if m > 1 else n, x.offset, batch)
    return Matrix(m, n, True, right if n > 1 else m, x.offset, batch)


def product_of(p: Product) -> tuple[gemm.Product, Matrix, Matrix]:
    """The product as a kernel sees it, with its operands in the kernel's order."""
    a, b = matrix(p.a), matrix(p.b)
    if p.flipped:
        a, b = b.turned, a.turned
    d = p.out.aval.dtype.short
    ldc = b.columns
    return (
        gemm.Product(
            a.rows, b.columns, a.columns, a.transposed, b.transposed, d, a.ld, b.ld, ldc,
            bias=p.bias is not None, relu=p.relu,
        ),
        a,
        b,
    )  # fmt: skip


@dataclass(frozen=True)
class Part:
    """Some of the rows (axis 0) or columns (1) of a product as its kernel sees it, or of the first
    axis of a batch (2).
    """

    axis: int
    start: int
    count: int


def parts_of(p: Product, n: int, target: Target) -> list[Part]:
    """A product in up to n parts of about one size."""
    shape, _, _ = product_of(p)
    batch = p.a.shape[:-2]
    if batch and batch[0] >= n:
        axis, size, grain = 2, batch[0], 1
    elif shape.m >= 4 * n and shape.m >= shape.n // 4:
        axis, size, grain = 0, shape.m, 4
    else:
        axis, size, grain = 1, shape.n, 2 * target.lanes(shape.dtype)
    step = -(-size // (n * grain)) * grain
    return [Part(axis, at, min(step, size - at)) for at in range(0, size, step)]


def write_product(
    p: Product, target: Target, part: Part | None = None
) -> tuple[str, str, frozenset[str], frozenset[str]]:
    """(body, kernel, declarations, shared functions): the body of a function of (a, b, c[, bias])
    that calls the function `kernel`, whose text refers to itself as @KERNEL.
    """
    shape, a, b = product_of(p)
    batch = p.a.shape[:-2]
    whole = shape.m * shape.n
    c_steps = tuple(s * whole for s in row_major(batch))
    c_offset = bias_offset = 0
    if part is not None and part.axis == 0:
        a = replace(a, offset=a.offset + part.start * (1 if a.transposed else a.ld))
        shape, c_offset = replace(shape, m=part.count), part.start * shape.ldc
    elif part is not None and part.axis == 1:
        b = replace(b, offset=b.offset + part.start * (b.ld if b.transposed else 1))
        shape, c_offset = replace(shape, n=part.count), part.start
        bias_offset = part.start
    elif part is not None:
        a = replace(a, offset=a.offset + part.start * a.batch[0])
        b = replace(b, offset=b.offset + part.start * b.batch[0])
        c_offset = part.start * math.prod(batch[1:]) * whole
        batch = (part.count, *batch[1:])
    write = tiny.kernel if tiny.suits(shape, target) else gemm.kernel
    text, declares, shared = write("KERNEL", shape, target)
    w = Writer()
    strides = {"a": a.batch, "b": b.batch, "c": c_steps}
    element = stored(shape.dtype)

    def inner(counters: list[str]) -> None:
        args = []
        for name, offset in (("a", a.offset), ("b", b.offset), ("c", c_offset)):
            at = f"%{name}"
            if offset:
                at = w.emit(f"getelementptr {element}, ptr {at}, i64 {offset}")
            for i, s in zip(counters, strides[name], strict=True):
                if s:
                    step = w.emit(f"mul i64 {i}, {s}")
                    at = w.emit(f"getelementptr {element}, ptr {at}, i64 {step}")
            args.append(f"ptr {at}")
        if p.bias is not None:
            at = w.emit(f"getelementptr {element}, ptr %bias, i64 {p.bias.offset + bias_offset}")
            args.append(f"ptr {at}")
        w.do(f"call void @KERNEL({', '.join(args)})")

    def nested(sizes: list[int], counters: list[str]) -> None:
        if not sizes:
            inner(counters)
            return
        with w.loop(sizes[0]) as i:
            nested(sizes[1:], [*counters, i])

    nested(list(batch), [])
    w.do("ret void")
    return "\n".join(w.lines), text, declares | w.declares, shared
