"""Steps that are split among threads: the numbers of one thread, and the same bits in every run."""

from __future__ import annotations

import os
import threading
import warnings

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn
from clearprop.jit import parallel, workers

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX threads")


@pytest.fixture(autouse=True)
def everything_is_split(monkeypatch):
    monkeypatch.setattr(parallel, "SMALL", 0)
    with cp.flags(cache=0), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*wait for each other")
        yield


def batch():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 40), nn.BatchNorm1d(40), nn.ReLU(),
                         nn.Dropout(0.2), nn.Linear(40, 5))  # fmt: skip


def norms():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 33), nn.LayerNorm(33), nn.Tanh(),
                         nn.Linear(33, 5))  # fmt: skip


def trained(make, threads, steps=4):
    cp.manual_seed(0)
    net = make()
    optimizer = cp.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

    @cp.compile(threads=threads)
    def step(x, y):
        loss = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()
        return loss

    x, y = cp.randn(23, 1, 8, 8), cp.randint(0, 5, (23,))
    losses = [step(x, y).item() for _ in range(steps)]
    return losses, [p.detach().numpy().copy() for p in [*net.parameters(), *net.buffers()]], step


def conv():
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
                         nn.Conv2d(4, 6, 3, stride=2), nn.Flatten(), nn.Linear(54, 5))  # fmt: skip


@pytest.mark.parametrize("make", [norms, batch, conv])
def test_a_step_gives_the_numbers_of_one_thread_and_its_own_bits(make):
    losses, weights, _ = trained(make, 1)
    for n in (2, 3):
        again, found, step = trained(make, n)
        np.testing.assert_allclose(again, losses, rtol=1e-5)
        for a, b in zip(found, weights, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
        once_more, same, _ = trained(make, n)
        assert once_more == again
        assert all((a == b).all() for a, b in zip(found, same, strict=True))
        assert "1 compiled" in step.explain()


def test_sums_over_rows_are_joined_in_order_and_nothing_is_left_out():
    @cp.compile(threads=3)
    def f(x, w):
        y = x.softmax(1)
        return x.sum(0), y.sum(0), (y @ w).amax(0), x.exp() + 1, (x > 0).all(0), x.argmax(1)

    for rows in (3, 10, 64):
        x, w = cp.randn(rows, 37), cp.randn(37, 70)
        for got, wanted in zip(f(x, w), f.function(x, w), strict=True):
            np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=2e-5, atol=1e-5)


def test_an_index_out_of_range_stops_all_threads():
    @cp.compile(threads=3)
    def f(x, i):
        return (x.tanh().gather(1, i) * 2).sum(0)

    x, i = cp.randn(30, 40), cp.randint(0, 40, (30, 1))
    wanted = f(x, i).tolist()
    for row in (0, 15, 29):
        bad = i.clone()
        bad[row] = 40
        for _ in range(3):
            with pytest.raises(IndexError, match="out of range"):
                f(x, bad)
        assert f(x, i).tolist() == wanted


def test_what_runs_in_eager_mode_and_its_errors():
    f = cp.compile(lambda x: cp.linalg.inv(x.tanh()).exp().sum(0), threads=2)
    x = cp.eye(6) * 2
    np.testing.assert_allclose(f(x).numpy(), f.function(x).numpy(), rtol=1e-5)
    with pytest.raises(Exception, match="singular"):
        f(x * 0)
    np.testing.assert_allclose(f(x).numpy(), f.function(x).numpy(), rtol=1e-5)


def test_python_threads_share_the_pool():
    f = cp.compile(lambda x: (x @ x.T).tanh().sum(1), threads=2)
    xs = [cp.randn(40, 40) for _ in range(4)]
    wanted = [f(x).tolist() for x in xs]
    wrong = []

    def work(x, want):
        for _ in range(50):
            if f(x).tolist() != want:
                wrong.append(1)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(xs, wanted, strict=True)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_many_steps_in_one_call():
    f = cp.compile(lambda x: x.tanh().sum(0), threads=2)
    xs = cp.randn(5, 20, 30)
    for _ in range(3):
        got = f.run(5, (xs,))
    assert got.tolist() == [f(x).tolist() for x in xs]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    f = cp.compile(lambda x: x.tanh().sum(0), threads=2)
    x = cp.randn(30, 40)
    wanted = f(x).tolist()
    child = os.fork()
    if not child:
        os._exit(0 if f(x).tolist() == wanted else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert f(x).tolist() == wanted


def test_more_threads_than_cores_are_told(monkeypatch):
    monkeypatch.setattr(workers, "_pools", {})
    n = len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else 64
    with pytest.warns(RuntimeWarning, match="cores wait for each other"):
        cp.compile(cp.tanh, threads=n)(cp.ones(100))


def test_numbers_of_threads_that_make_no_sense():
    for n in (0, -1, 1.5, "2", True, 65):
        with pytest.raises(ValueError, match="threads must be from 1 to"):
            cp.compile(cp.tanh, threads=n)
