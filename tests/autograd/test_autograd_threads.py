"""Several threads record and differentiate at once; each has its own switches."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

import clearprop as cp

THREADS = 8


def together(f):
    """f(i) in THREADS threads that start at the same moment; the results (or the first error)."""
    barrier = Barrier(THREADS)

    def run(i):
        barrier.wait(timeout=30)
        return f(i)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def test_separate_graphs_give_what_one_thread_gives():
    def gradient(i):
        x = cp.tensor(np.linspace(-1, 1, 20) + i, requires_grad=True)
        for _ in range(20):
            x.grad = None
            (x.tanh() * x).sum().backward()
        return x.grad.tolist()

    assert together(gradient) == [gradient(i) for i in range(THREADS)]


def test_one_parameter_can_be_read_by_many_graphs():
    w = cp.tensor([1.0, -2.0], dtype=cp.float64, requires_grad=True)
    found = together(lambda i: cp.autograd.grad((w * w * i).sum(), w)[0].tolist())
    assert found == [[2.0 * i, -4.0 * i] for i in range(THREADS)]
    assert w.grad is None


def test_one_retained_graph_can_be_walked_by_many_threads():
    x = cp.tensor([0.3, 0.7], dtype=cp.float64, requires_grad=True)
    y = (x.exp() * x.sin()).sum()
    (wanted,) = cp.autograd.grad(y, x, retain_graph=True)
    found = together(lambda i: cp.autograd.grad(y, x, retain_graph=True)[0].tolist())
    assert found == [wanted.tolist()] * THREADS


@pytest.mark.parametrize("mode", [cp.no_grad, cp.inference_mode])
def test_switches_belong_to_their_thread(mode):
    def record(i):
        x, seen = cp.ones(1, requires_grad=True), set()
        for _ in range(200):
            if i % 2:
                with mode():
                    seen.add((x * 2).requires_grad)
            else:
                seen.add((x * 2).requires_grad)
        return seen

    assert together(record) == [{True}, {False}] * (THREADS // 2)


def test_anomaly_mode_belongs_to_its_thread():
    def run(i):
        if i % 2:
            with cp.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="log"):
                cp.tensor([-1.0]).log()
            return "raised"
        return "nan" if cp.tensor([-1.0]).log().isnan().item() else "number"

    assert together(run) == ["nan", "raised"] * (THREADS // 2)


def test_module_paths_do_not_mix():
    class Net(cp.nn.Module):
        def __init__(self, name):
            super().__init__()
            self.add_module(name, cp.nn.Tanh())
            self.name = name

        def forward(self, x):
            return getattr(self, self.name)(x)

    def paths(i):
        net, x = Net(f"part{i}"), cp.ones(1, requires_grad=True)
        return {net(x).node.path for _ in range(100)}

    assert together(paths) == [{f"Net.part{i}"} for i in range(THREADS)]


def test_an_error_in_one_thread_leaves_the_others_alone():
    def run(i):
        x = cp.ones(2, requires_grad=True)
        if i == 3:
            with pytest.raises(RuntimeError, match="scalar outputs"):
                (x * 2).backward()
        (x * i).sum().backward()
        return x.grad.tolist()

    assert together(run) == [[float(i)] * 2 for i in range(THREADS)]
