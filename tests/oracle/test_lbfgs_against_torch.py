"""LBFGS against PyTorch: the same iterates, evaluations and states."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import clearprop as cp

torch = pytest.importorskip("torch")


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def bowl(x):
    return ((x - 1) ** 4).sum() + (x * x).sum() * 0.5


def waves(x):
    return (x * x * 0.1 + (x * 3).sin()).sum()


FUNCTIONS = {"rosenbrock": rosenbrock, "bowl": bowl, "waves": waves}
OPTIONS = [
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "history_size": 3, "max_iter": 7},
    {"line_search_fn": "strong_wolfe", "lr": 0.3, "max_eval": 9},
    {"lr": 0.01, "max_iter": 8},
    {"lr": 0.002, "history_size": 4},
]
CASES = list(itertools.product(FUNCTIONS, range(len(OPTIONS))))


class Side:
    """One library's two parameters, which the function sees as one vector, and the optimizer."""

    def __init__(self, library, name, options, start):
        self.library, self.f, self.calls = library, FUNCTIONS[name], 0
        self.params = [library.tensor(part, dtype=library.float64) for part in start]
        for p in self.params:
            p.requires_grad_()
        self.optimizer = library.optim.LBFGS(self.params, **options)

    def closure(self):
        self.calls += 1
        self.optimizer.zero_grad()
        loss = self.f(self.library.cat([p.flatten() for p in self.params]))
        loss.backward()
        return loss

    def values(self):
        return np.concatenate([p.detach().numpy().ravel() for p in self.params])


def sides(name, options, start):
    return [Side(library, name, options, start) for library in (cp, torch)]


@pytest.mark.parametrize(("name", "i"), CASES)
def test_the_same_iterates_and_evaluations(name, i):
    rng = np.random.default_rng(i)
    start = [rng.normal(size=(2, 2)).tolist(), rng.normal(size=3).tolist()]
    ours, theirs = sides(name, OPTIONS[i], start)
    for _ in range(2):
        a, b = ours.optimizer.step(ours.closure), theirs.optimizer.step(theirs.closure)
        assert a.item() == pytest.approx(b.item(), rel=1e-9, abs=1e-12)
        np.testing.assert_allclose(ours.values(), theirs.values(), rtol=1e-8, atol=1e-10)
        assert ours.calls == theirs.calls
        state = ours.optimizer.state[ours.params[0]]
        other = theirs.optimizer.state[theirs.params[0]]
        assert [state[k] for k in ("func_evals", "n_iter")] == [
            other[k] for k in ("func_evals", "n_iter")
        ]


def moved(state, library):
    if isinstance(state, dict):
        return {k: moved(v, library) for k, v in state.items()}
    if isinstance(state, list):
        return [moved(v, library) for v in state]
    if isinstance(state, cp.Tensor | torch.Tensor):
        return library.from_numpy(np.array(state.detach().numpy()))
    return state


@pytest.mark.parametrize("i", range(len(OPTIONS)))
def test_states_change_sides(i):
    start = [[[1.2, -0.7], [0.3, 0.5]], [0.1, -0.4, 2.0]]
    ours, theirs = sides("rosenbrock", OPTIONS[i], start)
    theirs.optimizer.step(theirs.closure)
    with cp.no_grad():
        for p, q in zip(ours.params, theirs.params, strict=True):
            p.copy_(cp.from_numpy(q.detach().numpy().copy()))
    ours.optimizer.load_state_dict(moved(theirs.optimizer.state_dict(), cp))
    ours.optimizer.step(ours.closure)
    before = ours.optimizer.state_dict()
    again = Side(torch, "rosenbrock", OPTIONS[i], [p.tolist() for p in ours.params])
    again.optimizer.load_state_dict(moved(before, torch))
    theirs.optimizer.step(theirs.closure)
    for side in (ours, theirs, again):
        side.optimizer.step(side.closure)
    np.testing.assert_allclose(ours.values(), theirs.values(), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(ours.values(), again.values(), rtol=1e-7, atol=1e-9)
