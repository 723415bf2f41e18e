"""Compiled code computes what eager mode computes: every primitive with its gradients and theirs,
on small and on long rows, in float64 and float32; every layer; every optimizer.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from checks import Case, _wants, cases, inputs, run
from test_layers_contract import CASES as LAYERS
from test_layers_contract import made

import clearprop as cp
from clearprop import nn
from clearprop.autograd import grad
from clearprop.core import TABLE, Map
from clearprop.graph import evaluate, optimize, trace
from clearprop.jit.program import Program

CASES = [case for prim in TABLE.values() for case in cases(prim)]
TOLERANCE = {np.dtype(np.float64): 1e-11, np.dtype(np.float32): 2e-5}


def compiled(graph, arrays):
    """What a graph returns when it runs as machine code; its inputs are changed as it says."""
    outputs = [np.full(v.aval.shape, 7, v.aval.dtype.np) for v in graph.outputs]
    Program(graph).run([np.ascontiguousarray(a).reshape(a.shape) for a in arrays], outputs)
    return outputs


def assert_near(got, wanted, scale=1.0):
    assert got.dtype == wanted.dtype and got.shape == wanted.shape
    if got.dtype.kind != "f":
        np.testing.assert_array_equal(got, wanted)
        return
    finite = wanted[np.isfinite(wanted)]
    size = scale * max(1.0, np.abs(finite).max(initial=0.0))
    limit = TOLERANCE[got.dtype]
    np.testing.assert_allclose(got, wanted, rtol=limit, atol=limit * size)


def with_gradients(case: Case, xs):
    """Outputs, gradients, and gradients of gradients."""
    ys = run(case, list(xs))
    wanted = [x for x in xs if x.requires_grad]
    if not wanted or not _wants(case):
        return ys
    roots = [y for y in ys if y.is_floating_point()]
    ones = [cp.ones_like(y) for y in roots]
    gs = grad(roots, wanted, ones, create_graph=True, materialize_grads=True)
    smooth = [(g * g).sum() for g in gs if g.requires_grad]
    second = grad(smooth, wanted, None, materialize_grads=True) if smooth else ()
    return [*ys, *gs, *second]


def check(case: Case, dtype: type) -> None:
    xs = inputs(case)
    for x in xs:
        if x.value.dtype == np.float64:
            x.value = x.value.astype(dtype)
    traced = trace(lambda *ts: with_gradients(case, ts), *xs)
    arrays = [x.detach().numpy() for x in xs] + traced.captured
    wanted = evaluate(traced.graph, arrays)
    for a, b in zip(compiled(optimize(traced.graph), arrays), wanted, strict=True):
        assert_near(a, b)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_primitive_and_its_gradients(case, dtype):
    check(case, dtype)


@pytest.mark.parametrize("prim", [p for p in TABLE.values() if isinstance(p.lower, Map)], ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_elementwise_primitive_on_rows_of_many_lengths(prim, dtype):
    rng = np.random.default_rng(0)
    low, high = prim.domain
    for case in cases(prim)[:1]:
        params = case.params
        for shape in [(1,), (5, 7), (3, 33), (130,), (2, 100)]:
            arrays = []
            for a in case.arrays():
                if a.dtype.kind == "f":
                    arrays.append(rng.uniform(low, high, shape).astype(dtype))
                else:
                    arrays.append(rng.integers(0, 2, shape).astype(a.dtype))
            xs = [cp.from_numpy(a) for a in arrays]
            traced = trace(lambda *ts: cp.core.apply(prim, *ts, **params), *xs)  # noqa: B023
            (wanted,) = evaluate(traced.graph, arrays)
            (got,) = compiled(traced.graph, arrays)
            assert_near(got, wanted)


REDUCTIONS = ["sum", "mean", "prod", "amax", "amin", "var", "logsumexp", "argmax", "any", "all"]


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize(
    "shape", [(7,), (3, 5), (40, 33), (2, 3, 70), (5, 1, 4), (300, 2), (5000,)]
)
def test_reductions_along_every_choice_of_axes(name, shape):
    a = np.random.default_rng(1).uniform(0.5, 1.5, shape)
    x = cp.from_numpy(a > 0.7 if name in ("any", "all") else a)
    for n in range(1, len(shape) + 1):
        for dims in itertools.combinations(range(len(shape)), n):
            if name in ("prod", "argmax", "any", "all") and n > 1:
                continue
            dim = dims[0] if n == 1 else dims
            f = lambda t: getattr(cp, name)(t, dim=dim)  # noqa: B023
            traced = trace(f, x)
            arrays = [x.numpy(), *traced.captured]
            for got, wanted in zip(
                compiled(optimize(traced.graph), arrays), evaluate(traced.graph, arrays),
                strict=True,
            ):  # fmt: skip
                assert_near(got, wanted)


def test_a_wrong_formula_is_found(monkeypatch):
    tanh = TABLE["tanh"]
    object.__setattr__(tanh, "lower", Map("tanh(x) + 0.001"))
    try:
        with pytest.raises(AssertionError):
            check(cases(tanh)[0], np.float64)
    finally:
        object.__setattr__(tanh, "lower", Map("tanh(x)"))


@pytest.mark.parametrize("entry", LAYERS)
def test_every_layer_with_its_gradients(entry):
    module, given = made(entry)
    parameters = [*module.parameters()]

    def f(*xs):
        y = module(*xs)
        wanted = [x for x in (*xs, *parameters) if x.requires_grad]
        return y, cp.autograd.grad((y * y).sum(), wanted, materialize_grads=True)

    cp.manual_seed(5)
    out, gradients = f(*given)
    xs = [x.detach().requires_grad_(x.requires_grad) for x in given]
    cp.manual_seed(5)
    step = cp.compile(f)
    got, found = step(*xs)
    for a, b in zip([got, *found], [out, *gradients], strict=True):
        assert_near(a.detach().numpy(), b.detach().numpy())
    left = [line for line in step.explain().splitlines() if "in eager mode" in line]
    assert not left


@pytest.mark.parametrize("entry", [case for case in LAYERS if case.values[0].modal])
def test_layers_that_know_the_mode_in_training(entry):
    sides = []
    for compiled in (False, True):
        module, given = made(entry)
        module.train()

        def f(*xs, module=module):
            y = module(*xs)
            wanted = [x for x in (*xs, *module.parameters()) if x.requires_grad]
            return y, cp.autograd.grad((y * y).sum(), wanted, materialize_grads=True)

        step = cp.compile(f) if compiled else f
        cp.manual_seed(5)
        for _ in range(2):
            out, gradients = step(*given)
        sides.append([out, *gradients, *module.buffers()])
    for a, b in zip(*sides, strict=True):
        assert_near(b.detach().numpy(), a.detach().numpy())


OPTIMIZERS = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.1}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.01}),
    ("AdamW", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9, "centered": True}),
    ("Adagrad", {"lr": 0.05}),
    ("Adadelta", {"lr": 0.5, "weight_decay": 0.01}),
    ("NAdam", {"lr": 0.01, "weight_decay": 0.01, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.01, "weight_decay": 0.01}),
    ("Adamax", {"lr": 0.01, "maximize": True}),
    ("Rprop", {"lr": 0.01}),
    ("ASGD", {"lr": 0.05, "t0": 8, "weight_decay": 0.01}),
    ("Adafactor", {"lr": 0.1, "weight_decay": 0.01}),
    ("Muon", {"lr": 0.02}),
]


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_every_optimizer_for_twenty_steps(name, options):
    def network():
        cp.manual_seed(1)
        net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
        params = [p for p in net.parameters() if name != "Muon" or p.ndim == 2]
        optimizer = getattr(cp.optim, name)(params, **options)

        def step(x, y):
            net.zero_grad()
            loss = ((net(x) - y) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        return net, optimizer, step

    one, first, eager = network()
    two, second, step = network()
    step = cp.compile(step)
    x, y = cp.rand(8, 3, dtype=cp.float64), cp.rand(8, 2, dtype=cp.float64)
    for i in range(20):
        if i == 10:
            first.param_groups[0]["lr"] = second.param_groups[0]["lr"] = 0.003
        assert abs(eager(x, y).item() - step(x, y).item()) < 1e-12
        for p, q in zip(one.parameters(), two.parameters(), strict=True):
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=0, atol=1e-12)
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=0, atol=1e-12)
    assert sum(map(len, step.versions.values())) <= 2
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        for key, value in first.state[p].items():
            np.testing.assert_allclose(value.numpy(), second.state[q][key].numpy(), atol=1e-12)


def test_every_public_optimizer_is_compared():
    public = {n for n in dir(cp.optim) if isinstance(getattr(cp.optim, n), type)}
    public = {n for n in public if issubclass(getattr(cp.optim, n), cp.optim.Optimizer)}
    # LBFGS looks at values; tests/optim/test_lbfgs.py sees to it that it says so
    assert public - {"Optimizer", "LBFGS"} == {name for name, _ in OPTIMIZERS}
