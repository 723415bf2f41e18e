"""Compiled, a row padded to a matrix of one row had other numbers than zeros around it.

The loop that writes the zeros was given the shape with its axis of size 1, and the strides without
that axis: it wrote the first zero only.
"""

import numpy as np
import pytest

import clearprop as cp
from clearprop.ops import movement


@pytest.mark.parametrize("shape", [(1, 8), (8, 1), (1, 1, 8), (3, 1, 8)])
def test_everything_around_is_zero(shape):
    axis = shape.index(8)
    small = tuple(4 if i == axis else n for i, n in enumerate(shape))
    starts = tuple(4 if i == axis else 0 for i in range(len(shape)))

    def pad(x):
        return movement.unslice(x, shape, starts, (1,) * len(shape)) * 1.0

    x = cp.rand(small, dtype=cp.float64)
    padded = cp.compile(pad)
    for _ in range(3):
        full = [
            cp.full(shape, 7.0, dtype=cp.float64) for _ in range(8)
        ]  # leaves memory that is not 0
        del full
        np.testing.assert_array_equal(padded(x).numpy(), pad(x).numpy())
