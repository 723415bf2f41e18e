"""compile(background=True): nobody waits for code, and the numbers are those of eager mode."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn
from clearprop.jit import compiled


class Held:
    """Programs that are made only when they are let go."""

    def __init__(self, monkeypatch):
        self.go = threading.Event()
        self.made = 0
        real = compiled.Program

        def program(*args):
            assert self.go.wait(30)
            self.made += 1
            return real(*args)

        monkeypatch.setattr(compiled, "Program", program)

    def finish(self, f, n=1):
        self.go.set()
        end = time.time() + 30
        while time.time() < end and sum(v.ready() for k in f.versions.values() for v in k) < n:
            time.sleep(0.005)
        self.go.clear()


def test_calls_run_in_eager_mode_until_the_code_is_there(monkeypatch):
    held, calls = Held(monkeypatch), []

    def energy(x):
        calls.append(cp.core.local.c.interpreter is None)
        return (x * x).sum()

    f = cp.compile(energy, background=True)
    x = cp.tensor([1.0, 2.0])
    assert [f(x).item() for _ in range(3)] == [5.0] * 3
    assert calls == [False, True, True, True]  # traced once
    assert "background" in f.explain()
    held.finish(f)
    assert [f(x).item() for _ in range(3)] == [5.0] * 3
    assert len(calls) == 4 and held.made == 1
    y = cp.ones(3)
    assert f(y).item() == 3.0 and calls[4:] == [False, True]  # another kind waits by itself
    assert f(x).item() == 5.0 and len(calls) == 6
    held.finish(f, 2)
    assert f(y).item() == 3.0 and len(calls) == 6


def test_training_goes_on_as_in_eager_mode_across_the_change(monkeypatch):
    held, nets = Held(monkeypatch), []
    for background in (True, False):
        cp.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 2))
        optimizer = cp.optim.Adam(net.parameters(), lr=0.01)

        def step(x, net=net, optimizer=optimizer):
            loss = net(x).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run = cp.compile(step, background=True) if background else step
        cp.manual_seed(1)
        x = cp.rand(5, 4)
        losses = []
        for i in range(8):
            losses.append(run(x).item())
            if background and i % 2 == 1:
                held.finish(run)
        nets.append((losses, [p.detach().numpy() for p in net.parameters()], run))
    (a, p, run), (b, q, _) = nets
    assert sum(v.all_calls for k in run.versions.values() for v in k) >= 2
    np.testing.assert_allclose(a, b, rtol=1e-5)
    for one, two in zip(p, q, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


def test_many_steps_and_what_goes_wrong(monkeypatch):
    held = Held(monkeypatch)
    f = cp.compile(background=True)(lambda x: x.exp())
    xs = cp.zeros(4, 3)
    assert f.run(4, (xs,)).tolist() == cp.ones(4, 3).tolist()
    held.finish(f)
    assert f.run(4, (xs,)).tolist() == cp.ones(4, 3).tolist()

    def broken(*_):
        raise RuntimeError("no code")

    monkeypatch.setattr(compiled, "Program", broken)
    g = cp.compile(lambda x: x.exp(), background=True)
    assert g(xs).tolist() == cp.ones(4, 3).tolist()
    with pytest.raises(RuntimeError, match="no code"):
        for _ in range(1000):
            g(xs)
            time.sleep(0.01)
