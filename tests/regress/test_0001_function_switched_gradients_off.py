"""`Function.apply` on inputs that want no gradient left recording switched off for the thread.

Cause: after forward it restored "is this call recorded", not the mode that it had found.
"""

from __future__ import annotations

import pytest

import clearprop as cp


class Twice(cp.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        if x.numel() > 1:
            raise ValueError("one number only")
        return 2 * x

    @staticmethod
    def backward(ctx, g):
        return 2 * g


def test_a_block_without_gradient_leaves_recording_on():
    Twice.apply(cp.tensor(1.0))
    assert cp.is_grad_enabled()


def test_a_block_whose_forward_fails_leaves_recording_on():
    with pytest.raises(ValueError, match="one number"):
        Twice.apply(cp.tensor([1.0, 2.0]))
    assert cp.is_grad_enabled()


def test_a_block_inside_no_grad_leaves_recording_off():
    with cp.no_grad():
        Twice.apply(cp.tensor(1.0, requires_grad=True))
        assert not cp.is_grad_enabled()
