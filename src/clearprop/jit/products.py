"""Matrix products of a schedule as calls of kernels: which kernel, and the loop over a batch."""

from __future__ import annotations

from dataclasses import dataclass

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


def write_product(p: Product, target: Target) -> tuple[str, str, frozenset[str], frozenset[str]]:
    """(body, kernel, declarations, shared functions): the body of a function of (a, b, c[, bias])
    that calls the function `kernel`, whose text refers to itself as @KERNEL.
    """
    shape, a, b = product_of(p)
    write = tiny.kernel if tiny.suits(shape, target) else gemm.kernel
    text, declares, shared = write("KERNEL", shape, target)
    w = Writer()
    batch = p.a.shape[:-2]
    strides = {
        "a": a.batch,
        "b": b.batch,
        "c": tuple(s * shape.m * shape.n for s in row_major(batch)),
    }
    element = stored(shape.dtype)

    def inner(counters: list[str]) -> None:
        args = []
        for name, offset in (("a", a.offset), ("b", b.offset), ("c", 0)):
            at = f"%{name}"
            if offset:
                at = w.emit(f"getelementptr {element}, ptr {at}, i64 {offset}")
            for i, s in zip(counters, strides[name], strict=True):
                if s:
                    step = w.emit(f"mul i64 {i}, {s}")
                    at = w.emit(f"getelementptr {element}, ptr {at}, i64 {step}")
            args.append(f"ptr {at}")
        if p.bias is not None:
            at = w.emit(f"getelementptr {element}, ptr %bias, i64 {p.bias.offset}")
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
