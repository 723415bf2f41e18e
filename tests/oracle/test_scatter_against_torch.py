"""Writing and reading by index, diagonals, joins and cuts against PyTorch: value, dtype, shape,
first and second gradient; repeated indices, zeros, ties, 0-d, empty; the same type of error.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from against_torch import both, call, raises_the_same, rows

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4))
S = RNG.normal(size=(2, 4))
Q = RNG.normal(size=(3, 3))
CUBE = RNG.normal(size=(2, 3, 4))
INTS = RNG.integers(-5, 6, (3, 4))
ROWS = np.array([[0, 2, 2, 1], [1, 2, 0, 1]])  # places along dim 0, some of them twice
APART = np.array([[0, 2, 1, 1], [1, 0, 2, 0]])
COLUMNS = np.array([[3, 0], [1, 1], [2, 0]])
PICKS = np.array([2, 0])
TWICE = np.array([2, 0, 2])
MASK = np.array(
    [[True, False, True, False], [False, False, True, True], [True, True, False, False]]
)
ZEROS = np.array([[2.0, 0.0, 3.0, 4.0], [0.0, 5.0, 0.0, 2.0]])
VECTOR = RNG.normal(size=5)
SCALAR = np.array(1.5)


def scatter(*args, **kwargs):
    return lambda lib, x, index, src: lib.scatter(x, *args, index, src, **kwargs)


def reduce(how, dim=0, **kwargs):
    return lambda lib, x, index, src: lib.scatter_reduce(x, dim, index, src, how, **kwargs)


# PyTorch has no rule for a larger src, and none with reduce=
NO_RULE = ("larger", "add", "empty index", "amax excluded", "amin excluded")
SCATTER = [
    ("scatter", scatter(0), X, APART, S),
    ("larger", scatter(1), X, COLUMNS[:, :1], X),
    ("value", lambda lib, x, i: lib.scatter(x, 0, i, 2.5), X, APART),
    ("value", lambda lib, x, i: lib.scatter(x, 0, i, value=2.5), X, ROWS),
    ("method", lambda lib, x, i, s: x.scatter(0, i, s), X, APART, S),
    ("add", lambda lib, x, i, s: lib.scatter(x, 0, i, s, reduce="add"), X, ROWS, S),
    ("0-d", lambda lib, x, i, s: lib.scatter(x, 0, i, s), SCALAR, np.array(0), np.array(2.0)),
    ("empty index", scatter(0), X, np.zeros((0, 4), np.int64), S),
    ("integers", scatter(0), INTS, APART, INTS[:2]),
    ("scatter_add", lambda lib, x, i, s: lib.scatter_add(x, 0, i, s), X, ROWS, S),
    ("gather", lambda lib, x, i: lib.gather(x, 0, i), X, ROWS),
    ("gather", lambda lib, x, i: lib.gather(x, 1, i), X.T.copy().T, COLUMNS),
    ("gather", lambda lib, x, i: lib.gather(x, 0, i), SCALAR, np.array(0)),
    ("take_along_dim", lambda lib, x, i: lib.take_along_dim(x, i, 0), X, ROWS),
    ("take_along_dim", lambda lib, x, i: lib.take_along_dim(x, i), X, PICKS),
]
for _how in ("sum", "prod", "mean", "amax", "amin"):
    for _self in (True, False):
        SCATTER.append((f"{_how} {_self}", reduce(_how, include_self=_self), X, ROWS, S))
        SCATTER.append(
            (
                f"{_how} {'ties' if _self else 'excluded'}",
                reduce(_how, include_self=_self),
                ZEROS * 0 + 2,
                ROWS % 2,
                ZEROS * 0 + 2,
            )
        )
        SCATTER.append((f"{_how} ints", reduce(_how, include_self=_self), INTS, ROWS, INTS[:2]))


@pytest.mark.parametrize("row", rows(SCATTER))
def test_scatter(row):
    both(*row[1:], grad=row[0] not in NO_RULE)


@pytest.mark.parametrize("include_self", [True, False])
def test_scattered_products_with_zeros(include_self):
    f = reduce("prod", include_self=include_self)
    both(f, X, ROWS, ZEROS, second=False)
    both(f, X * MASK, ROWS, S, second=False)


INDEX = [
    ("index_select", lambda lib, x, i: lib.index_select(x, 0, i), X, TWICE),
    ("index_add", lambda lib, x, i, s: lib.index_add(x, 0, i, s), X, TWICE, X),
    ("index_add", lambda lib, x, i, s: lib.index_add(x, 1, i, s, alpha=2), X, PICKS, X[:, :2]),
    ("index_copy", lambda lib, x, i, s: lib.index_copy(x, 0, i, s), X, PICKS, S),
    ("index_copy", lambda lib, x, i, s: lib.index_copy(x, 1, i, s), X, PICKS, X[:, :2]),
    ("index_copy", lambda lib, x, i, s: lib.index_copy(x, -2, i, s), CUBE, PICKS, CUBE[:, :2]),
    ("index_fill", lambda lib, x, i: lib.index_fill(x, 0, i, 2.5), X, PICKS),
    ("index_fill", lambda lib, x, i, v: lib.index_fill(x, 1, i, v), X, PICKS, SCALAR),
    ("index_fill", lambda lib, x, i: lib.index_fill(x, 0, i, 2), INTS, TWICE),
    ("index_put", lambda lib, x, i, v: lib.index_put(x, (i,), v), X, PICKS, S),
    (
        "index_put",
        lambda lib, x, i, v: lib.index_put(x, (i, i), v, accumulate=True),
        X,
        TWICE,
        VECTOR[:3],
    ),
    ("index_put", lambda lib, x, v: lib.index_put(x, (x > 0,), v), X, SCALAR),
    ("masked_fill", lambda lib, x, mask: lib.masked_fill(x, mask, 2.0), X, MASK),
    ("masked_fill", lambda lib, x, mask, v: lib.masked_fill(x, mask, v), X, MASK, SCALAR),
    ("masked_select", lambda lib, x, mask: lib.masked_select(x, mask), X, MASK),
    ("masked_select", lambda lib, x, mask: lib.masked_select(x, mask), X, MASK[0]),
    ("masked_scatter", lambda lib, x, mask, s: lib.masked_scatter(x, mask, s), X, MASK, CUBE),
    (
        "masked_scatter",
        lambda lib, x, mask, s: lib.masked_scatter(x, mask, s),
        X,
        MASK[0],
        VECTOR.repeat(2),
    ),
    ("take", call("take"), X, np.array([[0, 5], [5, -1]])),
    ("put", call("put"), X, np.array([1, 5, -1]), VECTOR[:3]),
    ("put", call("put", accumulate=True), X, np.array([1, 1, -1]), VECTOR[:3]),
    ("where", lambda lib, mask: list(lib.where(mask)), MASK),
    ("where", lambda lib, mask, x: lib.where(mask, x, 1.0), MASK, X),
    ("where", lambda lib, mask, x: lib.where(mask, 1, x), MASK, X),
    ("where", lambda lib, mask: lib.where(mask, 1, 2), MASK),
    ("where", lambda lib, mask: lib.where(mask, 1.0, 2.0), MASK),
    ("nonzero", lambda lib, x: lib.nonzero(x), INTS),
    ("nonzero", lambda lib, x: list(lib.nonzero(x, as_tuple=True)), MASK),
    ("nonzero", lambda lib, x: lib.nonzero(x), np.array(3)),
    ("argwhere", call("argwhere"), INTS),
    ("argwhere", call("argwhere"), np.array(3)),
    ("select_scatter", lambda lib, x, s: lib.select_scatter(x, s, 0, -1), X, X[0]),
    ("slice_scatter", lambda lib, x, s: lib.slice_scatter(x, s, 1, 0, 4, 2), X, X[:, :2]),
    ("slice_scatter", lambda lib, x, s: lib.slice_scatter(x, s, 0, 1), X, S),
    ("diagonal_scatter", lambda lib, x, s: lib.diagonal_scatter(x, s), X, VECTOR[:3]),
    ("diagonal_scatter", lambda lib, x, s: lib.diagonal_scatter(x, s, 1, 2, 0), CUBE, X[:, :1]),
]


@pytest.mark.parametrize("row", rows(INDEX))
def test_index(row):
    both(*row[1:])


@pytest.mark.parametrize("how", ["prod", "mean", "amax", "amin"])
def test_index_reduce(how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch says that it may change
        both(lambda lib, x, i, s: x.index_reduce(0, i, s, how), X, TWICE, X * 2)
        both(
            lambda lib, x, i, s: x.index_reduce(1, i, s, how, include_self=False),
            X,
            PICKS,
            X[:, :2],
        )


DIAGONALS = [
    ("diagonal", call("diagonal"), X),
    ("diagonal", call("diagonal", 1), X),
    ("diagonal", call("diagonal", -1, 1, 2), CUBE),
    ("diagonal", call("diagonal", 9), X),
    ("diagonal", call("diagonal", 0, 2, 0), CUBE),
    ("diagonal", call("diagonal"), X.T),
    ("diag", call("diag"), X),
    ("diag", call("diag", -1), VECTOR),
    ("diag", call("diag", 2), X),
    ("diag_embed", call("diag_embed"), X),
    ("diag_embed", call("diag_embed", 1, 0, 2), X),
    ("diagflat", call("diagflat"), X),
    ("diagflat", call("diagflat", -2), VECTOR),
    ("trace", call("trace"), X),
    ("trace", call("trace"), INTS),
    ("block_diag", call("block_diag"), X, VECTOR, SCALAR),
    ("block_diag", call("block_diag"), Q),
    ("vander", call("vander"), VECTOR),
    ("vander", call("vander", 3, True), VECTOR),
    ("vander", call("vander"), INTS[0]),
    ("tril", call("tril", 1), X),
    ("triu", call("triu", -1), CUBE),
    ("tril_indices", lambda lib: lib.tril_indices(3, 4, 1)),
    ("triu_indices", lambda lib: lib.triu_indices(3, 4, -1)),
]


@pytest.mark.parametrize("row", rows(DIAGONALS))
def test_diagonals(row):
    both(*row[1:], grad=row[0] != "vander")  # PyTorch fails there


def listed(path, *args, **kwargs):
    """lib.path([tensors], *args)."""
    return lambda lib, *xs: getattr(lib, path)(list(xs), *args, **kwargs)


SHAPES = [
    ("rot90", call("rot90"), X),
    ("rot90", call("rot90", 2, (1, 2)), CUBE),
    ("rot90", call("rot90", -1), X),
    ("rot90", call("rot90", 4), X),
    ("fliplr", call("fliplr"), X),
    ("flipud", call("flipud"), X),
    ("flip", call("flip", (0, 1)), X),
    ("flip", lambda lib, x: x.flip(0, 1), X),
    ("flip", call("flip", []), X),
    ("roll", call("roll", 1, 0), X),
    ("roll", call("roll", (1, -2), (0, 1)), X),
    ("roll", call("roll", 5), X),
    ("moveaxis", call("moveaxis", 0, -1), CUBE),
    ("movedim", call("movedim", (0, 1), (2, 0)), CUBE),
    ("swapdims", call("swapdims", 0, 1), X),
    ("swapaxes", call("swapaxes", 0, 2), CUBE),
    ("adjoint", call("adjoint"), CUBE),
    ("unflatten", call("unflatten", 1, (2, 2)), X),
    ("unflatten", call("unflatten", -1, (2, -1)), X),
    ("tensor_split", call("tensor_split", 2), X),
    ("tensor_split", call("tensor_split", 3, 1), X),
    ("tensor_split", call("tensor_split", (1, 3), 1), X),
    ("tensor_split", call("tensor_split", (2, 1)), X),
    ("tensor_split", call("tensor_split", (-1,)), X),
    ("tensor_split", call("tensor_split", 7), X),
    ("tensor_split", call("tensor_split", 3), INTS.reshape(-1)[:8]),
    ("hsplit", call("hsplit", 2), X),
    ("vsplit", call("vsplit", (1,)), X),
    ("dsplit", call("dsplit", 2), CUBE),
    ("hsplit", call("hsplit", 5), VECTOR),
    ("split", call("split", 2), X),
    ("split", call("split", [1, 3], 1), X),
    ("chunk", call("chunk", 2, 1), X),
    ("split", lambda lib, x: x.split_with_sizes([1, 2]), X),
    ("hstack", listed("hstack"), VECTOR, VECTOR),
    ("hstack", listed("hstack"), X, X[:, :1]),
    ("hstack", listed("hstack"), SCALAR, SCALAR),
    ("vstack", listed("vstack"), X, X[0]),
    ("row_stack", listed("row_stack"), VECTOR, VECTOR),
    ("dstack", listed("dstack"), X, X),
    ("dstack", listed("dstack"), VECTOR, VECTOR),
    ("dstack", listed("dstack"), CUBE, CUBE[..., :1]),
    ("column_stack", listed("column_stack"), VECTOR, VECTOR),
    ("column_stack", listed("column_stack"), X, VECTOR[:3]),
    ("atleast_1d", call("atleast_1d"), SCALAR),
    ("atleast_2d", call("atleast_2d"), VECTOR),
    ("atleast_3d", call("atleast_3d"), X),
    ("atleast_3d", call("atleast_3d"), VECTOR),
    ("atleast_2d", call("atleast_2d"), SCALAR, VECTOR),
    ("atleast_3d", call("atleast_3d"), SCALAR),
    ("combinations", call("combinations"), VECTOR),
    ("combinations", call("combinations", 3, True), VECTOR),
    ("combinations", call("combinations", 0), VECTOR),
    ("combinations", call("combinations", 1), VECTOR),
    ("cartesian_prod", call("cartesian_prod"), VECTOR, X[0]),
    ("cartesian_prod", call("cartesian_prod"), VECTOR),
    ("meshgrid", lambda lib, a, b: list(lib.meshgrid(a, b, indexing="xy")), VECTOR, X[0]),
    ("repeat_interleave", call("repeat_interleave", 2), X),
    ("repeat_interleave", call("repeat_interleave", 2, 1), X),
    ("repeat_interleave", lambda lib, x, n: lib.repeat_interleave(x, n, 0), X, np.array([1, 0, 2])),
    ("repeat_interleave", lambda lib, x, n: lib.repeat_interleave(x, n, 1), X, np.array([2])),
    ("repeat_interleave", lambda lib, n: lib.repeat_interleave(n), np.array([1, 0, 2])),
    ("tile", call("tile", (2, 1)), X),
    ("tile", call("tile", (2,)), CUBE),
    ("repeat", lambda lib, x: x.repeat(2, 1, 2), X),
    ("squeeze", call("squeeze", (0, 2)), CUBE[:1, :, :1]),
    ("squeeze", call("squeeze", 1), X),
    ("expand_as", lambda lib, x, y: x.expand_as(y), X[0], X),
    ("view_as", lambda lib, x, y: x.view_as(y), X, X.reshape(4, 3)),
    ("broadcast_tensors", lambda lib, x, y: list(lib.broadcast_tensors(x, y)), X, X[0]),
    ("broadcast_to", call("broadcast_to", (2, 3, 4)), X),
    ("sum_to_size", lambda lib, x: x.sum_to_size(1, 4), X),
    ("broadcast_shapes", lambda lib: list(lib.broadcast_shapes((2, 1), (3,), (1, 1, 3)))),
    ("narrow_copy", call("narrow_copy", 1, 1, 2), X),
    ("unravel_index", lambda lib, i: list(lib.unravel_index(i, (3, 4))), np.array([5, 11, 0])),
    ("clone", call("clone"), X.T),
    ("mH", lambda lib, x: x.mH, CUBE),
    ("ravel", call("ravel"), X),
    ("stack", listed("stack", -1), X, X),
    ("cat", listed("cat", -1), X, S[:, :3].T[:, :1].repeat(1, 0)),
    ("cat", listed("concat", 0), X, INTS),
    ("unbind", call("unbind", 1), X),
]


@pytest.mark.parametrize("row", rows(SHAPES))
def test_shapes(row):
    both(*row[1:])


WRONG = [
    ("scatter", scatter(0), X, ROWS + 2, S),
    ("scatter", scatter(0), X, ROWS.astype(np.int16), S),
    ("scatter", scatter(0), X, ROWS, INTS[:2]),
    ("scatter", scatter(2), X, ROWS, S),
    ("scatter", scatter(0), X, ROWS, S[:1]),
    ("scatter", scatter(0), X, ROWS[0], S),
    ("scatter_reduce", reduce("median"), X, ROWS, S),
    ("index_copy", lambda lib, x, i, s: lib.index_copy(x, 0, i, s), X, PICKS, X),
    ("index_copy", lambda lib, x, i, s: lib.index_copy(x, 0, i, s), X, PICKS, INTS[:2]),
    ("index_copy", lambda lib, x, i, s: lib.index_copy(x, 0, i, s), X, PICKS + 5, S),
    ("index_fill", lambda lib, x, i, v: lib.index_fill(x, 0, i, v), X, PICKS, VECTOR),
    ("index_select", lambda lib, x, i: lib.index_select(x, 0, i), X, PICKS + 5),
    ("index_add", lambda lib, x, i, s: lib.index_add(x, 0, i, s), X, PICKS, X),
    ("take", call("take"), X, np.array([12])),
    ("take", call("take"), X, X),
    ("put", call("put"), X, PICKS, VECTOR),
    ("masked_scatter", lambda lib, x, mask, s: lib.masked_scatter(x, mask, s), X, MASK, VECTOR),
    ("masked_select", lambda lib, x, mask: lib.masked_select(x, mask), X, MASK[:, :2]),
    ("masked_fill", lambda lib, x, mask: lib.masked_fill(x, mask, 1.0), X, INTS),
    ("gather", lambda lib, x, i: lib.gather(x, 0, i), X, ROWS + 5),
    ("where", lambda lib, c, x: lib.where(c, x, x), INTS, X),
    ("select_scatter", lambda lib, x, s: lib.select_scatter(x, s, 0, 5), X, X[0]),
    ("slice_scatter", lambda lib, x, s: lib.slice_scatter(x, s, 0, 0, 1), X, S),
    ("diagonal", call("diagonal", 0, 1, 1), X),
    ("diagonal", call("diagonal"), VECTOR),
    ("diag", call("diag"), CUBE),
    ("trace", call("trace"), CUBE),
    ("block_diag", call("block_diag"), CUBE),
    ("vander", call("vander"), X),
    ("rot90", call("rot90", 1, (0, 0)), X),
    ("rot90", call("rot90"), VECTOR),
    ("fliplr", call("fliplr"), VECTOR),
    ("tensor_split", call("tensor_split", 0), X),
    ("hsplit", call("hsplit", 3), X),
    ("dsplit", call("dsplit", 2), X),
    ("combinations", call("combinations"), X),
    ("cartesian_prod", call("cartesian_prod"), X),
    ("broadcast_shapes", lambda lib: lib.broadcast_shapes((2,), (3,))),
    ("sum_to_size", lambda lib, x: x.sum_to_size(2, 4), X),
    ("repeat_interleave", lambda lib, x, n: lib.repeat_interleave(x, n, 0), X, np.array([1, 2])),
    ("repeat_interleave", call("repeat_interleave", -1), X),
    ("unflatten", call("unflatten", 1, (3, 2)), X),
    ("narrow", call("narrow", 0, 2, 5), X),
    ("hstack", listed("hstack")),
    ("atleast_1d", lambda lib: lib.atleast_1d(3)),
]


@pytest.mark.parametrize("row", rows(WRONG))
def test_mistakes(row):
    raises_the_same(*row[1:])


KEYWORDS = [
    ("exp", lambda lib, x: lib.exp(input=x), X),
    ("mul", lambda lib, x: lib.mul(input=x, other=x), X),
    ("sum", lambda lib, x: lib.sum(input=x, dim=1), X),
    ("softmax", lambda lib, x: lib.softmax(input=x, dim=1), X),
    ("pow", lambda lib, x: lib.pow(x, exponent=2), X),
    ("where", lambda lib, x: lib.where(x > 0, input=x, other=x * 2), X),
    ("round", lambda lib, x: lib.round(x, decimals=1), X),
    ("round", lambda lib, x: lib.round(x * 100, decimals=-1), X),
    ("flip", lambda lib, x: lib.flip(x, dims=[0]), X),
    ("flip", lambda lib, x: lib.flip(input=x, dims=(0, 1)), X),
    ("roll", lambda lib, x: lib.roll(x, shifts=1, dims=0), X),
    ("permute", lambda lib, x: lib.permute(x, dims=(1, 0)), X),
    ("gather", lambda lib, x, i: lib.gather(input=x, dim=0, index=i), X, ROWS),
    ("take_along_dim", lambda lib, x, i: lib.take_along_dim(x, indices=i, dim=0), X, ROWS),
    ("scatter", lambda lib, x, i, s: lib.scatter(input=x, dim=0, index=i, src=s), X, APART, S),
    ("addcmul", lambda lib, x: lib.addcmul(x, tensor1=x, tensor2=x, value=2), X),
    ("mm", lambda lib, x: lib.mm(x, mat2=x.T), X),
    ("lerp", lambda lib, x: lib.lerp(input=x, end=x * 2, weight=0.3), X),
    ("index_select", lambda lib, x, i: lib.index_select(x, dim=0, index=i), X, TWICE),
    ("cat", lambda lib, x: lib.cat(tensors=[x, x], dim=1), X),
    ("topk", lambda lib, x: lib.topk(x, k=2, dim=1, largest=False), X),
    ("clamp", lambda lib, x: lib.clamp(x, min=-0.5, max=0.5), X),
]


@pytest.mark.parametrize("row", rows(KEYWORDS))
def test_keywords(row):
    both(*row[1:])
