"""The reference interpreter: runs a graph one eager kernel at a time. Everything that compiles is
held against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from clearprop.core import Tensor, apply, apply_many, local, wrap
from clearprop.errors import ShapeError
from clearprop.graph.ir import Graph, Var, aval_of


def evaluate(graph: Graph, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """The outputs of the graph on these arrays; what it writes is written into them at the end.

    Values are freed after their last use.

    Errors: another number of inputs, or other shapes and dtypes, than the graph was made for.
    """
    values: dict[Var, Any] = dict(graph.constants)
    _check(graph, inputs)
    values.update(zip(graph.inputs, inputs, strict=True))
    left = graph.uses()
    for equation in graph.equations:
        args = [values[v] for v in equation.inputs]
        out = local.c.run(equation.prim.eager, *args, **equation.params)
        outs = out if equation.prim.outputs > 1 else (out,)
        for v, value in zip(equation.outputs, outs, strict=True):
            if left.get(v):
                values[v] = np.asarray(value)
        for v in equation.inputs:
            left[v] -= 1
            if not left[v]:
                del values[v]
    outputs = tuple(values[v] for v in graph.outputs)
    memory = dict(zip(graph.inputs, inputs, strict=True))
    written = [(memory[target], values[v]) for target, v in graph.writes.items()]
    if graph.writes:
        changed = [target for target, _ in written]
        outputs = tuple(_apart(y, changed) for y in outputs)
        written = [(target, _apart(source, changed)) for target, source in written]
    for target, source in written:
        np.copyto(target, source)
    return outputs


def _apart(value: np.ndarray, changed: Sequence[np.ndarray]) -> np.ndarray:
    """value, copied if it lies in memory that is about to be overwritten."""
    if any(np.may_share_memory(value, target) for target in changed):
        return value.copy()
    return value


def replay(graph: Graph, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The outputs of the graph on Tensors, op by op through the tape, so that they can be
    differentiated. Writes are left out: they belong to a run on memory.
    """
    values: dict[Var, Tensor] = {v: wrap(a, None) for v, a in graph.constants.items()}
    _check(graph, [x.value for x in inputs])
    values.update(zip(graph.inputs, inputs, strict=True))
    for equation in graph.equations:
        args = [values[v] for v in equation.inputs]
        if equation.prim.outputs > 1:
            outs = apply_many(equation.prim, *args, **equation.params)
        else:
            outs = (apply(equation.prim, *args, **equation.params),)
        values.update(zip(equation.outputs, outs, strict=True))
    return tuple(values[v] for v in graph.outputs)


def _check(graph: Graph, inputs: Sequence[Any]) -> None:
    if len(inputs) != len(graph.inputs):
        raise TypeError(f"{graph.name}: got {len(inputs)} inputs, wanted {len(graph.inputs)}")
    for i, (v, x) in enumerate(zip(graph.inputs, inputs, strict=True)):
        if isinstance(x, np.ndarray) and aval_of(x) != v.aval:
            name = f" ({v.hint})" if v.hint else ""
            raise ShapeError(
                f"{graph.name}: input {i}{name} is {aval_of(x)}, the graph was made for {v.aval}"
            )
