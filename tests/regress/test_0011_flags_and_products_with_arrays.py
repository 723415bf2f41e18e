"""`flags.strict = 1` set an attribute that nobody read; `tensor @ array` was refused while `array @
tensor` was not.
"""

import numpy as np
import pytest

import clearprop as cp
from clearprop.flags import flags


def test_a_flag_that_is_assigned_is_set():
    before = flags.strict
    try:
        flags.strict = 1
        with pytest.raises(cp.errors.ShapeError, match="STRICT"):
            cp.ones(2, 3) + cp.ones(3)
    finally:
        flags.strict = before
    with pytest.raises(ValueError, match="no flag 'strikt'"):
        flags.strikt = 1


def test_arrays_on_either_side_of_a_product():
    x, a = cp.ones(2, 3, dtype=cp.float64), np.ones((3, 2))
    assert (x @ a).tolist() == [[3.0, 3.0]] * 2
    assert (a @ x).tolist() == [[2.0, 2.0, 2.0]] * 3
    assert isinstance(a @ x, cp.Tensor)


def test_errors_name_the_op_that_was_called():
    with pytest.raises(IndexError, match="norm:"):
        cp.ones(2).norm(dim=5)
    with pytest.raises(RuntimeError, match=r"sum: dim 0 appears multiple .*test_0011"):
        cp.ones(2, 2).sum((0, 0))
