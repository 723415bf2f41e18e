"""LBFGS: it finds minima, with few evaluations, resumes exactly, and says what it cannot do."""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp
from clearprop import optim
from clearprop.graph import trace


def problem(**options):
    """Rosenbrock's valley in four dimensions."""
    x = cp.tensor([1.5, 0.4, 0.5, 2.0], dtype=cp.float64, requires_grad=True)
    optimizer = optim.LBFGS([x], **options)
    calls = []

    def closure():
        optimizer.zero_grad()
        loss = (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
        loss.backward()
        calls.append(loss.item())
        return loss

    return x, optimizer, closure, calls


def test_the_bottom_of_a_valley_is_found():
    x, optimizer, closure, calls = problem(line_search_fn="strong_wolfe", max_iter=100)
    first = optimizer.step(closure)
    assert first.item() == calls[0]
    np.testing.assert_allclose(x.detach().numpy(), np.ones(4), atol=1e-4)
    assert len(calls) < 80


def test_a_quadratic_with_unlike_curvatures_is_solved_in_few_iterations():
    a = np.diag([1.0, 10.0, 100.0])
    x = cp.tensor([1.0, 1.0, 1.0], dtype=cp.float64, requires_grad=True)
    optimizer = optim.LBFGS([x], line_search_fn="strong_wolfe", max_iter=20)
    matrix = cp.tensor(a)

    def closure():
        optimizer.zero_grad()
        loss = 0.5 * x.dot(matrix @ x)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert np.abs(x.detach().numpy()).max() < 1e-4


def test_every_accepted_step_satisfies_the_wolfe_conditions():
    x, optimizer, closure, _ = problem(line_search_fn="strong_wolfe", max_iter=1, max_eval=30)
    for _ in range(15):
        before = x.detach().numpy().copy()
        f0 = closure().item()
        g0 = x.grad.numpy().copy()
        optimizer.step(closure)
        step = x.detach().numpy() - before
        f1 = closure().item()
        slope = g0 @ step
        assert f1 <= f0 + 1e-4 * slope
        assert abs(x.grad.numpy() @ step) <= 0.9 * abs(slope)


def test_no_more_evaluations_than_allowed():
    _, optimizer, closure, calls = problem(line_search_fn="strong_wolfe", max_eval=7)
    optimizer.step(closure)
    assert len(calls) <= 8  # the search may evaluate once more than is left, as in PyTorch
    _, optimizer, closure, calls = problem(lr=1e-3, max_iter=20, max_eval=5)
    optimizer.step(closure)
    assert len(calls) == 5


def test_it_stops_where_the_gradient_is_zero():
    x = cp.ones(2, requires_grad=True)
    optimizer = optim.LBFGS([x])
    calls = []

    def closure():
        optimizer.zero_grad()
        calls.append(0)
        loss = ((x - 1) ** 2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert x.tolist() == [1.0, 1.0]
    assert len(calls) == 1


def test_a_loaded_state_continues_bit_for_bit():
    options = {"line_search_fn": "strong_wolfe", "max_iter": 5, "history_size": 3}
    x, optimizer, closure, _ = problem(**options)
    optimizer.step(closure)
    y, again, other, _ = problem(**options)
    with cp.no_grad():
        y.copy_(x)
    again.load_state_dict(optimizer.state_dict())
    optimizer.step(closure)
    again.step(other)
    assert y.detach().numpy().tobytes() == x.detach().numpy().tobytes()


def test_hooks_run_around_a_step():
    _, optimizer, closure, calls = problem(max_iter=2, lr=1e-3)
    seen = []
    optimizer.register_step_pre_hook(lambda o, a, k: seen.append(len(calls)))
    optimizer.register_step_post_hook(lambda o, a, k: seen.append(len(calls)))
    optimizer.step(closure)
    assert seen == [0, 2]


def test_a_trace_is_refused():
    _, optimizer, closure, _ = problem()
    with pytest.raises(cp.errors.TraceError, match=r"LBFGS.step\(\).*decides by the values"):
        trace(lambda: optimizer.step(closure))


def test_the_closure_can_be_compiled():
    x = cp.tensor([3.0, -2.0], dtype=cp.float64, requires_grad=True)
    optimizer = optim.LBFGS([x], line_search_fn="strong_wolfe")

    @cp.compile
    def closure():
        x.grad = None
        loss = ((x - 1) ** 2).sum()
        loss.backward()
        return loss.detach()

    optimizer.step(closure)
    np.testing.assert_allclose(x.detach().numpy(), [1.0, 1.0], atol=1e-9)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda p: optim.LBFGS([{"params": [p]}, {"params": []}]), ValueError, "per-parameter"),
        (lambda p: optim.LBFGS([p], line_search_fn="armijo"), RuntimeError, "strong_wolfe"),
        (lambda p: optim.LBFGS([p], lr=-1), ValueError, "learning rate"),
        (lambda p: optim.LBFGS([p]).step(), TypeError, "closure"),
    ],
)
def test_mistakes(make, error, words):
    with pytest.raises(error, match=words):
        make(cp.ones(1, requires_grad=True))
