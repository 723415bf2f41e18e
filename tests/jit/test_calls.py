"""Calls of compiled functions that do not go through Python."""

import copy
import gc
import threading
import weakref

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn
from clearprop.jit import compiled


def energy(x, y):
    return ((x - y) ** 2).sum(0)


def compiled_energy():
    f, x, y = cp.compile(energy), cp.tensor([[1.0, 2.0], [3.0, 4.0]]), cp.tensor([[1.0, 1.0]] * 2)
    for _ in range(3):
        assert f(x, y).tolist() == [4.0, 10.0]
    return f, x, y


def calls_without_python(f, monkeypatch):
    """Make any call that goes through Python an error."""

    def fail(*_, **__):
        raise AssertionError("went through Python")

    monkeypatch.setattr(type(f), "version", fail)


def test_calls_go_to_machine_code_at_once(monkeypatch):
    f, x, y = compiled_energy()
    calls_without_python(f, monkeypatch)
    for _ in range(3):
        assert f(x, y).tolist() == [4.0, 10.0]
    assert f(*(x, y)).tolist() == [4.0, 10.0]
    with pytest.raises(AssertionError, match="went through Python"):
        f(x, y=y)


def test_many_steps_go_to_machine_code_at_once(monkeypatch):
    f, x, y = compiled_energy()
    xs, ys = cp.stack([x, 2 * x, 3 * x]), cp.stack([y, y, y])
    for _ in range(3):
        out = f.run(3, (xs, ys))
    calls_without_python(f, monkeypatch)
    again = f.run(3, (xs, ys))
    assert again.tolist() == out.tolist() == [f(a, b).tolist() for a, b in zip(xs, ys, strict=True)]
    with pytest.raises(AssertionError, match="went through Python"):
        f.run(2, (xs[:2], ys[:2]))


def test_the_memory_of_a_result_is_used_again_only_when_nobody_has_it():
    f, _, y = compiled_energy()
    kept, views, arrays = [], [], []
    for i in range(20):
        z = cp.tensor([[float(i), 0.0], [0.0, 0.0]])
        kept.append(f(z, y * 0))
        views.append(f(z, y * 0)[:1])
        arrays.append(f(z, y * 0).numpy())
    for i in range(20):
        assert kept[i].tolist() == arrays[i].tolist() == [i * i, 0.0]
        assert views[i].tolist() == [i * i]


def test_a_dropped_result_that_was_changed_is_not_used_again():
    f, x, y = compiled_energy()
    for change in (
        lambda a: setattr(a, "shape", (2, 1)),
        lambda a: a.setflags(write=False),
        lambda a: a.fill(np.nan),
    ):
        for _ in range(3):
            change(f(x, y).numpy())
        out = f(x, y)
        assert out.tolist() == [4.0, 10.0]
        assert out.numpy().flags.writeable and out.shape == (2,)
    seen = [weakref.ref(f(x, y).numpy()) for _ in range(4)]
    assert f(x, y).tolist() == [4.0, 10.0]
    gc.collect()
    assert sum(ref() is not None for ref in seen) <= 2


def test_versions_of_weights_count_up_and_kept_numbers_stay():
    layer = nn.Linear(2, 1)
    optimizer = cp.optim.SGD(layer.parameters(), lr=0.1)

    @cp.compile
    def step(x):
        loss = layer(x).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    x = cp.ones(3, 2)
    for _ in range(300):  # beyond the small ints that Python shares
        step(x)
    held = layer.weight._version
    number = int(held)
    for i in range(1, 6):
        step(x)
        assert layer.weight._version == number + i
    assert held == number
    assert int("5001") == 5000 + 1


def test_a_compiled_function_is_an_object_like_others():
    f, x, y = compiled_energy()
    assert len({f, f, cp.compile(energy)}) == 2
    assert f != cp.compile(energy)
    for other in (copy.copy(f), copy.deepcopy(f)):
        assert other is not f
        for _ in range(3):
            assert other(x, y).tolist() == f(x, y).tolist()
    there = weakref.ref(f)
    del f, other
    gc.collect()
    assert there() is None


def test_a_thread_that_has_ended_says_nothing_about_the_next():
    layer = nn.Linear(2, 1)
    f = cp.compile(lambda x: layer(x))
    x, found = cp.ones(3, 2), []

    def without_gradients():
        cp.core.local.c.grad = False  # and the thread ends like that
        for _ in range(3):
            found.append(f(x).requires_grad)

    def with_gradients():
        found.append(f(x).requires_grad)

    for _ in range(5):
        for work in (without_gradients, with_gradients):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
    assert found == [False, False, False, True] * 5


def test_threads_that_take_turns_each_go_to_machine_code(monkeypatch):
    made = []
    real = compiled.Binding

    def binding(*args):
        made.append(threading.get_ident())
        return real(*args)

    monkeypatch.setattr(compiled, "Binding", binding)
    f, x = cp.compile(lambda x: (x * x).sum()), cp.ones(4)
    turn, wrong = threading.Barrier(3), []

    def work():
        for _ in range(20):
            turn.wait()
            if f(x).item() != 4.0:
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong and 3 <= len(made) <= 9  # now and then one finds another at work
    assert sum(v.all_calls for k in f.versions.values() for v in k) == 60
