"""Is a graph well formed? Checked after tracing and, in the tests, after every pass."""

from __future__ import annotations

from clearprop.errors import TraceError
from clearprop.graph.ir import Equation, Graph, Var, aval_of, output_avals


class GraphError(TraceError):
    """A graph breaks a rule: a fault of clearprop or of a pass, not of the user's program."""


def verify(graph: Graph) -> Graph:
    """The graph itself, or a GraphError that names the rule and the equation that breaks it.

    The rules: every Var is made once and before it is read; avals are what the shape rules say;
    constants have the aval of their array; every write goes to an input and has its aval.
    """
    made: set[Var] = set()

    def make(v: Var, by: str) -> None:
        if v in made:
            raise GraphError(f"{graph.name}: {v!r} is made twice, the second time by {by}")
        made.add(v)

    for v in graph.inputs:
        make(v, "an input")
    for v, array in graph.constants.items():
        make(v, "a constant")
        if aval_of(array) != v.aval:
            raise GraphError(f"{graph.name}: the constant {v!r} holds {aval_of(array)}")
    for number, equation in enumerate(graph.equations):
        _check(graph, number, equation, made)
        for v in equation.outputs:
            make(v, f"equation {number} ({equation.prim.name})")
    for v in graph.roots():
        if v not in made:
            raise GraphError(f"{graph.name}: {v!r} is returned or written, but never made")
    inputs = set(graph.inputs)
    for target, source in graph.writes.items():
        if target not in inputs:
            raise GraphError(f"{graph.name}: a write to {target!r}, which is no input")
        if target.aval != source.aval:
            raise GraphError(f"{graph.name}: {source.aval} is written to the input {target!r}")
    return graph


def _check(graph: Graph, number: int, equation: Equation, made: set[Var]) -> None:
    def where() -> str:
        what = f"{equation.prim.name} {equation.origin}".rstrip()
        return f"{graph.name}: equation {number} ({what})"

    for v in equation.inputs:
        if v not in made:
            raise GraphError(f"{where()} reads {v!r} before it is made")
    prim = equation.prim
    if not prim.variadic and len(equation.inputs) != prim.arity:
        raise GraphError(f"{where()} has {len(equation.inputs)} inputs, wanted {prim.arity}")
    wanted = output_avals(prim, [v.aval for v in equation.inputs], equation.params)
    got = [v.aval for v in equation.outputs]
    if got != wanted:
        raise GraphError(f"{where()} makes {got}, the shape rule says {wanted}")
