"""Copies of modules: deepcopy, copy and pickle."""

import copy
import pickle

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(3, 3, bias=False)
        self.decoder = nn.Linear(3, 3, bias=False)
        self.decoder.weight = self.encoder.weight
        self.register_buffer("count", cp.tensor(3))
        self.note = {"made": "by hand"}

    def forward(self, x):
        return self.decoder(cp.tanh(self.encoder(x)))


def double_output(module, args, out):
    return out * 2


COPIES = [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]


@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_is_equal_and_independent(copied):
    net, x = Tied().eval(), cp.ones(2, 3)
    other = copied(net)
    np.testing.assert_array_equal(other(x).detach().numpy(), net(x).detach().numpy())
    assert other.training is False and other.note == net.note and other.note is not net.note
    assert other.count.item() == 3
    with cp.no_grad():
        other.encoder.weight.zero_()
    assert net.encoder.weight.abs().sum().item() > 0


def test_deepcopy_keeps_tied_parameters_tied_and_takes_gradients_along():
    net = Tied()
    net(cp.ones(2, 3)).sum().backward()
    other = copy.deepcopy(net)
    assert other.decoder.weight is other.encoder.weight
    assert other.encoder.weight.grad is not net.encoder.weight.grad
    np.testing.assert_array_equal(
        other.encoder.weight.grad.numpy(), net.encoder.weight.grad.numpy()
    )


def test_pickle_keeps_tied_parameters_tied():
    other = pickle.loads(pickle.dumps(Tied()))
    assert other.decoder.weight is other.encoder.weight


@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_keeps_its_hooks_and_trains_on(copied):
    net = Tied()
    net.register_forward_hook(double_output)
    other = copied(net)
    x = cp.ones(2, 3)
    np.testing.assert_array_equal(other(x).detach().numpy(), net(x).detach().numpy())
    other(x).sum().backward()
    assert other.encoder.weight.grad is not None and net.encoder.weight.grad is None
    names = [n for n, _ in other.named_parameters()]
    assert names == [n for n, _ in net.named_parameters()]


@pytest.mark.parametrize("copied", COPIES)
def test_nested_modules_are_copied(copied):
    net = nn.Sequential(nn.Linear(2, 2))
    for _ in range(20):
        net = nn.Sequential(net, nn.Tanh())
    assert repr(copied(net)) == repr(net)
    assert list(copied(net).state_dict()) == list(net.state_dict())
