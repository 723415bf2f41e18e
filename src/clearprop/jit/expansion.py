"""Composed primitives written out: an equation becomes the ops of its `function`.

A graph keeps them whole, as eager mode runs them, so that evaluating it gives eager mode's bits and
printing it stays short. Only native code is made of the parts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from clearprop.autograd import no_grad
from clearprop.core import Composed, wrap
from clearprop.graph import Equation, Graph, Var, optimize, trace


def expanded(graph: Graph) -> Graph:
    """The graph without Composed primitives, simplified again; the graph itself if it has none."""
    if not any(isinstance(e.prim.lower, Composed) for e in graph.equations):
        return graph
    constants = dict(graph.constants)
    equations: list[Equation] = []
    renamed: dict[Var, Var] = {}
    parts: dict[Any, Graph] = {}
    for equation in graph.equations:
        inputs = tuple(renamed.get(v, v) for v in equation.inputs)
        if not isinstance(equation.prim.lower, Composed):
            equations.append(
                Equation(equation.prim, inputs, equation.params, equation.outputs, equation.origin)
            )
            continue
        key = (equation.prim, *(v.aval for v in inputs), repr(sorted(equation.params.items())))
        if key not in parts:
            parts[key] = written_out(equation)
        outputs = _inline(parts[key], inputs, equation, equations, constants)
        renamed.update(zip(equation.outputs, outputs, strict=True))
    return optimize(graph.with_body(equations, constants, renamed))


def written_out(equation: Equation) -> Graph:
    """What the equation computes, as a graph of other primitives."""
    assert isinstance(equation.prim.lower, Composed)
    function = equation.prim.lower.function
    given = [wrap(np.empty(v.aval.shape, v.aval.dtype.np), None) for v in equation.inputs]
    with no_grad():
        traced = trace(lambda *xs: function(*xs, **equation.params), *given)
    assert not traced.sources and not traced.numbers, f"{equation.prim}: not a function of inputs"
    return expanded(optimize(traced.graph))


def _inline(
    part: Graph,
    inputs: tuple[Var, ...],
    equation: Equation,
    equations: list[Equation],
    constants: dict[Var, Any],
) -> list[Var]:
    """Append a copy of the part's equations; its outputs."""
    new: dict[Var, Var] = dict(zip(part.inputs, inputs, strict=True))
    for v, array in part.constants.items():
        new[v] = v
        constants[v] = array
    for e in part.equations:
        outputs = tuple(Var(v.aval) for v in e.outputs)
        new.update(zip(e.outputs, outputs, strict=True))
        equations.append(
            Equation(e.prim, tuple(new[v] for v in e.inputs), e.params, outputs, equation.origin)
        )
    return [new[v] for v in part.outputs]
