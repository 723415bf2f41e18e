"""Graphs as text, there and back."""

import math

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn
from clearprop.graph import Graph, evaluate, parse, text, trace, verify

SOURCE = """\
graph f(%x: f32[2,3], %w: f32[3]) {
  %0: f32[] = const 0.5
  %mask: bool[2,3] = const [[True, False, True], [False, False, True]]
  %1: f32[2,3] = expand(%0) {shape=(2, 3)}
  %2: f32[2,3] = mul(%x, %1)  # in Net at train.py:3
  %3: f32[3] = sum(%2) {dim=(0,), keepdim=False}
  %4: f64[3] = cast(%3) {to=f64}
  %5: f32[2,3] = clamp(%2) {lo=-inf, hi=1.5}
  %6: f32[2,3] = where(%mask, %5, %x)
  write %w <- %3
  return %4, %6
}
"""


def test_what_is_parsed_runs():
    graph = verify(parse(SOURCE))
    x, w = np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros(3, np.float32)
    y, z = evaluate(graph, [x, w])
    assert y.dtype == np.float64 and y.tolist() == [1.5, 2.5, 3.5]
    assert w.tolist() == [1.5, 2.5, 3.5]
    assert z.tolist() == [[0.0, 1.0, 1.0], [3.0, 4.0, 1.5]]


def test_text_and_parse_are_inverse():
    once = text(parse(SOURCE))
    assert text(parse(once)) == once
    assert once == SOURCE.replace("  # in Net at train.py:3", "").rstrip()


def test_a_traced_training_step_survives_the_round_trip():
    net = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 2))
    target = cp.tensor([0, 1])
    params = list(net.parameters())

    def loss_and_gradients(x):
        loss = nn.functional.cross_entropy(net(x), target)
        return loss, cp.autograd.grad(loss, params)

    traced = trace(loss_and_gradients, cp.randn(2, 3))
    arrays = [np.ones((2, 3), np.float32), *traced.captured]
    wanted = evaluate(traced.graph, arrays)
    got = evaluate(verify(parse(text(traced.graph))), arrays)
    for a, b in zip(wanted, got, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan, -0.0, 1e-45, 0.1])
def test_every_number_survives(number):
    traced = trace(lambda x: x + number, cp.ones(1))
    (again,) = parse(text(traced.graph)).constants.values()
    (first,) = traced.graph.constants.values()
    assert again.tobytes() == first.tobytes()


def test_names_of_inputs_are_shown_once():
    graph = trace(lambda x, y: x + y, cp.ones(1), cp.ones(1)).graph
    for v in graph.inputs:
        v.hint = "0.weight"
    assert text(graph).startswith("graph <lambda>(%0.weight: f32[1], %0: f32[1]) {")
    assert text(parse(text(graph))) == text(graph)


def test_large_constants_are_shortened_for_people_only():
    graph = trace(lambda x: x + cp.arange(100.0), cp.ones(100)).graph
    assert "const ..." in str(graph)
    assert len(parse(text(graph)).constants) == 1
    with pytest.raises(ValueError, match=r"line 2: .*full=True"):
        parse(str(graph))


def test_an_empty_function():
    graph = Graph("nothing", ())
    assert text(parse(text(graph))) == "graph nothing() {\n  return\n}"


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("graph f(", "grph f(", r"line 1: wanted 'graph NAME"),
        ("mul(%x, %1)", "mull(%x, %1)", r"line 5: no primitive 'mull'; did you mean 'mul'"),
        ("mul(%x, %1)", "mul(%x, %7)", r"line 5: %7 is read, but never made"),
        ("%2: f32[2,3] = mul", "%1: f32[2,3] = mul", r"line 5: %1 is made twice"),
        ("%2: f32[2,3] = mul", "%2: g32[2,3] = mul", r"line 5: no dtype 'g32'"),
        ("%2: f32[2,3] = mul", "%2 = mul", r"line 5: wanted"),
        ("lo=-inf", "lo=open('x')", r"line 8: .*no literal"),
        ("lo=-inf", "lo=1 +", r"line 8: .*no value"),
        ("<- %3", "%3", r"line 10: wanted 'write"),
        ("%6\n}\n", "%6\n", r"the text ends before"),
        ("%6\n}\n", "%6\n}\nmore", r"line 13: nothing may follow"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(old, new, wanted):
    assert old in SOURCE
    with pytest.raises(ValueError, match=wanted):
        parse(SOURCE.replace(old, new))
