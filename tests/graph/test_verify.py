"""verify finds every way to break a graph; evaluate checks what it is given."""

import numpy as np
import pytest

import clearprop as cp
from clearprop.core import Aval, float32, float64
from clearprop.graph import Equation, GraphError, Var, evaluate, parse, replay, verify

SOURCE = """
graph f(%x: f32[2], %w: f32[2]) {
  %c: f32[2] = const [1.0, 2.0]
  %a: f32[2] = add(%x, %c)
  %b: f32[2] = mul(%a, %w)
  write %w <- %a
  return %b
}
"""
F2 = Aval((2,), float32)


def broken(graph, rule):
    with pytest.raises(GraphError, match=rule):
        verify(graph)


def test_a_right_graph_passes():
    graph = parse(SOURCE)
    assert verify(graph) is graph


def test_a_var_that_is_read_before_it_is_made():
    graph = parse(SOURCE)
    graph.equations.reverse()
    broken(graph, r"equation 0 \(mul\) reads .* before it is made")


def test_a_var_that_is_made_twice():
    graph = parse(SOURCE)
    graph.equations.append(graph.equations[0])
    broken(graph, "made twice, the second time by equation 2")


def test_an_aval_that_the_shape_rule_denies():
    graph = parse(SOURCE)
    first = graph.equations[0]
    wrong = Equation(first.prim, first.inputs, {}, (Var(Aval((2,), float64)),))
    graph.equations[:] = [wrong]
    graph.outputs, graph.writes = wrong.outputs, {}
    broken(graph, r"makes \[f64\[2\]\], the shape rule says \[f32\[2\]\]")


def test_a_wrong_number_of_inputs():
    graph = parse(SOURCE)
    first = graph.equations[0]
    graph.equations[0] = Equation(first.prim, first.inputs[:1], {}, first.outputs)
    broken(graph, "has 1 inputs, wanted 2")


def test_a_result_that_is_never_made():
    graph = parse(SOURCE)
    graph.outputs = (Var(F2),)
    broken(graph, "returned or written, but never made")


def test_a_write_to_what_is_no_input():
    graph = parse(SOURCE)
    made = graph.equations[0].output
    graph.writes = {made: made}
    broken(graph, "which is no input")


def test_a_write_of_another_aval():
    graph = parse(SOURCE)
    graph.writes = {graph.inputs[0]: Var(Aval((3,), float32))}
    broken(graph, "never made|is written to the input")


def test_a_constant_of_another_aval():
    graph = parse(SOURCE)
    (c,) = graph.constants
    graph.constants[c] = np.zeros(3, np.float32)
    broken(graph, r"holds f32\[3\]")


def test_inputs_are_checked():
    graph = parse(SOURCE)
    x = np.ones(2, np.float32)
    with pytest.raises(TypeError, match="got 1 inputs, wanted 2"):
        evaluate(graph, [x])
    with pytest.raises(cp.errors.ShapeError, match=r"input 1 \(w\) is f64\[2\].* f32\[2\]"):
        evaluate(graph, [x, x.astype(np.float64)])


def test_a_value_that_is_written_and_read_is_read_first():
    swap = parse(
        "graph s(%a: f32[1], %b: f32[1]) {\n write %a <- %b\n write %b <- %a\n return %a\n}"
    )
    a, b = np.array([1], np.float32), np.array([2], np.float32)
    (old,) = evaluate(swap, [a, b])
    assert (a.item(), b.item(), old.item()) == (2, 1, 1)


def test_replay_can_be_differentiated():
    x = cp.tensor([3.0, 4.0], requires_grad=True)
    (y,) = replay(parse(SOURCE), [x, cp.tensor([1.0, 10.0])])
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 10.0]
