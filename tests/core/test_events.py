"""Whoever listens is told what happens in a training loop, and a program is the same with it."""

import pytest

import clearprop as cp
from clearprop.core.events import listeners


def loop():
    cp.manual_seed(0)
    model = cp.nn.Sequential(cp.nn.Linear(2, 3), cp.nn.Tanh(), cp.nn.Linear(3, 1))
    optimizer = cp.optim.SGD(model.parameters(), lr=0.1)
    schedule = cp.optim.lr_scheduler.StepLR(optimizer, 1)
    x = cp.tensor([[1.0, 2.0]])
    losses = []
    for _ in range(2):
        model.train()
        optimizer.zero_grad()
        loss = model(x).sum()
        loss.backward()
        cp.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


@pytest.fixture
def heard():
    events = []
    listener = lambda event, *details: events.append((event, details))
    listeners.append(listener)
    yield events
    listeners[:] = [l for l in listeners if l is not listener]


def test_the_events_of_a_training_loop_in_order(heard):
    losses = loop()
    names = [event for event, _ in heard if event != "requires_grad"]
    assert names[:4] == ["module"] * 4 and "module" not in names[4:]
    step = [
        "mode", "zero_grad", "backward", "backward done", *["detach"] * 4, "clip", "step",
        "step done", "schedule", "export",
    ]  # fmt: skip
    assert names[4:] == ["optimizer", "schedule", "import", *step, *step]
    clip = next(d for e, d in heard if e == "clip")
    assert clip[0] == "clip_grad_norm_" and clip[2] == 1.0 and clip[3].item() > 0
    listeners.clear()
    assert loop() == losses


def test_gradients_and_blocks_tell_too(heard):
    class Double(cp.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    x = cp.ones(2, requires_grad=True)
    cp.autograd.grad(Double.apply(x).sum(), x, create_graph=True)
    assert [(e, d[-1]) for e, d in heard if "backward" in e] == [
        ("backward", True), ("backward done", True),
    ]  # fmt: skip
    assert [d[0] for e, d in heard if "block" in e] == [Double, Double]
