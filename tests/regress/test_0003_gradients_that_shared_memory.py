"""`.grad` shared memory with what others held, so adding to one gradient changed another.

Cause: a leaf took the tensor that a rule gave without a copy, also where the backward of a custom
block had returned it twice, or a hook had kept it.
"""

from __future__ import annotations

import clearprop as cp


class Twice(cp.autograd.Function):
    """2 (x + y), whose backward returns one tensor for both inputs."""

    @staticmethod
    def forward(ctx, x, y):
        return 2 * (x + y)

    @staticmethod
    def backward(ctx, g):
        both = 2 * g
        return both, both


class Product(cp.autograd.Function):
    """sum(x * k), whose backward returns a tensor that it keeps."""

    @staticmethod
    def forward(ctx, x, k):
        ctx.save_for_backward(k)
        return (x * k).sum()

    @staticmethod
    def backward(ctx, g):
        return ctx.saved_tensors[0], None


def test_two_leaves_do_not_share_the_gradient_that_a_block_returns_twice():
    x, y = cp.ones(2, requires_grad=True), cp.ones(2, requires_grad=True)
    Twice.apply(x, y).sum().backward()
    (3 * x).sum().backward()
    assert x.grad.tolist() == [5, 5]
    assert y.grad.tolist() == [2, 2]


def test_a_leaf_does_not_add_into_a_tensor_that_a_block_keeps():
    x, k = cp.ones(2, requires_grad=True), cp.tensor([3.0, 4.0])
    Product.apply(x, k).backward()
    x.sum().backward()
    assert x.grad.tolist() == [4, 5]
    assert k.tolist() == [3, 4]


def test_a_gradient_that_a_hook_kept_stays_as_it_was():
    x, kept = cp.ones(2, requires_grad=True), []
    x.register_hook(lambda g: kept.append(g))
    (3 * x).sum().backward()
    (3 * x).sum().backward()
    assert kept[0].tolist() == [3, 3]
    assert x.grad.tolist() == [6, 6]


def test_a_retained_gradient_can_be_written_to():
    x = cp.ones(2, requires_grad=True)
    z = x * 2.0
    z.retain_grad()
    z.sum().backward()
    z.grad.add_(5.0)
    assert z.grad.tolist() == [6, 6]
    assert x.grad.tolist() == [2, 2]
