"""A gradient lost what came through `x[::2]` of an axis of size 1: the sum before the `unslice` had
been moved into its loops, so these did not begin with the member that writes to memory and could be
joined with loops that read there, which saw the zeros from before.
"""

import numpy as np

import clearprop as cp


def values_and_gradient(x):
    z = x * 1.0
    y = z[::2]
    c = y.cumsum(0)
    total = (z * z).mean() + (y * y).mean() + (c * c).mean()
    return z, y, c, cp.autograd.grad(total, [x])[0]


def test_the_gradient_through_a_part_that_is_all_of_it():
    x = cp.tensor([[0.5, -1.0, 2.0]], dtype=cp.float64).requires_grad_()
    *_, got = cp.compile(values_and_gradient)(x)
    np.testing.assert_allclose(got.numpy(), 2 * x.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(values_and_gradient(x)[-1].numpy(), got.numpy(), rtol=1e-12)
