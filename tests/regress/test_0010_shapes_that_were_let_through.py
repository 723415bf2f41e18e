"""`meshgrid(indexing="xy")` gave grids that were transposed once too often; `chunk(0)` ended in a
bare ZeroDivisionError; `outer` took matrices; zeros, inf and nan widened a printed column.

Cause: the exchange of the first two grids already is the transposition; `chunk` divided before it
looked; `outer` only reshaped; the printer counted every element where PyTorch counts the finite
non-zero ones.
"""

import numpy as np
import pytest

import clearprop as cp


@pytest.mark.parametrize("indexing", ["ij", "xy"])
@pytest.mark.parametrize("sizes", [(2,), (2, 3), (2, 3, 4)])
def test_meshgrid_has_the_shapes_of_numpy(indexing, sizes):
    axes = [np.arange(n) for n in sizes]
    ours = cp.meshgrid(*map(cp.from_numpy, axes), indexing=indexing)
    wanted = np.meshgrid(*axes, indexing=indexing)
    for grid, expected in zip(ours, wanted, strict=True):
        np.testing.assert_array_equal(grid.numpy(), expected)


@pytest.mark.parametrize("n", [0, -1])
def test_chunk_into_no_pieces_is_refused(n):
    with pytest.raises(RuntimeError, match=f"to be greater than 0, got: {n}"):
        cp.ones(3).chunk(n)


@pytest.mark.parametrize(("a", "b"), [((3, 3), (3,)), ((3,), ()), ((3,), (1, 3))])
def test_outer_takes_vectors_only(a, b):
    with pytest.raises(RuntimeError, match="outer: Expected 1-D argument"):
        cp.outer(cp.ones(a), cp.ones(b))


@pytest.mark.parametrize(
    ("data", "text"),
    [([0.0, -0.0], "tensor([0., -0.])"), ([1.0, float("nan")], "tensor([1., nan])")],
)
def test_only_finite_numbers_make_a_printed_column_wide(data, text):
    assert repr(cp.tensor(data)) == text
