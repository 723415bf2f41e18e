"""The graph of a traced function: one object that is run, rewritten, drawn and printed."""

from clearprop.graph.evaluate import evaluate, replay
from clearprop.graph.ir import Equation, Graph, Origin, Var
from clearprop.graph.passes import PASSES, Pass, optimize
from clearprop.graph.stage import Stage
from clearprop.graph.symbols import Symbol
from clearprop.graph.text import parse, text
from clearprop.graph.trace import trace
from clearprop.graph.traced import Traced
from clearprop.graph.verify import GraphError, verify

__all__ = [
    "PASSES",
    "Equation",
    "Graph",
    "GraphError",
    "Origin",
    "Pass",
    "Stage",
    "Symbol",
    "Traced",
    "Var",
    "evaluate",
    "optimize",
    "parse",
    "replay",
    "text",
    "trace",
    "verify",
]
