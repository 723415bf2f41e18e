"""Whole training steps as people write them: traced, they do the same, step by step."""

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn, optim
from clearprop.graph import trace


def network(seed):
    cp.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))


def plain(net, optimizer, x, y):
    loss = nn.functional.cross_entropy(net(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def zero_at_the_end(net, optimizer, x, y):
    loss = nn.functional.cross_entropy(net(x), y)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss


def clipped(net, optimizer, x, y):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(net(x), y)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(net.parameters(), 0.1)
    optimizer.step()
    return loss, norm


def in_two_parts(net, optimizer, x, y):
    optimizer.zero_grad()
    for part in (slice(0, 5), slice(5, None)):
        nn.functional.cross_entropy(net(x[part]), y[part]).backward()
    optimizer.step()


def with_gradient_penalty(net, optimizer, x, y):
    x = x.clone().requires_grad_()
    optimizer.zero_grad()
    out = net(x)
    (slope,) = cp.autograd.grad(out.sum(), x, create_graph=True)
    loss = nn.functional.cross_entropy(out, y) + (slope**2).mean()
    loss.backward()
    optimizer.step()
    return loss, slope


OPTIMIZERS = {
    "sgd": lambda ps: optim.SGD(ps, lr=0.1),
    "momentum": lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda ps: optim.Adam(ps, lr=0.01),
    "adamw": lambda ps: optim.AdamW(ps, lr=0.01),
    "rmsprop": lambda ps: optim.RMSprop(ps, lr=0.01, momentum=0.5, centered=True),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    "step", [plain, zero_at_the_end, clipped, in_two_parts, with_gradient_penalty]
)
def test_a_traced_step_does_what_the_step_does(step, optimizer):
    eager, other = network(0), network(0)
    first, second = (OPTIMIZERS[optimizer](net.parameters()) for net in (eager, other))
    rng = np.random.default_rng(0)
    traced = None
    for i in range(6):
        x = cp.tensor(rng.normal(size=(8, 3)).astype(np.float32))
        y = cp.tensor(rng.integers(0, 2, 8))
        for o in (first, second):
            o.param_groups[0]["lr"] = 0.1 / (1 + i)
        if traced is None:
            traced = trace(lambda x, y: step(other, second, x, y), x, y)
            assert all(p.grad is None for p in other.parameters())
        wanted, got = step(eager, first, x, y), traced(x, y)
        for a, b in zip(*(t if isinstance(t, tuple) else (t,) for t in (wanted, got)), strict=True):
            assert a is b is None or np.allclose(a.detach().numpy(), b.numpy(), 1e-5, 1e-6)
        for p, q in zip(eager.parameters(), other.parameters(), strict=True):
            np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), 1e-5, 1e-6)
            assert (p.grad is None) == (q.grad is None)
            if p.grad is not None:
                np.testing.assert_allclose(q.grad.numpy(), p.grad.numpy(), 1e-4, 1e-6)
    for p, q in zip(eager.parameters(), other.parameters(), strict=True):
        assert first.state[p].keys() == second.state[q].keys()


def test_one_trace_serves_first_and_later_steps():
    net = network(0)
    optimizer = optim.Adam(net.parameters())
    x, y = cp.randn(4, 3), cp.tensor([0, 1, 1, 0])
    traced = trace(lambda x, y: plain(net, optimizer, x, y), x, y)
    assert len(traced.conditions) == 0
    losses = [traced(x, y).item() for _ in range(20)]
    assert losses == sorted(losses, reverse=True)
    assert {int(s["step"]) for s in optimizer.state.values()} == {20}


def test_two_optimizers_and_two_networks():
    pairs = []
    for _ in range(2):
        nets = [network(0), network(1)]
        pairs.append((nets, [optim.Adam(nets[0].parameters()), optim.SGD(nets[1].parameters())]))

    def step_of(nets, optimizers):
        def step(x):
            a, b = (net(x) for net in nets)
            ((a - b.detach()) ** 2).mean().backward()
            ((b - a.detach()) ** 2).mean().backward()
            for o in optimizers:
                o.step()
                o.zero_grad()

        return step

    x = cp.randn(5, 3)
    eager, traced = step_of(*pairs[0]), trace(step_of(*pairs[1]), x)
    for _ in range(4):
        eager(x), traced(x)
    for net, other in zip(pairs[0][0], pairs[1][0], strict=True):
        for p, q in zip(net.parameters(), other.parameters(), strict=True):
            np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), 1e-5, 1e-6)
