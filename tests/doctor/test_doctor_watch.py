"""doctor.watch: in flight, with the same numbers, at a few observed passes."""

import math

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn, optim
from clearprop.core.events import listeners

F = nn.functional


class Plain:
    def __init__(self, wrap=lambda f: f, clamped=False, steps=60):
        cp.manual_seed(1)
        self.generator = cp.Generator().manual_seed(5)
        self.model = nn.Sequential(
            nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, 3)
        )
        self.optimizer = optim.Adam(self.model.parameters(), lr=1e-2)
        self.x, self.y = cp.rand(16, 6), cp.randint(0, 3, (16,))
        self.clamped, self.steps = clamped, steps
        self.step = wrap(self.one)

    def one(self, x, y):
        self.optimizer.zero_grad()
        out = self.model(x + 0.01 * cp.randn(16, 6, generator=self.generator))
        if self.clamped:
            out = out.clamp(90, 100)
        loss = F.cross_entropy(out, y)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.detach()

    def run(self):
        losses = [self.step(self.x, self.y).item() for _ in range(self.steps)]
        return losses, {k: v.numpy().copy() for k, v in self.model.state_dict().items()}


def same(a, b):
    return a[0] == b[0] and all((a[1][k] == b[1][k]).all() for k in a[1])


@pytest.mark.parametrize("wrap", [lambda f: f, cp.compile], ids=["eager", "compiled"])
def test_the_numbers_are_the_same_to_the_bit(wrap):
    without = Plain(wrap).run()
    with cp.doctor.watch(every=7) as session:
        watched = Plain(wrap).run()
    assert same(without, watched)
    assert session.observed >= 1
    assert session.report().alarms == [] and session.notes == []


def test_compiled_steps_are_observed():
    with cp.doctor.watch() as session:
        Plain(cp.compile, clamped=True, steps=3).run()
    (finding,) = session.report().errors
    assert finding.code == "B1" and "out.clamp(90, 100)" in finding.source


def test_a_compiled_function_from_before_is_observed_too():
    plain = Plain(cp.compile, clamped=True, steps=3)
    plain.run()
    with cp.doctor.watch() as session:
        plain.run()
    assert [f.code for f in session.report().errors] == ["B1"]


def test_several_compiled_steps_in_one_call():
    plain = Plain(cp.compile, clamped=True)
    stack = cp.stack([plain.x] * 3), cp.stack([plain.y] * 3)
    with cp.doctor.watch() as session:
        plain.step.run(3, stack)
    assert [f.code for f in session.report().errors] == ["B1"]


def test_every_nth_pass_is_observed():
    with cp.doctor.watch(every=10) as session:
        Plain(steps=35).run()
    assert session.backwards == 35 and session.observed == 4  # 1, 10, 20, 30
    with pytest.raises(ValueError, match="every"), cp.doctor.watch(every=0):
        pass


def test_a_loss_that_is_not_finite_is_traced_back_in_an_unobserved_pass():
    w = cp.tensor([1.0, 2.0], requires_grad=True)
    with cp.doctor.watch(every=1000) as session:
        for i in range(4):
            w.grad = None
            loss = (w * 0 + (2.0 - i)).log().sum()  # log(0) in the third pass
            loss.backward()
    (finding,) = session.report().errors
    assert finding.code == "C2" and finding.op == "log" and finding.when == "batch 3"
    assert "log(0)" in finding.source


def test_the_trace_back_recomputes_what_the_tape_has_not_kept():
    w = cp.tensor([1.0, 3.0], requires_grad=True)
    with cp.doctor.watch(every=1000) as session:
        for i in range(3):
            h = cp.exp(w * (200.0 * i)) + 1
            (h / h.sum()).mean().backward()
            w.grad = None
    report = session.report()
    assert any(f.code == "C4" and f.op == "exp" for f in report.errors), report


def test_it_ends_with_the_block_even_after_an_error():
    with pytest.raises(ZeroDivisionError), cp.doctor.watch():
        1 / 0
    assert not listeners and cp.core.local.c.interpreter is None


def test_an_error_inside_the_doctor_does_not_reach_the_program(monkeypatch):
    def broken(self, *details):
        raise RuntimeError("a mistake of the doctor")

    monkeypatch.setattr(cp.doctor.Session, "_examine", broken)
    without = Plain(steps=5).run()
    with cp.doctor.watch() as session:
        watched = Plain(steps=5).run()
    assert same(without, watched)
    assert "a mistake of the doctor" in session.notes[0]


def test_a_python_function_that_fails_in_the_replay_is_a_note():
    calls = []

    @cp.compile
    def step(x):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("only in the second run")
        return x * 2

    with cp.doctor.watch() as session:
        assert step(cp.ones(2)).tolist() == [2.0, 2.0]
    assert "could not follow a compiled step" in session.notes[0]


def test_no_memory_of_batches_between_observations():
    plain = Plain(steps=2)
    with cp.doctor.watch(every=10**6) as session:
        plain.run()
        before = len(session.log.values)
        for _ in range(50):
            cp.tensor(np.ones(10))
        plain.run()
        assert len(session.log.values) == before


def test_gradients_that_a_replay_makes_are_taken_away_again():
    model = nn.Linear(2, 1)

    @cp.compile
    def gradient(x):
        model(x).sum().backward()

    x = cp.ones(3, 2)
    with cp.doctor.watch():
        gradient(x)
    assert model.weight.grad.tolist() == [[3.0, 3.0]]
    assert math.isclose(model.bias.grad.item(), 3.0)
