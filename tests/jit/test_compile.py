"""`clearprop.compile`: when it compiles again, when it must not; nothing goes wrong silently."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn
from clearprop.errors import ShapeError, TraceError
from clearprop.jit import compiled as jit_compiled
from clearprop.jit.module import write_module
from clearprop.jit.target import host

SCALE = 2.0


def versions(f):
    return [v for known in f.versions.values() for v in known]


def step_of(net, optimizer):
    def step(x, y):
        optimizer.zero_grad()
        loss = ((net(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    return step


def pair(make=lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), **options):
    """Two equal networks with their steps, the second one compiled."""
    out = []
    for _ in range(2):
        cp.manual_seed(0)
        net = make()
        optimizer = cp.optim.SGD(net.parameters(), **({"lr": 0.1} | options))
        out.append((net, optimizer, step_of(net, optimizer)))
    (one, first, eager), (two, second, step) = out
    return one, two, first, second, eager, cp.compile(step)


def assert_same(one, two, atol=1e-6):
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=0, atol=atol)
        if p.grad is None:
            assert q.grad is None
        else:
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=0, atol=atol)


X, Y = cp.rand(8, 3), cp.rand(8, 2)


def test_options_change_without_compiling_again():
    one, two, first, second, eager, step = pair(momentum=0.9)
    for i in range(6):
        for optimizer in (first, second):
            optimizer.param_groups[0]["lr"] = 0.1 / (i + 1)
        eager(X, Y), step(X, Y)
    assert_same(one, two)
    assert len(versions(step)) == 1 and "6 calls" in step.explain()


def test_an_option_that_decides_compiles_again_and_says_so():
    one, two, first, second, eager, step = pair()
    for momentum in (0, 0.9, 0.9):
        for optimizer in (first, second):
            optimizer.param_groups[0]["momentum"] = momentum
        eager(X, Y), step(X, Y)
        assert_same(one, two)
    assert len(versions(step)) == 2 and "an option of an optimizer" in step.explain()


def test_a_schedule_moves_the_learning_rate_from_outside_only():
    one, two, first, second, eager, step = pair()
    schedules = [cp.optim.lr_scheduler.StepLR(o, 2, 0.5) for o in (first, second)]
    for _ in range(5):
        eager(X, Y), step(X, Y)
        for schedule in schedules:
            schedule.step()
    assert_same(one, two)
    assert len(versions(step)) == 1

    @cp.compile
    def inside(x):
        schedules[0].step()
        return x

    with pytest.raises(TraceError, match=r"StepLR.step\(\).*Call it after"):
        inside(X)


def test_another_batch_size_compiles_once_and_the_old_code_is_kept():
    one, two, *_, eager, step = pair()
    for n in (8, 8, 5, 8, 5, 8):
        eager(X[:n], Y[:n]), step(X[:n], Y[:n])
    assert_same(one, two)
    assert len(versions(step)) == 2 and "was f32[8,3]" in step.explain()


def test_training_mode_dropout_and_frozen_parameters_are_looked_at():
    make = lambda: nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    one, two, *_, eager, step = pair(make)

    def both():
        results = []
        for f in (eager, step):
            cp.manual_seed(7)
            results.append(f(X, Y).item())
        assert results[0] == pytest.approx(results[1], abs=1e-6)
        assert_same(one, two)

    both(), both()
    for net in (one, two):
        net.eval()
    both(), both()
    for net in (one, two):
        net[0].weight.requires_grad_(False)
    both()
    for net in (one, two):
        net[1] = nn.ReLU()
    both()
    assert len(versions(step)) == 4


def test_loaded_states_are_used():
    one, two, first, second, eager, step = pair(momentum=0.9)
    eager(X, Y), step(X, Y)
    saved = {k: v.clone() for k, v in one.state_dict().items()}
    memory = first.state_dict()
    for net, optimizer in ((one, first), (two, second)):
        net.load_state_dict(saved)
        optimizer.load_state_dict(memory)
    for _ in range(2):
        eager(X, Y), step(X, Y)
    assert_same(one, two)


def test_gradients_accumulate_and_can_be_clipped():
    nets = []
    for compiled in (False, True):
        cp.manual_seed(0)
        net = nn.Linear(3, 2)

        def backward(x, y, net=net):
            loss = ((net(x) - y) ** 2).mean()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            return loss, norm

        f = cp.compile(backward) if compiled else backward
        nets.append((net, [f(X, Y) for _ in range(4)]))
    assert_same(nets[0][0], nets[1][0])
    for a, b in zip(nets[0][1], nets[1][1], strict=True):
        assert a[1].item() == pytest.approx(b[1].item(), rel=1e-5)


def test_a_gradient_that_somebody_keeps_is_not_overwritten():
    _, two, *_, step = pair()
    step(X, Y)
    kept = two[0].weight.grad
    before = kept.numpy().copy()
    array = kept.numpy()
    step(2 * X, Y), step(3 * X, Y)
    np.testing.assert_array_equal(kept.numpy(), before)
    np.testing.assert_array_equal(array, before)
    assert two[0].weight.grad is not kept


def test_results_are_new_tensors_each_time():
    f = cp.compile(lambda x: (x + 1, x * 2))
    a = [f(X) for _ in range(3)]
    f(X + 5)
    for one, two in a:
        np.testing.assert_array_equal(one.numpy(), X.numpy() + 1)
        np.testing.assert_array_equal(two.numpy(), X.numpy() * 2)
    assert a[1][0] is not a[2][0]


def test_global_names_and_closures_are_looked_at(monkeypatch):
    factor = 3.0
    f = cp.compile(lambda x: SCALE * x * factor)
    np.testing.assert_allclose(f(X).numpy(), 6 * X.numpy())
    monkeypatch.setattr(f"{__name__}.SCALE", 5.0)
    np.testing.assert_allclose(f(X).numpy(), 15 * X.numpy(), rtol=1e-6)
    factor = 1.0
    np.testing.assert_allclose(f(X).numpy(), 5 * X.numpy(), rtol=1e-6)
    assert "global SCALE" in f.explain() and "enclosing function" in f.explain()


def test_arguments_of_all_kinds():
    @cp.compile
    def f(batch, power, *, shift=0):
        return {"sum": batch["a"].sum() ** power + shift, "rest": [batch["b"][0], None, "text"]}

    batch = {"a": X, "b": (Y, 3)}
    for power, shift in ((2, 0), (2, 0), (3, 1)):
        out = f(batch, power, shift=shift)
        assert out["sum"].item() == pytest.approx(X.sum().item() ** power + shift, rel=1e-5)
        assert out["rest"][1:] == [None, "text"]
    assert len(versions(f)) == 2
    with pytest.raises(TypeError, match="neither a Tensor nor hashable"):
        f({"a": X, "b": (Y, {1, 2})}, 2)


def test_arrays_that_are_not_packed():
    wide = cp.from_numpy(np.arange(24, dtype=np.float32).reshape(4, 6))
    f = cp.compile(lambda x: x @ x.mT + x.sum())
    for view in (wide[:, ::2], wide.mT, wide[1:3], wide):
        np.testing.assert_allclose(
            f(view).numpy(), (view @ view.mT + view.sum()).numpy(), rtol=1e-5
        )


def test_writing_to_an_argument_and_to_buffers():
    total = cp.zeros(3)

    @cp.compile
    def f(x):
        x.mul_(2)
        total.add_(x.sum(0))
        return x.clone()

    for x in (cp.ones(2, 3), cp.ones(3, 2).mT):
        y = f(x)
        np.testing.assert_array_equal(x.numpy(), np.full((2, 3), 2))
        np.testing.assert_array_equal(y.numpy(), x.numpy())
    np.testing.assert_array_equal(total.numpy(), [8, 8, 8])


def test_a_saved_value_that_compiled_code_overwrites_is_noticed():
    w = cp.ones(3, requires_grad=True)
    y = (w * w).sum()

    @cp.compile
    def f():
        with cp.no_grad():
            w.add_(1)

    for _ in range(3):
        f()
    with pytest.raises(cp.errors.AutogradError, match="modified by an inplace operation"):
        y.backward()


def test_results_can_be_differentiated_from_outside_any_number_of_times():
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    x = cp.rand(5, 3, dtype=cp.float64).requires_grad_()
    f = cp.compile(net)

    def everything(model):
        x.grad = None
        net.zero_grad()
        y = model(x)
        assert y.requires_grad
        (slope,) = cp.autograd.grad(y.sum(), x, create_graph=True)
        ((slope**2).sum() + y.sum()).backward()
        return [y.detach(), x.grad, *(p.grad.clone() for p in net.parameters())]

    for _ in range(2):
        for a, b in zip(everything(f), everything(net), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)
    with cp.no_grad():
        assert not f(x).requires_grad


def test_a_decision_on_a_value_is_an_error_that_names_the_line():
    def f(x):
        if x.sum() > 0:
            return x
        return -x

    with pytest.raises(TraceError, match=r"bool\(\) of bool\[\] at .*test_compile.py:\d+.*where"):
        cp.compile(f)(X)
    with pytest.raises(TraceError, match=r"item\(\)"):
        cp.compile(lambda x: x * x.sum().item())(X)


def test_an_index_out_of_range_stops_the_step_before_anything_is_written():
    net = nn.Linear(3, 4)
    optimizer = cp.optim.SGD(net.parameters(), lr=0.1)
    loss_of = nn.CrossEntropyLoss()

    @cp.compile
    def step(x, y):
        optimizer.zero_grad()
        loss = loss_of(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    labels = cp.tensor([0, 1, 2, 3])
    for _ in range(2):
        step(X[:4], labels)
    before = net.weight.detach().numpy().copy()
    for bad in (4, -1, 10**12):
        with pytest.raises(IndexError, match="out of range"):
            step(X[:4], cp.tensor([0, 1, bad, 3]))
    np.testing.assert_array_equal(net.weight.detach().numpy(), before)
    step(X[:4], labels)


def test_many_steps_in_one_call_are_the_steps_one_by_one():
    one, two, *_, eager, step = pair(momentum=0.9)
    eager = cp.compile(eager)
    xs, ys = cp.rand(12, 8, 3), cp.rand(12, 8, 2)
    singly = [eager(x, y).item() for x, y in zip(xs.unbind(), ys.unbind(), strict=True)]
    np.testing.assert_array_equal(step.run(12, (xs, ys)).numpy(), np.float32(singly))
    assert_same(one, two, atol=0)
    with pytest.raises(ShapeError, match="wants 5 entries"):
        step.run(5, (xs, ys))


def test_many_steps_with_random_numbers_draw_them_one_by_one():
    make = lambda: nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    one, two, *_, eager, step = pair(make)
    xs, ys = cp.rand(4, 8, 3), cp.rand(4, 8, 2)
    cp.manual_seed(1)
    singly = [eager(x, y).item() for x, y in zip(xs.unbind(), ys.unbind(), strict=True)]
    cp.manual_seed(1)
    np.testing.assert_allclose(step.run(4, (xs, ys)).numpy(), singly, rtol=1e-5)
    assert_same(one, two)


def test_methods_compile_for_every_instance():
    class Counter:
        def __init__(self, by):
            self.by = cp.tensor(by)

        @cp.compile
        def next(self, x):
            return x + self.by

    a, b = Counter(1.0), Counter(10.0)
    assert [a.next(X)[0, 0].item(), b.next(X)[0, 0].item()] == pytest.approx(
        [X[0, 0].item() + 1, X[0, 0].item() + 10]
    )


def test_inside_another_trace_and_under_flags_it_is_the_plain_function():
    inner = cp.compile(lambda x: x * 2)
    outer = cp.compile(lambda x: inner(x) + 1)
    np.testing.assert_array_equal(outer(X).numpy(), X.numpy() * 2 + 1)
    assert not versions(inner)
    with cp.flags(jit=0):
        inner(X)
    with cp.autograd.detect_anomaly():
        inner(X)
    assert not versions(inner)
    assert cp.compile(inner) is inner


def test_without_llvmlite_functions_run_in_eager_mode_and_say_so_once(monkeypatch):
    monkeypatch.setattr(jit_compiled, "Program", None)
    monkeypatch.setattr(jit_compiled, "_said", set())
    f = cp.compile(lambda x: x * 2)
    with pytest.warns(RuntimeWarning, match="there is no llvmlite"):
        np.testing.assert_array_equal(f(X).numpy(), X.numpy() * 2)
    np.testing.assert_array_equal(f(X).numpy(), X.numpy() * 2)


BLOCKED = """
import importlib.util, sys, warnings

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "llvmlite":
            raise ModuleNotFoundError(name)

