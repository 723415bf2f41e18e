"""Where the elements of a value lie: an offset and a stride per axis into the memory of another.

Views compute nothing, so a compiled step does nothing for them: what reads a view reads the memory
behind it through an Access.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from clearprop.graph import Equation, Var

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Access:
    """Element (i, j, ...) of a value of this shape is element `offset + i*strides[0] + ...` of
    `base`. Axes of size 1 have stride 0.
    """

    base: Var
    offset: int
    shape: Shape
    strides: Shape

    @property
    def plain(self) -> bool:
        """Whether this is all of the base, in its order."""
        return self.offset == 0 and self.strides == row_major(self.shape)


def row_major(shape: Shape) -> Shape:
    """The strides of a packed array, in elements; 0 for axes of size 1."""
    out, step = [], 1
    for n in reversed(shape):
        out.append(step if n != 1 else 0)
        step *= n
    return tuple(out[::-1])


def whole(v: Var) -> Access:
    """All of v."""
    return Access(v, 0, v.aval.shape, row_major(v.aval.shape))


def _access(base: Var, offset: int, shape: Shape, strides: Any) -> Access:
    return Access(
        base, offset, shape, tuple(s if n != 1 else 0 for s, n in zip(strides, shape, strict=True))
    )


def through(x: Access, equation: Equation) -> Access | None:
    """The access of a View equation's result when its input is accessed as x; None where the
    elements must be moved.
    """
    p, shape = equation.params, equation.output.aval.shape
    match equation.prim.name:
        case "expand":
            new = len(shape) - len(x.shape)
            return _access(x.base, x.offset, shape, (0,) * new + x.strides)
        case "permute":
            return _access(x.base, x.offset, shape, [x.strides[d] for d in p["dims"]])
        case "slice":
            steps = [s * n for s, n in zip(x.strides, p["steps"], strict=True)]
            start = sum(s * a for s, a in zip(x.strides, p["starts"], strict=True))
            return _access(x.base, x.offset + start, shape, steps)
        case "flip":
            strides, offset = list(x.strides), x.offset
            for d in p["dims"]:
                offset += (x.shape[d] - 1) * strides[d]
                strides[d] = -strides[d]
            return _access(x.base, offset, shape, strides)
        case "window":
            d, (stride, steps) = p["dim"], (x.strides[p["dim"]], list(x.strides))
            steps[d] *= p["step"]
            return _access(x.base, x.offset, shape, [*steps, stride * p["dilation"]])
        case "diagonal":
            down, right = x.strides[-2:]
            start = down * max(0, -p["offset"]) + right * max(0, p["offset"])
            return _access(x.base, x.offset + start, shape, (*x.strides[:-2], down + right))
        case "reshape":
            found = reshaped(x.shape, x.strides, shape)
            return None if found is None else _access(x.base, x.offset, shape, found)
    return None


def reshaped(shape: Shape, strides: Shape, new: Shape) -> Shape | None:
    """Strides that give the same elements in the same order under a new shape, if there are any."""
    if 0 in new:
        return (0,) * len(new)
    old = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    out: list[int] = []
    i = 0
    wanted = list(new)
    while wanted:
        n = wanted.pop(0)
        if n == 1:
            out.append(0)
            continue
        # as many old axes as make up a whole number of new ones
        group, have = [old[i]], old[i][0]
        need, sizes = n, [n]
        i += 1
        while have != need:
            if have < need:
                have *= old[i][0]
                group.append(old[i])
                i += 1
            else:
                sizes.append(wanted.pop(0))
                need *= sizes[-1]
        for (_, outer), (n_inner, inner) in itertools.pairwise(group):
            if outer != inner * n_inner:
                return None
        step, steps = group[-1][1], []
        for size in reversed(sizes):
            steps.append(step if size != 1 else 0)
            step *= size
        out += steps[::-1]
    return tuple(out)


def squeezed(shape: Shape) -> tuple[int, ...]:
    """The axes that are not of size 1."""
    return tuple(i for i, n in enumerate(shape) if n != 1)
