"""Equations as members of nests of loops: what is worked out at every point, how it is joined."""

from __future__ import annotations

from clearprop.graph import Equation, Var
from clearprop.graph.formula import Call, Constant, Input, Tree, formula_of
from clearprop.jit.access import Access, Shape, row_major, squeezed
from clearprop.jit.expressions import why_not
from clearprop.jit.indexing import written_as
from clearprop.jit.nest import Counter, Member, Read, read_of


def copy(equation: Equation, x: Access, out: Var) -> Member:
    """out as the elements of x in order, whatever its shape."""
    axes = squeezed(x.shape)
    strides = row_major(x.shape)
    space = tuple(x.shape[i] for i in axes)
    return Member(equation, Input(0), (read_of(x),), out, space, tuple(strides[i] for i in axes))


def filled(equation: Equation, out: Var) -> Member:
    space = tuple(n for n in out.aval.shape if n != 1)
    return Member(equation, Constant(0), (), out, space, row_major(space), alone=True)


def whole_windows(equation: Equation, shape: Shape) -> set[int]:
    """The axes of windows that are as large as they."""
    p = equation.params
    first = len(shape) - len(p["kernel"])
    if p["kernel"] != shape[first:] or any(map(any, p["padding"])):
        return set()
    return set(range(first, len(shape)))


def mapped(equation: Equation, inputs: tuple[Access, ...]) -> Member | str:
    out = equation.output
    try:
        tree = formula_of(equation.prim, equation.params)
    except ValueError as reason:
        return str(reason)
    dtypes = [v.aval.dtype.short for v in equation.inputs]
    missing = why_not(tree, dtypes, out.aval.dtype.short)
    if missing:
        return missing
    return elementwise(equation, tree, tuple(map(read_of, inputs)), out)


def elementwise(
    equation: Equation, tree: Tree, operands: tuple[Read | Counter, ...], out: Var
) -> Member:
    space = tuple(n for n in out.aval.shape if n != 1)
    return Member(equation, tree, operands, out, space, row_major(space))


def reduction(equation: Equation, inputs: tuple[Access, ...], combine: str) -> Member | str:
    (x,), out = inputs, equation.output
    d, to = equation.inputs[0].aval.dtype, out.aval.dtype
    if "f16" in (d.short, to.short):
        return "float16 is a type for storage"
    tree: Tree = Input(0) if d is to else Call("cast", (Input(0), Constant(to)))
    dims = {i % max(1, len(x.shape)) for i in equation.params["dim"]}
    return joined(equation, tree, (read_of(x),), x.shape, dims, combine)


def joined(
    equation: Equation,
    tree: Tree,
    operands: tuple[Read | Counter, ...],
    shape: Shape,
    dims: set[int],
    combine: str,
    out: Var | None = None,
) -> Member:
    """Join tree(operands), taken over `shape`, along dims."""
    axes = squeezed(shape)
    kept = row_major(tuple(1 if i in dims else n for i, n in enumerate(shape)))
    reduced = frozenset(j for j, i in enumerate(axes) if i in dims)
    return Member(
        equation, tree, operands, out or equation.output,
        space=tuple(shape[i] for i in axes),
        write=tuple(kept[i] for i in axes),
        combine=combine if reduced else None,
        reduced=reduced,
    )  # fmt: skip


def choice(equation: Equation, inputs: tuple[Access, ...], widest: int) -> Member | str:
    """One element of each row, by looking at all of the row: joins the loops around it."""
    x, index = inputs
    dim = equation.params["dim"] % max(1, len(x.shape))
    if not x.shape or index.shape[dim] != 1 or not 1 < x.shape[dim] <= widest:
        return "gathers by index"
    shape = tuple(x.shape[i] if i == dim else n for i, n in enumerate(index.shape))
    x = Access(x.base, x.offset, shape, _strides(x, shape))
    index = Access(index.base, index.offset, shape, _strides(index, shape))
    axis = squeezed(shape).index(dim)
    chosen = Call("eq", (Input(2), _checked(Input(1), x.shape[dim], equation)))
    tree = Call("select", (chosen, Input(0), Constant(0)))
    operands = (read_of(x), read_of(index), Counter(axis))
    if equation.output.aval.dtype.short == "f16":
        return "float16 is a type for storage"
    return joined(equation, tree, operands, shape, {dim}, "add")


def write_by_choice(equation: Equation, inputs: tuple[Access, ...], widest: int) -> Member | str:
    """base with one element of each row changed, as a choice at every element."""
    combine = written_as(equation)
    base, index, src = inputs
    dim = equation.params["dim"] % max(1, len(base.shape))
    shape = base.shape
    same = all(index.shape[i] == n for i, n in enumerate(shape) if i != dim)
    if not shape or index.shape[dim] != 1 or not same or not 1 < shape[dim] <= widest:
        return "scatters by index"
    if equation.output.aval.dtype.short == "f16":
        return "float16 is a type for storage"
    at = Access(index.base, index.offset, shape, _strides(index, shape))
    once = tuple(0 if i == dim else s for i, s in enumerate(src.strides))
    given = Access(src.base, src.offset, shape, once)
    axis = squeezed(shape).index(dim)
    chosen = Call("eq", (Input(3), _checked(Input(1), shape[dim], equation)))
    new = Input(2) if combine == "set" else Call(combine, (Input(0), Input(2)))
    tree = Call("select", (chosen, new, Input(0)))
    operands = (read_of(base), read_of(at), read_of(given), Counter(axis))
    return elementwise(equation, tree, operands, equation.output)


def _strides(x: Access, shape: Shape) -> Shape:
    """The strides of x for a shape that has 1 in places where x has more."""
    return tuple(s if n != 1 else 0 for s, n in zip(x.strides, shape, strict=True))


def _checked(index: Tree, size: int, equation: Equation) -> Tree:
    """An index as int64 that must be in range(size)."""
    return Call("checked", (index, Constant((size, equation))))
