"""Checkpoints: the same numbers as without, less kept, and changes in between are noticed."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn
from clearprop.autograd import grad, gradcheck, gradgradcheck
from clearprop.utils.checkpoint import checkpoint, checkpoint_sequential
from clearprop.utils.data import DataLoader, TensorDataset


def network():
    cp.manual_seed(0)
    return nn.Sequential(
        nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.4), nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 2)
    ).double()


def step(run, net):
    """Loss and gradients of a run of the network, and what the generator goes on with."""
    cp.manual_seed(7)
    x = cp.rand(5, 3, dtype=cp.float64).requires_grad_()
    net.zero_grad()
    loss = (run(net, x * 2) ** 2).sum()
    loss.backward()
    found = [loss.item(), x.grad.tolist(), *(p.grad.tolist() for p in net.parameters())]
    return found, cp.rand(3).tolist()


WAYS = {
    "one": lambda net, x: checkpoint(net, x),
    "two": lambda net, x: checkpoint(net[3:], checkpoint(net[:3], x)),
    "nested": lambda net, x: checkpoint(lambda y: net[3:](checkpoint(net[:3], y)), x),
    "sequential": lambda net, x: checkpoint_sequential(net, 3, x),
    "many segments": lambda net, x: checkpoint_sequential(list(net), 6, x),
    "one segment": lambda net, x: checkpoint_sequential(net, 1, x),
    "reentrant": lambda net, x: checkpoint(net, x, use_reentrant=True),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_same_numbers_as_without(way):
    net = network()
    assert step(WAYS[way], net) == step(lambda net, x: net(x), net)


def test_compiled_it_is_the_same():
    net = network()
    x = cp.rand(5, 3, dtype=cp.float64)

    def f(x):
        net.zero_grad()
        loss = (checkpoint(net, x) ** 2).sum()
        loss.backward()
        return loss.detach()

    cp.manual_seed(3)
    eager = f(x).item()
    wanted = [p.grad.numpy().copy() for p in net.parameters()]
    cp.manual_seed(3)
    assert cp.compile(f)(x).item() == pytest.approx(eager, rel=1e-12)
    for p, g in zip(net.parameters(), wanted, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), g, rtol=1e-10, atol=1e-13)


def test_random_numbers_are_drawn_anew_if_asked():
    x = cp.ones(1000, requires_grad=True)
    y = checkpoint(nn.functional.dropout, x, 0.5, preserve_rng_state=False)
    y.sum().backward()
    assert y.tolist() != x.grad.tolist()


def test_several_outputs_and_arguments_by_name():
    x = cp.tensor([1.0, 2.0], dtype=cp.float64, requires_grad=True)
    w = cp.tensor([3.0, 4.0], dtype=cp.float64, requires_grad=True)

    def f(a, *, scale):
        return {"product": a * w * scale, "rest": [a + 1, 5, a.detach()]}

    out = checkpoint(f, x, scale=2.0)
    assert out["rest"][1] == 5
    assert not out["rest"][2].requires_grad
    gx, gw = grad((out["product"] + 10 * out["rest"][0]).sum(), (x, w))
    assert gx.tolist() == [16.0, 18.0]
    assert gw.tolist() == [2.0, 4.0]
    out = checkpoint(f, x, scale=2.0)
    assert grad(out["rest"][0].sum(), x)[0].tolist() == [1.0, 1.0]


def test_a_tensor_between_input_and_parameter_is_not_counted_twice():
    w = cp.tensor(3.0, dtype=cp.float64, requires_grad=True)
    y = w * w
    checkpoint(lambda a: a * w * y, y).backward()
    assert w.grad.item() == 5 * 81.0


def test_derivatives_of_any_order():
    x = cp.tensor([0.3, -0.8], dtype=cp.float64, requires_grad=True)
    w = cp.tensor([1.3, 0.4], dtype=cp.float64, requires_grad=True)

    def f(x, w):
        return checkpoint(lambda a: (a * w).tanh() * a, x * x)

    assert gradcheck(f, (x, w)) and gradgradcheck(f, (x, w))


def test_retained_it_can_be_used_again():
    x = cp.tensor(2.0, requires_grad=True)
    calls = []

    def f(a):
        calls.append(0)
        return a**3

    y = checkpoint(f, x)
    y.backward(retain_graph=True)
    y.backward()
    assert (x.grad.item(), len(calls)) == (24.0, 3)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.backward()


def test_hooks_of_the_input_are_called_once():
    x = cp.tensor(2.0, requires_grad=True)
    y, seen = x * 1.0, []
    y.register_hook(lambda g: seen.append(g.item()))
    checkpoint(lambda a: a * a, y).backward()
    assert seen == [4.0]


def test_without_gradients_it_is_the_function():
    with cp.no_grad():
        assert checkpoint(lambda a: a * 2, cp.ones(1, requires_grad=True)).node is None
    assert checkpoint(lambda a: a * 2, cp.ones(1)).node is None
    assert checkpoint(lambda: 3) == 3


def test_less_is_kept():
    def peak(run):
        gc.collect()
        x = cp.zeros(50_000, requires_grad=True)
        tracemalloc.start()
        y = run(x)
        kept = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        y.sum().backward()
        return kept

    def chain(x):
        for _ in range(10):
            x = x.tanh() * 1.5
        return x

    def segments(x):
        for _ in range(5):
            x = checkpoint(chain, x)
        return x

    assert peak(segments) < 0.2 * peak(lambda x: [x := chain(x) for _ in range(5)][-1])


def test_what_was_changed_in_between_is_noticed():
    net = nn.Linear(2, 2)
    x = cp.ones(1, 2)
    y = checkpoint(net, x)
    with cp.no_grad():
        net.weight.add_(1.0)
    with pytest.raises(RuntimeError, match="Linear used has been modified by an inplace operation"):
        y.sum().backward()
    y = checkpoint(net, x)
    x.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_another_way_is_noticed():
    a, b = cp.ones(2, requires_grad=True), cp.ones(2, requires_grad=True)
    used = [a]
    y = checkpoint(lambda: used[0] * 2)
    used[0] = b
    with pytest.raises(RuntimeError, match="took another way"):
        y.sum().backward()


def test_contexts_for_both_runs():
    seen = []

    class Context:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            seen.append(self.name)

        def __exit__(self, *_):
            pass

    x = cp.ones(1, requires_grad=True)
    y = checkpoint(lambda a: a * a, x, context_fn=lambda: (Context("first"), Context("again")))
    assert seen == ["first"]
    y.backward()
    assert seen == ["first", "again"]


def test_data_under_its_other_name():
    loader = DataLoader(TensorDataset(cp.arange(4)), batch_size=2)
    assert [batch[0].tolist() for batch in loader] == [[0, 1], [2, 3]]
    assert cp.utils.data.DataLoader is cp.data.DataLoader
