"""Layers made of composed primitives under vmap, jvp and hessian: per-example gradients are those
of one example after the other.
"""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp
from clearprop import func, nn


class SelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.MultiheadAttention(4, 2)

    def forward(self, x):
        return self.inner(x, x, x)[0]


MODELS = {
    "LSTM": (lambda: nn.LSTM(3, 2, bidirectional=True), (4, 3)),
    "GRU": (lambda: nn.GRU(3, 2), (3, 2, 3)),
    "LayerNorm": (lambda: nn.LayerNorm(4), (2, 4)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), (2, 4, 2)),
    "attention": (SelfAttention, (3, 2, 4)),
}


@pytest.mark.parametrize("name", MODELS)
def test_per_example_gradients_and_directional_derivatives(name):
    make, shape = MODELS[name]
    model = make().double()
    weights = {k: p.detach() for k, p in model.named_parameters()}
    rng = np.random.default_rng(0)
    xs, t = cp.tensor(rng.standard_normal((3, *shape))), cp.tensor(rng.standard_normal(shape))

    def loss(weights, x):
        out = func.functional_call(model, weights, (x,))
        out = out[0] if isinstance(out, tuple) else out
        return (out * out).sum()

    together = func.vmap(func.grad(loss), in_dims=(None, 0))(weights, xs)
    for i in range(3):
        for k, g in func.grad(loss)(weights, xs[i]).items():
            np.testing.assert_allclose(together[k][i].numpy(), g.numpy(), 1e-9, 1e-11)
    at = lambda x: loss(weights, x)
    _, slope = func.jvp(at, (xs[0],), (t,))
    np.testing.assert_allclose(slope.item(), (func.grad(at)(xs[0]) * t).sum().item(), 1e-9)
    n = t.numel()
    hessian = func.hessian(at)(xs[0]).reshape(n, n).numpy()
    np.testing.assert_allclose(hessian, hessian.T, 1e-8, 1e-10)
