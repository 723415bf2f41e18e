"""A chain of views took time that grew with its square: every view copied its parent's steps.

And a `gradient=` of another type gave leaves a gradient of that type; `~` of floats showed NumPy's
words.
"""

import pytest

import clearprop as cp


def test_a_long_chain_of_views_costs_the_same_per_view():
    x = cp.zeros(3, 2, requires_grad=True)
    y = x * 1
    for _ in range(20_000):
        y = y.t()
    y.add_(1)
    y.sum().backward()
    assert x.grad.tolist() == [[1.0, 1.0]] * 3
    assert y.view_of.parent.parent is not None


def test_a_gradient_of_another_type_is_cast():
    x = cp.ones(2, requires_grad=True)
    (x * 2).backward(gradient=cp.ones(2, dtype=cp.float64))
    assert x.grad.dtype is cp.float32 and x.grad.tolist() == [2.0, 2.0]


def test_not_of_floats_is_refused_in_our_words():
    with pytest.raises(TypeError, match=r"~: wants an integer or bool tensor, got f32"):
        ~cp.ones(2)
    with pytest.raises(NotImplementedError, match=r"bitwise_not.*wants integer or bool"):
        cp.bitwise_not(cp.ones(2))
