"""Einstein summation: every pair of operands becomes one batched matrix product.

An operand is a tensor whose axes have labels. Labels repeated within an operand take its diagonal,
labels that nobody else has are summed at once, and operands are joined two by two, the pair with
the smallest result first.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from clearprop.core import Tensor, bool_, wrap
from clearprop.errors import DtypeError, ShapeError, UnsupportedDtypeError
from clearprop.ops import elementwise as ew
from clearprop.ops import reductions
from clearprop.ops.broadcasting import constant, expand_to, here, need_tensors
from clearprop.ops.contract import matmul
from clearprop.ops.movement import permute, reshape_to

Labels = tuple[int, ...]  # letters are 0 to 51; axes of the ellipsis count down from -1
_LETTERS = string.ascii_uppercase + string.ascii_lowercase  # PyTorch's order
_DOTS = object()


def einsum(equation: Any, *operands: Any) -> Tensor:
    """Sums of products as Einstein wrote them: repeated labels are multiplied, labels that the
    result has not are summed.

    `...` stands for axes that broadcast. Without `->` the result has the labels that occur once, in
    alphabetic order. Also `einsum(x, [0, 1], y, [1, 2], [0, 2])`.

    >>> import clearprop as cp
    >>> cp.einsum("ij,jk->ik", cp.tensor([[1.0, 2.0]]), cp.tensor([[3.0], [4.0]]))
    tensor([[11.]])
    """
    if not isinstance(equation, str):
        operands, inputs, output = _sublists((equation, *operands))
    else:
        if len(operands) == 1 and isinstance(operands[0], list | tuple):
            operands = tuple(operands[0])
        inputs, output = _parsed(equation)
    if not operands:
        raise ShapeError(f"einsum: einsum(): must provide at least one operand{here()}")
    need_tensors("einsum", *operands)
    if len(inputs) != len(operands):
        word = "fewer" if len(operands) < len(inputs) else "more"
        raise ShapeError(
            f"einsum: einsum(): {word} operands were provided than specified in the equation:"
            f" {len(operands)} tensors, {len(inputs)} lists of subscripts{here()}"
        )
    dtypes = {x.dtype for x in operands}
    if len(dtypes) > 1:
        raise DtypeError(
            f"einsum: expected operands of one dtype but found {', '.join(map(str, dtypes))};"
            f" convert them with .to(...){here()}"
        )
    if bool_ in dtypes:
        raise UnsupportedDtypeError(
            "einsum: products of bool tensors are not implemented for 'Bool'; convert them with"
            f" .to(...){here()}"
        )
    return _contracted(operands, inputs, output)


# ---------------------------------------------------------------------- notation
def _parsed(equation: str) -> tuple[list[list[Any]], list[Any] | None]:
    left, arrow, right = equation.replace(" ", "").partition("->")
    at = equation.index
    inputs = [_subscripts(part, equation, at) for part in left.split(",")]
    return inputs, _subscripts(right, equation, at) if arrow else None


def _subscripts(part: str, equation: str, at: Any) -> list[Any]:
    found: list[Any] = []
    i = 0
    while i < len(part):
        if part.startswith("...", i):
            if _DOTS in found:
                raise ShapeError(
                    f"einsum: einsum(): found '.' in {part!r} for which an ellipsis was already"
                    f" found{here()}"
                )
            found.append(_DOTS)
            i += 3
            continue
        if part[i] not in _LETTERS:
            raise ShapeError(
                f"einsum: einsum(): invalid subscript given at index {at(part[i])} in the equation"
                f" string {equation!r}, subscripts must be in [a-zA-Z]{here()}"
            )
        found.append(_LETTERS.index(part[i]))
        i += 1
    return found


def _sublists(arguments: Sequence[Any]) -> tuple[tuple[Any, ...], list[list[Any]], Any]:
    pairs, last = divmod(len(arguments), 2)
    lists = [_sublist(arguments[2 * i + 1]) for i in range(pairs)]
    output = _sublist(arguments[-1]) if last else None
    return tuple(arguments[0 : 2 * pairs : 2]), lists, output


def _sublist(labels: Any) -> list[Any]:
    if not isinstance(labels, list | tuple):
        raise TypeError(
            "einsum: a string, or tensors each followed by a list of numbers, got"
            f" {type(labels).__name__}{here()}"
        )
    for label in labels:
        if label is not Ellipsis and not (isinstance(label, int) and 0 <= label < 52):
            raise ShapeError(
                "einsum: einsum(): not all numbers in a list of subscripts are in the range [0,"
                f" 52): {list(labels)}{here()}"
            )
    return [_DOTS if label is Ellipsis else label for label in labels]


# ---------------------------------------------------------------------- contraction
def _contracted(operands: Sequence[Tensor], inputs: Any, output: Any) -> Tensor:
    full = [_full(i, x, labels) for i, (x, labels) in enumerate(zip(operands, inputs, strict=True))]
    target = _target(full, output)
    sizes = _sizes(operands, full)
    terms = [_distinct(x, labels, sizes) for x, labels in zip(operands, full, strict=True)]
    while len(terms) > 1:
        i, j = _best(terms, target, sizes)
        others = [t for k, t in enumerate(terms) if k not in (i, j)]
        kept = set(target).union(*(labels for _, labels in others))
        terms = [*others, _joined(terms[i], terms[j], kept, sizes)]
    x, labels = _summed(*terms[0], set(target), whole=len(operands) == 1)
    x = permute(x, tuple(labels.index(label) for label in target if label in labels))
    shape = tuple(sizes[label] for label in target)
    missing = tuple(sizes[label] if label in labels else 1 for label in target)
    return expand_to(reshape_to(x, missing), shape)


def _full(i: int, x: Tensor, labels: list[Any]) -> Labels:
    """One label per axis: those of the ellipsis are -1 for the last, -2 for the one before, ..."""
    named = len(labels) - (_DOTS in labels)
    spare = x.ndim - named
    if _DOTS not in labels and spare:
        raise ShapeError(
            f"einsum: einsum(): the number of subscripts in the equation ({named}) does not match"
            f" the number of dimensions ({x.ndim}) for operand {i} and no ellipsis was"
            f" given{here()}"
        )
    if spare < 0:
        raise ShapeError(
            f"einsum: einsum(): the number of subscripts in the equation ({named}) is more than the"
            f" number of dimensions ({x.ndim}) for operand {i}{here()}"
        )
    out: list[int] = []
    for label in labels:
        out += range(-spare, 0) if label is _DOTS else [label]
    return tuple(out)


def _target(full: Sequence[Labels], output: Any) -> Labels:
    used = [label for labels in full for label in labels]
    dots = tuple(sorted({label for label in used if label < 0}))
    if output is None:
        return dots + tuple(sorted(x for x in set(used) if x >= 0 and used.count(x) == 1))
    out: list[int] = []
    for label in output:
        for one in dots if label is _DOTS else (label,):
            if one in out:
                raise ShapeError(
                    f"einsum: einsum(): output subscript {_LETTERS[one]} appears more than once in"
                    f" the output{here()}"
                )
            if one not in used:
                raise ShapeError(
                    f"einsum: einsum(): output subscript {_LETTERS[one]} does not appear in the"
                    f" equation for any input operand{here()}"
                )
            out.append(one)
    return tuple(out)


def _sizes(operands: Sequence[Tensor], full: Sequence[Labels]) -> dict[int, int]:
    sizes: dict[int, int] = {}
    for i, (x, labels) in enumerate(zip(operands, full, strict=True)):
        mine: dict[int, int] = {}
        for n, label in zip(x.shape, labels, strict=True):
            name = "..." if label < 0 else _LETTERS[label]
            if mine.setdefault(label, n) != n:
                raise ShapeError(
                    f"einsum: einsum(): subscript {name} is repeated for operand {i} but the sizes"
                    f" don't match, {n} != {mine[label]}{here()}"
                )
            seen = sizes.get(label, 1)
            if seen != n and 1 not in (seen, n):
                raise ShapeError(
                    f"einsum: einsum(): subscript {name} has size {n} for operand {i} which does"
                    f" not broadcast with previously seen size {seen}{here()}"
                )
            sizes[label] = n if seen == 1 else seen
    return sizes


Term = tuple[Tensor, Labels]


def _distinct(x: Tensor, labels: Labels, sizes: dict[int, int]) -> Term:
    """An operand without repeated labels, and without axes that broadcast."""
    for label in sorted(set(labels)):
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            x = _diagonal(x, i, j)
            labels = labels[:j] + labels[j + 1 :]
    wide = [k for k, label in enumerate(labels) if x.shape[k] == sizes[label]]
    if len(wide) < len(labels):
        x = reshape_to(x, tuple(x.shape[k] for k in wide))
    return x, tuple(labels[k] for k in wide)


def _diagonal(x: Tensor, i: int, j: int) -> Tensor:
    """The elements with equal indices on axes i < j, on axis i."""
    n = x.shape[i]
    shape = [1] * x.ndim
    shape[i] = shape[j] = n
    mask = wrap(np.eye(n, dtype=bool).reshape(shape), None)
    zero = constant(0, x.value.dtype, x.shape)
    return reductions.sum(ew.where(expand_to(mask, x.shape), x, zero), j, dtype=x.dtype)


def _volume(labels: Any, sizes: dict[int, int]) -> int:
    n = 1
    for label in labels:
        n *= sizes[label]
    return n


def _best(terms: list[Term], target: Labels, sizes: dict[int, int]) -> tuple[int, int]:
    """The pair whose joint result grows least over what it replaces."""
    if len(terms) == 2:
        return 0, 1
    best: tuple[Any, tuple[int, int]] | None = None
    for i in range(len(terms)):
        for j in range(i + 1, len(terms)):
            others = (labels for k, (_, labels) in enumerate(terms) if k not in (i, j))
            kept = set(target).union(*others)
            one, two = set(terms[i][1]), set(terms[j][1])
            growth = _volume((one | two) & kept, sizes) - _volume(one, sizes) - _volume(two, sizes)
            key = (growth, _volume(one | two, sizes))
            if best is None or key < best[0]:
                best = key, (i, j)
    assert best is not None
    return best[1]


def _summed(x: Tensor, labels: Labels, kept: set[int], whole: bool = False) -> Term:
    gone = tuple(k for k, label in enumerate(labels) if label not in kept)
    if gone:
        x = reductions.sum(x, gone, dtype=None if whole else x.dtype)  # sum() makes int64 of ints
    return x, tuple(label for label in labels if label in kept)


def _matrix(
    x: Tensor, labels: Labels, batch: Any, rows: Any, columns: Any, shape: tuple[int, ...]
) -> Tensor:
    """x as matrices; where its rows lie behind its columns, as the transpose of such, which needs
    no copy.
    """
    last = labels[-1]
    turned = last in rows and bool(columns)
    one, two = (columns, rows) if turned else (rows, columns)
    x = permute(x, tuple(labels.index(label) for label in (*batch, *one, *two)))
    if turned:
        return reshape_to(x, (*shape[:-2], shape[-1], shape[-2])).mT
    return reshape_to(x, shape)


def _joined(a: Term, b: Term, kept: set[int], sizes: dict[int, int]) -> Term:
    """Two operands as one: (batch, left, sum) @ (batch, sum, right)."""
    x, lx = _summed(*a, kept | set(b[1]))
    y, ly = _summed(*b, kept | set(lx))
    both = [label for label in lx if label in ly]
    batch = [label for label in both if label in kept]
    over = [label for label in both if label not in kept]
    left = [label for label in lx if label not in ly]
    right = [label for label in ly if label not in lx]
    labels = (*batch, *left, *right)
    shape = tuple(sizes[label] for label in labels)
    if not over:  # nothing to sum: a product of broadcast elements
        x = permute(x, tuple(lx.index(label) for label in (*batch, *left)))
        y = permute(y, tuple(ly.index(label) for label in (*batch, *right)))
        x = reshape_to(x, (*x.shape, *(1 for _ in right)))
        y = reshape_to(y, (*y.shape[: len(batch)], *(1 for _ in left), *y.shape[len(batch) :]))
        return expand_to(x, shape) * expand_to(y, shape), labels
    n, m, k, p = (_volume(group, sizes) for group in (batch, left, over, right))
    front = (n,) if batch else ()
    first = _matrix(x, lx, batch, left, over, (*front, m, k))
    second = _matrix(y, ly, batch, over, right, (*front, k, p))
    product = matmul(first, second)
    return reshape_to(product, shape), labels


__all__ = ["einsum"]
