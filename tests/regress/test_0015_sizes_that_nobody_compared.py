"""Functions that expanded a tensor to sizes that it does not have read memory beyond it: expanding
in eager mode is a view with steps of zero, and does not check.
"""

import pytest

import clearprop as cp
from clearprop.nn import functional as F


@pytest.mark.parametrize("shape", [(2,), (5, 2), (4, 1, 3)])
def test_linear_refuses_a_bias_of_another_size(shape):
    with pytest.raises(RuntimeError, match="linear"):
        F.linear(cp.ones(7, 4), cp.ones(3, 4), cp.ones(*shape))


def test_take_along_dim_refuses_sizes_that_do_not_fit():
    with pytest.raises(RuntimeError, match="take_along_dim"):
        cp.take_along_dim(cp.ones(0, 4), cp.zeros(3, 4, dtype=cp.int64), 1)


def test_one_run_of_one_element_is_unique():
    assert cp.unique_consecutive(cp.tensor([7])).tolist() == [7]
    assert cp.unique(cp.tensor(7)).tolist() == [7]
    assert cp.unique(cp.zeros(0, 3), dim=0).shape == (0, 3)
