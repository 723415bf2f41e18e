"""The results of compiled layers that have one kernel in eager mode can be differentiated from
outside: their derivative is that of the ops that the kernel stands for.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn

LAYERS = {
    "LayerNorm": lambda: nn.LayerNorm(3),
    "BatchNorm1d": lambda: nn.BatchNorm1d(3),
    "GroupNorm": lambda: nn.GroupNorm(1, 3),
    "LSTM": lambda: nn.LSTM(3, 3),
    "GRU": lambda: nn.GRU(3, 3),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_gradients_behind_it_are_those_of_eager_mode(name):
    cp.manual_seed(0)
    first, layer = nn.Linear(2, 3).double(), LAYERS[name]().double()
    net = nn.ModuleList([first, layer])
    plain = copy.deepcopy(net)

    def run(net, x):
        y = net[1](net[0](x))
        return y[0] if isinstance(y, tuple) else y

    step = cp.compile(lambda x: run(net, x))
    x = cp.rand(4, 2, dtype=cp.float64)
    for _ in range(2):
        (step(x) ** 3).sum().backward()
        (run(plain, x) ** 3).sum().backward()
    for p, q in zip(net.parameters(), plain.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-8, atol=1e-9)
    assert np.abs(first.weight.grad.numpy()).max() > 1e-6
