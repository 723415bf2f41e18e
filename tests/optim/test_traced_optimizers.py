"""A step of every optimizer becomes a graph in which learning rates and step counts are inputs."""

from __future__ import annotations

import numpy as np
import pytest
from update_rules import CASES, IDS

import clearprop as cp
from clearprop import optim
from clearprop.graph import evaluate, optimize, trace


def pair(name, options):
    """Two equal optimizers after one step, with the gradients to give them."""
    rng = np.random.default_rng(0)
    out = []
    start, g = rng.normal(size=(3, 2)), rng.normal(size=(3, 2))
    for _ in range(2):
        p = cp.tensor(start, requires_grad=True)
        optimizer = getattr(optim, name)([p], **options)
        p.grad = cp.tensor(g)
        optimizer.step()
        out.append((p, optimizer))
    return out, rng


@pytest.mark.parametrize(("name", "rule", "options"), CASES, ids=IDS)
def test_a_traced_step_goes_on_like_an_eager_one(name, rule, options):
    ((p, eager), (q, other)), rng = pair(name, options)

    def step(g):
        q.grad = g
        other.step()

    g = cp.tensor(rng.normal(size=(3, 2)))
    traced = trace(step, g)
    simple = optimize(traced.graph)
    assert len(simple) <= len(traced.graph)
    for i in range(4):  # RAdam decides otherwise from step 6 on
        for optimizer in (eager, other):
            optimizer.param_groups[0]["lr"] = 0.1 / (1 + i)
        g = cp.tensor(rng.normal(size=(3, 2)))
        p.grad = g
        eager.step()
        assert traced.holds()
        numbers = [np.array(number()) for number in traced.numbers]
        evaluate(simple, [g.numpy(), *traced.captured, *numbers])
        np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), rtol=1e-14, atol=1e-15)
    for key, value in eager.state[p].items():
        np.testing.assert_allclose(other.state[q][key].numpy(), value.numpy(), rtol=1e-13)


def test_a_decision_on_an_option_is_remembered():
    (_, (q, other)), _ = pair("Adam", {"weight_decay": 0.0})
    q.grad = None

    def step(g):
        q.grad = g
        other.step()
        q.grad = None

    traced = trace(step, cp.ones(3, 2, dtype=cp.float64))
    traced(cp.ones(3, 2, dtype=cp.float64))
    other.param_groups[0]["weight_decay"] = 0.5
    assert not traced.holds()
    with pytest.raises(cp.errors.TraceError, match="trace again"):
        traced(cp.ones(3, 2, dtype=cp.float64))


def test_a_number_cannot_leave_the_trace():
    (_, (q, other)), _ = pair("SGD", {"lr": 0.1})
    options = []
    other._update = lambda p, g, state, group: options.append(float(group["lr"]))
    q.grad = cp.ones(3, 2, dtype=cp.float64)
    with pytest.raises(cp.errors.TraceError, match=r"float\(\) of a number that is 0.1"):
        trace(other.step)
    assert not options
