"""The passes: what they remove, and that they change no bit."""

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn
from clearprop.flags import flags
from clearprop.graph import PASSES, Pass, evaluate, optimize, parse, text, trace, verify
from clearprop.graph.verify import GraphError

SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-45, 3e38], np.float32)


def one(body, aval="f32[9]", returned="%y"):
    """A graph of %x with some lines."""
    return parse(f"graph f(%x: {aval}) {{\n{body}\nreturn {returned}\n}}")


def ops_of(graph):
    return [e.prim.name for e in graph.equations]


def same_bits(graph, x=SPECIAL):
    simple = verify(optimize(verify(graph)))
    for a, b in zip(evaluate(graph, [x]), evaluate(simple, [x]), strict=True):
        assert a.tobytes() == b.tobytes() or (
            np.array_equal(np.isnan(a), np.isnan(b))
            and a[~np.isnan(a)].tobytes() == b[~np.isnan(b)].tobytes()
        )
    return simple


@pytest.mark.parametrize(
    "line",
    [
        "%y: f32[9] = mul(%x, %one)",
        "%y: f32[9] = mul(%one, %x)",
        "%y: f32[9] = div(%x, %one)",
        "%y: f32[9] = sub(%x, %zero)",
        "%y: f32[9] = add(%x, %minus)",
        "%y: f32[9] = add(%minus, %x)",
        "%y: f32[9] = clone(%x)",
        "%y: f32[9] = cast(%x) {to=f32}",
        "%y: f32[9] = reshape(%x) {shape=(9,)}",
        "%y: f32[9] = permute(%x) {dims=(0,)}",
        "%y: f32[9] = slice(%x) {starts=(0,), stops=(9,), steps=(1,)}",
        "%n: f32[9] = neg(%x)\n%y: f32[9] = neg(%n)",
        "%a: f32[3,3] = reshape(%x) {shape=(3, 3)}\n%y: f32[9] = reshape(%a) {shape=(9,)}",
    ],
)
def test_what_changes_nothing_goes_away(line):
    numbers = [("one", "1.0"), ("zero", "0.0"), ("minus", "-0.0")]
    constants = "\n".join(
        f"%{n}0: f32[] = const {v}\n%{n}: f32[9] = expand(%{n}0) {{shape=(9,)}}" for n, v in numbers
    )
    simple = same_bits(one(f"{constants}\n{line}"))
    assert ops_of(simple) == [] and not simple.constants
    assert simple.outputs == simple.inputs


@pytest.mark.parametrize(
    "line",
    ["%y: f32[9] = add(%x, %zero)", "%y: f32[9] = sub(%x, %minus)", "%y: f32[9] = mul(%x, %zero)"],
)
def test_what_only_looks_as_if_it_changed_nothing_stays(line):
    graph = one(
        "%z: f32[] = const 0.0\n%m: f32[] = const -0.0\n"
        "%zero: f32[9] = expand(%z) {shape=(9,)}\n%minus: f32[9] = expand(%m) {shape=(9,)}\n" + line
    )
    assert len(same_bits(graph).equations) == 2


def test_numbers_are_computed_once_and_for_all():
    graph = trace(lambda x: x * (cp.exp(cp.ones(9)) * 2 + 1).sum(), cp.ones(9)).graph
    simple = same_bits(graph)
    assert ops_of(simple) == ["expand", "mul"]


def test_equal_equations_are_joined():
    graph = trace(lambda x: cp.tanh(x) * cp.tanh(x), cp.ones(9)).graph
    assert ops_of(same_bits(graph)) == ["tanh", "mul"]


def test_params_of_another_type_or_sign_keep_equations_apart():
    graph = trace(lambda x: (x.clamp(min=0.0), x.clamp(min=-0.0)), cp.ones(9)).graph
    assert ops_of(optimize(graph)) == ["clamp", "clamp"]


def test_chains_of_views_become_one():
    graph = trace(lambda x: x.t().t().t().reshape(3, 3).reshape(-1), cp.ones(3, 3)).graph
    assert ops_of(optimize(graph)) == ["permute", "reshape"]


def test_what_nothing_needs_goes_away():
    def f(x):
        cp.exp(x)
        y = x * 2
        y.add_(1)
        return x * 3

    graph = trace(f, cp.ones(9)).graph
    assert ops_of(same_bits(graph)) == ["expand", "mul"]


def test_writes_stay():
    w = cp.ones(9)

    def f(x):
        w.add_(x)
        return x * 1

    simple = optimize(trace(f, cp.ones(9)).graph)
    assert ops_of(simple) == ["add"] and len(simple.writes) == 1


def test_a_training_step_gets_smaller_and_stays_the_same():
    cp.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.0), nn.Linear(8, 2))
    params, target = list(net.parameters()), cp.tensor([0, 1, 1])

    def gradients(x):
        return cp.autograd.grad(nn.functional.cross_entropy(net(x), target), params)

    x = cp.randn(3, 3)
    traced = trace(gradients, x)
    simple = verify(optimize(traced.graph))
    assert len(simple) < 0.85 * len(traced.graph)
    wanted = [g.numpy() for g in gradients(x)]
    for a, b in zip(wanted, evaluate(simple, [x.numpy(), *traced.captured]), strict=True):
        assert np.array_equal(a, b)
    assert text(optimize(simple)) == text(simple)


def test_every_pass_has_a_name_and_a_reason():
    assert len({p.name for p in PASSES}) == len(PASSES)
    assert all(len(p.why.split()) > 5 for p in PASSES)


def test_with_check_a_pass_that_breaks_a_graph_is_caught():
    def forget(graph):
        return graph.with_body(graph.equations[1:])

    graph = trace(lambda x: cp.exp(x) + 1, cp.ones(2)).graph
    with flags(check=1), pytest.raises(GraphError):
        optimize(graph, [Pass("forget", forget, "a planted fault")])
