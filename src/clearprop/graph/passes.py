"""The passes, Graph -> Graph, in the order in which they run, each with the reason for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clearprop.flags import flags
from clearprop.graph.ir import Equation, Graph, Var
from clearprop.graph.rewrite import rebuild
from clearprop.graph.verify import verify


@dataclass(frozen=True)
class Pass:
    """One step of `optimize`."""

    name: str
    run: Callable[[Graph], Graph]
    why: str


def drop_dead(graph: Graph) -> Graph:
    """Without equations, constants and inputs' copies that nothing needs."""
    needed: set[Var] = set(graph.roots())
    kept: list[Equation] = []
    for equation in reversed(graph.equations):
        if not needed.isdisjoint(equation.outputs):
            kept.append(equation)
            needed.update(equation.inputs)
    constants = {v: a for v, a in graph.constants.items() if v in needed}
    return graph.with_body(kept[::-1], constants)


PASSES: tuple[Pass, ...] = (
    Pass("dead", drop_dead, "a trace records more than is used; less is left to look at"),
    Pass(
        "simplify",
        rebuild,
        "folds constants, applies identities and joins equal equations in one walk: each of the"
        " three makes work for the others",
    ),
    Pass("sweep", drop_dead, "what the rules have bypassed has no reader any more"),
)


def optimize(
    graph: Graph,
    passes: Sequence[Pass] = PASSES,
    each: Callable[[str, Graph], None] = lambda name, graph: None,
) -> Graph:
    """The graph after all passes; with the flag CHECK=1 it is verified after each. `each` is told
    the traced graph, and the graph after every pass.
    """
    each("traced", graph)
    for step in passes:
        graph = step.run(graph)
        each(step.name, graph)
        if flags.check:
            verify(graph)
    return graph