find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "llvmlite" else find(name, *rest)
sys.meta_path.insert(0, Block())
import clearprop as cp

with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    f = cp.compile(lambda x: (x * x).sum(), threads=2, background=True)
    x = cp.ones(3)
    print(f(x).item(), f(x).item(), f.run(2, (cp.ones(2, 3),)).tolist(), f.explain())
print(len(told), "there is no llvmlite" in str(told[0].message))
"""


def test_where_llvmlite_is_not_installed_everything_works_in_eager_mode():
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.split("\n")[:2] == [
        "3.0 3.0 [3.0, 3.0] <lambda>: 0 compiled", "1 True"
    ], done.stderr  # fmt: skip


def test_what_runs_in_eager_mode_inside_is_told_and_its_errors_come_through():
    f = cp.compile(lambda x, i: cp.sort(x, dim=1)[0].sum() + x[i].sum())
    i = cp.tensor([1, 0, 2])
    assert f(X, i).item() == pytest.approx((X.sum() + X[i].sum()).item(), rel=1e-5)
    assert "runs in eager mode: sorts" in f.explain()
    with pytest.raises(IndexError):
        f(X, cp.tensor([1, 0, 99]))
    assert f(X, i).item() == pytest.approx((X.sum() + X[i].sum()).item(), rel=1e-5)


def test_too_many_versions_are_told():
    f = cp.compile(lambda x: SCALE * x)
    with pytest.warns(RuntimeWarning, match="was compiled 8 times.*global SCALE"):
        for i in range(8):
            globals()["SCALE"] = float(i)
            f(X)
    globals()["SCALE"] = 2.0


def work_in_threads(seconds, least):
    """8 threads call functions that they share, and compile some of their own."""
    shapes = [(2, 3), (4, 3), (5, 3)]
    f = cp.compile(lambda x: (cp.tanh(x @ x.mT) ** 2).sum(0))
    long = cp.compile(lambda x: (x @ x.mT).sum(0))  # runs without Python's lock
    big = cp.tensor(np.random.default_rng(0).uniform(-1, 1, (192, 128)))
    total = long(big).numpy().copy()
    wrong, done, end = [], [], time.monotonic() + seconds

    def work(seed):
        rng = np.random.default_rng(seed)
        turns = 0
        while turns < least or time.monotonic() < end:
            if turns % 50 == 0:
                own = cp.compile(lambda x, add=seed + turns: cp.exp(x).sum() + add)
                now = seed + turns
            x = cp.tensor(rng.uniform(-1, 1, shapes[rng.integers(3)]))
            a = x.numpy().astype(np.float64)
            if not np.allclose(f(x).numpy(), (np.tanh(a @ a.T) ** 2).sum(0), atol=1e-5):
                wrong.append("shared")
            if not np.isclose(own(x).item(), np.exp(a).sum() + now, atol=1e-4):
                wrong.append("own")
            if turns % 5 == 0 and not (long(big).numpy() == total).all():
                wrong.append("long")
            turns += 1
        done.append(turns)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(done) == 8 and not wrong


def test_threads_call_and_compile_at_once():
    work_in_threads(seconds=0, least=30)


@pytest.mark.nightly
def test_threads_call_and_compile_for_a_minute():
    work_in_threads(seconds=60, least=1000)


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def grown(cycles):
    """By how many bytes the process grows while functions are compiled, called and dropped."""

    def cycle(i):
        f = cp.compile(lambda x: (cp.exp(x @ x.mT) + float(i % 7)).sum())
        for _ in range(3):
            f(X)
            f.run(2, (cp.stack([X, X]),))

    for i in range(20):
        cycle(i)
    gc.collect()
    before = resident()
    for i in range(cycles):
        cycle(i)
    gc.collect()
    return resident() - before


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is asked of Linux")
def test_compiled_and_dropped_code_goes():
    assert grown(60) < 10e6


@pytest.mark.nightly
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is asked of Linux")
def test_much_compiled_and_dropped_code_goes():
    assert grown(500) < 20e6


def test_an_argument_that_the_function_also_knows_is_not_mistaken_for_it():
    net = nn.Linear(2, 2, bias=False)
    f = cp.compile(lambda x: net(x))
    with cp.no_grad():
        for x in (net.weight, cp.ones(2, 2), net.weight):
            np.testing.assert_allclose(
                f(x.detach()).numpy(), (x @ net.weight.mT).numpy(), rtol=1e-6
            )

    total = cp.ones(3)

    @cp.compile
    def add(x, y):
        total.add_(x)
        total.mul_(y)
        return total.clone()

    ones = cp.ones(3)
    for a, b in ((cp.ones(3), ones), (total, ones), (total, total[:])):
        before = total.numpy().copy()
        x = a.numpy().copy()
        result = add(a, b).numpy()
        wanted = before + x
        wanted = wanted * (wanted if b is not ones else 1)
        np.testing.assert_allclose(result, wanted)


def test_the_gradient_of_an_argument_is_left_in_it():
    @cp.compile
    def f(x):
        (x * x).sum().backward()

    for start in (1.0, 2.0):
        x = cp.full((3,), start, requires_grad=True)
        for n in (1, 2):
            f(x)
            np.testing.assert_array_equal(x.grad.numpy(), np.full(3, 2 * start * n))


def test_a_deep_network_is_compiled_in_parts():
    def make():
        return nn.Sequential(*[m for _ in range(80) for m in (nn.Linear(3, 3), nn.Tanh())])

    one, two, _, _, eager, step = pair(make)
    x, y = cp.rand(4, 3), cp.rand(4, 3)
    for _ in range(3):
        np.testing.assert_allclose(step(x, y).item(), eager(x, y).item(), rtol=1e-5)
    assert_same(one, two)
    program = versions(step)[0].program
    assert write_module(program.plan, host()).text.count("@part1(") == 2


def test_gradients_of_parts_are_put_side_by_side():
    def gradient(x, dim=1):
        x = x.detach().requires_grad_()
        a, b, c = x.chunk(3, dim)
        z = (a * b.tanh() + c.exp() + a).sum() + (x[:, :2] ** 2).sum() + x.T.unbind(0)[1].sum()
        return cp.autograd.grad(z, x)[0]

    x = cp.randn(4, 6)
    f = cp.compile(gradient)
    np.testing.assert_allclose(f(x).numpy(), gradient(x).numpy(), rtol=1e-6)

    def parts(x):
        x = x.detach().requires_grad_()
        a, b, c = x.unbind(0)
        return cp.autograd.grad((a * b * c).sum(), x)[0]

    g = cp.compile(parts)
    np.testing.assert_allclose(g(x[:3]).numpy(), parts(x[:3]).numpy(), rtol=1e-6)
    names = [e.prim.name for e in versions(g)[0].program.graph.equations]
    assert "concat" in names and "unslice" not in names
