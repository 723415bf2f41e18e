"""Folding constants took a concat of repeated numbers for a repetition of the first of them, so
that compiled pdist measured a row against the wrong one: the rule for views that move one number
around (reshape, flip, ...) did not look at the other inputs of concat.
"""

import numpy as np

import clearprop as cp
from clearprop.ops.broadcasting import constant


def test_a_concat_of_different_numbers_keeps_them():
    def f(x):
        parts = [constant(i, np.dtype(np.float64), (n,)) for i, n in enumerate((2, 1, 3))]
        return cp.cat(parts) * 2 + x

    x = cp.zeros(6, dtype=cp.float64)
    assert cp.compile(f)(x).tolist() == f(x).tolist() == [0, 0, 2, 4, 4, 4]


def test_zeros_of_both_signs_are_not_joined():
    def f(x):
        parts = [constant(v, np.dtype(np.float64), (1,)) for v in (0.0, -0.0)]
        return 1 / cp.cat(parts) + x

    with np.errstate(divide="ignore"):
        assert cp.compile(f)(cp.zeros(2, dtype=cp.float64)).tolist() == [np.inf, -np.inf]


def test_compiled_pdist():
    x = cp.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    assert cp.compile(cp.pdist)(x).tolist() == cp.pdist(x).tolist()
