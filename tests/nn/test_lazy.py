"""Lazy layers: sizes from the first batch, the weights of the usual layers, states, copies."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn

CASES = {
    "LazyLinear": (lambda: nn.LazyLinear(3), lambda: nn.Linear(5, 3), (4, 5)),
    "no bias": (lambda: nn.LazyLinear(3, False), lambda: nn.Linear(5, 3, False), (2, 4, 5)),
    "LazyBatchNorm1d": (nn.LazyBatchNorm1d, lambda: nn.BatchNorm1d(5), (4, 5)),
    "sequences": (nn.LazyBatchNorm1d, lambda: nn.BatchNorm1d(5), (4, 5, 3)),
    "LazyBatchNorm2d": (
        lambda: nn.LazyBatchNorm2d(affine=False),
        lambda: nn.BatchNorm2d(5, affine=False),
        (4, 5, 2, 2),
    ),
    "LazyBatchNorm3d": (
        lambda: nn.LazyBatchNorm3d(track_running_stats=False),
        lambda: nn.BatchNorm3d(5, track_running_stats=False),
        (4, 5, 2, 2, 1),
    ),
    "LazyConv1d": (
        lambda: nn.LazyConv1d(4, 2, stride=2),
        lambda: nn.Conv1d(5, 4, 2, stride=2),
        (5, 6),
    ),
    "LazyConv2d": (
        lambda: nn.LazyConv2d(10, 3, padding="same", groups=5, bias=False),
        lambda: nn.Conv2d(5, 10, 3, padding="same", groups=5, bias=False),
        (2, 5, 4, 4),
    ),
    "LazyConv3d": (lambda: nn.LazyConv3d(2, 1), lambda: nn.Conv3d(5, 2, 1), (1, 5, 2, 2, 2)),
    "LazyConvTranspose1d": (
        lambda: nn.LazyConvTranspose1d(4, 2),
        lambda: nn.ConvTranspose1d(5, 4, 2),
        (2, 5, 3),
    ),
    "LazyConvTranspose2d": (
        lambda: nn.LazyConvTranspose2d(4, 3, 2, 1, 1),
        lambda: nn.ConvTranspose2d(5, 4, 3, 2, 1, 1),
        (2, 5, 3, 3),
    ),
    "LazyConvTranspose3d": (
        lambda: nn.LazyConvTranspose3d(2, 1),
        lambda: nn.ConvTranspose3d(5, 2, 1),
        (5, 2, 2, 2),
    ),
    "LazyInstanceNorm1d": (
        lambda: nn.LazyInstanceNorm1d(bias=False),
        lambda: nn.InstanceNorm1d(5, affine=True, track_running_stats=True, bias=False),
        (5, 3),
    ),
    "LazyInstanceNorm2d": (
        lambda: nn.LazyInstanceNorm2d(affine=False, track_running_stats=False),
        lambda: nn.InstanceNorm2d(5),
        (2, 5, 3, 2),
    ),
    "LazyInstanceNorm3d": (
        nn.LazyInstanceNorm3d,
        lambda: nn.InstanceNorm3d(5, affine=True, track_running_stats=True),
        (5, 1, 3, 2),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_after_the_first_batch_it_is_the_usual_layer(name):
    make, usual, shape = CASES[name]
    lazy, x = make(), cp.rand(*shape)
    assert repr(lazy).startswith("Lazy")
    known = list(lazy.parameters())
    cp.manual_seed(2)
    y = lazy(x)
    cp.manual_seed(2)
    layer = usual()
    assert type(lazy) is type(layer) and repr(lazy) == repr(layer)
    assert y.tolist() == layer(x).tolist()
    for a, b in zip(known, lazy.parameters(), strict=True):
        assert a is b and type(a) is nn.Parameter and a.requires_grad
    ours, wanted = lazy.state_dict(), layer.state_dict()
    assert list(ours) == list(wanted)
    for key in ours:
        np.testing.assert_array_equal(ours[key].numpy(), wanted[key].numpy())
    assert not lazy._pre_hooks


def network():
    return nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(1))


def test_an_optimizer_may_be_made_before():
    net = network()
    optimizer = cp.optim.Adam(net.parameters(), lr=0.1)
    net(cp.rand(8, 3)).sum().backward()
    before = net[0].weight.tolist()
    optimizer.step()
    assert net[0].weight.tolist() != before


def test_a_compiled_step_makes_them_once():
    found = []
    for compiled in (False, True):
        cp.manual_seed(0)
        net = network()
        optimizer = cp.optim.SGD(net.parameters(), lr=0.1)

        def step(x, net=net, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (net(x) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        run = cp.compile(step) if compiled else step
        x = cp.arange(6).reshape(2, 3).float()
        found.append([run(x).item() for _ in range(4)])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_types_and_copies_before_the_first_batch():
    net = network().double()
    assert net[0].weight.dtype is cp.float64
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert other(cp.rand(2, 3, dtype=cp.float64)).dtype is cp.float64
        assert type(net[0]) is nn.LazyLinear
    assert net.eval().train().requires_grad_(False)[0].weight.requires_grad is False


def test_states_give_the_sizes():
    made, net = network(), network()
    made(cp.rand(2, 3))
    net.load_state_dict(made.state_dict())
    x = cp.rand(2, 3)
    assert net(x).tolist() == made(x).tolist()
    assert type(net[0]) is nn.Linear and net[0].in_features == 3
    empty = network()
    empty.load_state_dict(network().state_dict())
    assert empty[0].has_uninitialized_params()
    with pytest.raises(RuntimeError, match="received an uninitialized parameter"):
        made.load_state_dict(network().state_dict())


def test_what_has_no_values_says_so():
    p = nn.LazyLinear(2).weight
    with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized parameter"):
        p.shape
    for use in (lambda: p * 2, lambda: cp.sum(p), lambda: p.data, lambda: p.detach()):
        with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter"):
            use()
    assert repr(p) == "<UninitializedParameter>"
    assert nn.parameter.is_lazy(p)


def test_a_lazy_module_of_the_program():
    class Scale(nn.lazy.LazyModuleMixin, nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.UninitializedParameter()

        def initialize_parameters(self, x):
            if self.has_uninitialized_params():
                self.weight.materialize(x.shape[-1:])
                nn.init.constant_(self.weight, 3.0)

        def forward(self, x):
            return x * self.weight

    net = Scale()
    assert net(cp.ones(1, 2)).tolist() == [[3.0, 3.0]]
    assert net(cp.ones(1, 2)).tolist() == [[3.0, 3.0]]

    class Forgetful(nn.lazy.LazyModuleMixin, nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.UninitializedParameter()

        def initialize_parameters(self, x):
            pass

    with pytest.raises(RuntimeError, match="Forgetful has not been fully initialized"):
        Forgetful()(cp.ones(1))
