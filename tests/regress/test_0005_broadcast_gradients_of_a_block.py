"""A block whose backward gives a gradient of the broadcast shape, or of another float type, raised,
or left `.grad` in the wrong type.

Cause: only equal shapes were taken. PyTorch sums over the broadcast axes and casts.
"""

from __future__ import annotations

import pytest

import clearprop as cp


class Scale(cp.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return (g * w).float(), (g * x).float()


def test_the_gradient_of_a_broadcast_parameter_is_summed_over_the_rows():
    x = cp.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=cp.float64, requires_grad=True)
    w = cp.tensor([10.0, 20.0], dtype=cp.float64, requires_grad=True)
    Scale.apply(x, w).sum().backward()
    assert w.grad.tolist() == [4, 6]
    assert x.grad.tolist() == [[10, 20], [10, 20]]


def test_the_gradient_has_the_dtype_of_its_input():
    x = cp.ones(2, 2, dtype=cp.float64, requires_grad=True)
    w = cp.ones(2, dtype=cp.float64, requires_grad=True)
    Scale.apply(x, w).sum().backward()
    assert x.grad.dtype is w.grad.dtype is cp.float64


def test_a_gradient_that_is_too_small_is_an_error():
    class Total(cp.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.sum()

        @staticmethod
        def backward(ctx, g):
            return g

    x = cp.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"invalid gradient at index 0 - got \[\] .* \[2\]"):
        Total.apply(x).backward()
