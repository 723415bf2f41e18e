"""`x[0] = (three numbers)` raised "zip() argument 2 is shorter than argument 1" instead of saying
that the shapes do not fit; `nan_to_num` of integers raised, too.

Cause: a value of more dimensions than its target was expanded; NumPy's table of the limits of
floats knows no integers.
"""

from __future__ import annotations

import pytest

import clearprop as cp


def test_assigning_more_than_fits_says_so():
    x = cp.zeros(2)
    with pytest.raises(RuntimeError, match=r"setitem: output with shape \[\] .* f32\[3\]"):
        x[0] = cp.zeros(3)


def test_leading_axes_of_size_one_are_dropped():
    x = cp.zeros(2)
    x[...] = cp.ones(1, 1, 2)
    assert x.tolist() == [1, 1]


def test_integers_have_no_nan_to_replace():
    assert cp.nan_to_num(cp.tensor([1, 2])).tolist() == [1, 2]
