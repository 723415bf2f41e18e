"""Gradients of the parts of a tensor, put side by side instead of padded with zeros and added up.

The derivative of taking parts (chunk, unbind, split) is a sum of `unslice`s of which each fills
another stretch of one axis; where they fill all of it, the sum is what `concat` makes of them. The
graph keeps the sum, as eager mode has it; a zero may get another sign here.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from clearprop.core import TABLE
from clearprop.graph import Equation, Graph, Var


@dataclass(frozen=True)
class _Pieces:
    """Stretches of one axis, in order, with what fills them; and the equations behind them."""

    dim: int
    stretches: tuple[tuple[int, int, Var], ...]
    behind: tuple[Equation, ...]

    def and_also(self, other: _Pieces, equation: Equation) -> _Pieces | None:
        """Both, if they do not overlap."""
        if self.dim != other.dim:
            return None
        both = tuple(sorted((*self.stretches, *other.stretches), key=lambda s: s[:2]))
        if any(a[1] > b[0] for a, b in itertools.pairwise(both)):
            return None
        return _Pieces(self.dim, both, (*self.behind, *other.behind, equation))

    def fill(self, size: int) -> bool:
        """Whether nothing is left of an axis of that size."""
        bounds = [0, *(b for a, b, _ in self.stretches)]
        return bounds[-1] == size and bounds[:-1] == [a for a, _, _ in self.stretches]


def joined(graph: Graph) -> Graph:
    """The graph with such sums as one `concat` each; the graph itself if it has none."""
    uses = graph.uses()
    pieces: dict[Var, _Pieces] = {}
    whole: dict[Equation, _Pieces] = {}  # the last addition of a sum that fills the axis
    for e in graph.equations:
        if e.prim.name == "unslice":
            piece = _piece(e)
            if piece is not None:
                pieces[e.output] = piece
        elif e.prim.name == "add":
            a, b = e.inputs
            if a in pieces and b in pieces and uses[a] == uses[b] == 1:
                both = pieces[a].and_also(pieces[b], e)
                if both is not None:
                    pieces[e.output] = both
                    if both.fill(e.output.aval.shape[both.dim]):
                        whole[e] = both
    if not whole:
        return graph
    gone = {e for found in whole.values() for e in found.behind}
    equations: list[Equation] = []
    for e in graph.equations:
        if e in whole:
            found = whole[e]
            parts = tuple(v for _, _, v in found.stretches)
            params = {"dim": found.dim}
            equations.append(Equation(TABLE["concat"], parts, params, e.outputs, e.origin))
        elif e not in gone:
            equations.append(e)
    return graph.with_body(equations)


def _piece(e: Equation) -> _Pieces | None:
    """What an unslice fills, if that is a stretch of one axis."""
    (x,), shape = e.inputs, e.params["shape"]
    dims = [i for i, n in enumerate(x.aval.shape) if n != shape[i]]
    if len(dims) != 1 or any(s != 1 for s in e.params["steps"]):
        return None
    start = e.params["starts"][dims[0]]
    return _Pieces(dims[0], ((start, start + x.aval.shape[dims[0]], x),), (e,))
