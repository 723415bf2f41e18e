"""A log made afterwards, from the tape: for a step that nobody observed and that turned out to be
worth a look.

The tape keeps what the rules need, which is not all; what is missing is worked out again from what
is there, where it can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from clearprop.autograd import engine
from clearprop.core import Leaf, Node, Pick, Tensor, local
from clearprop.doctor.log import Log, Record, Use, Value


def log_of_tape(outputs: Sequence[Tensor]) -> Log:
    """The records of the nodes behind the outputs, those whose numbers can be known."""
    log = Log()
    nodes = engine.collect([y.node for y in outputs if y.node is not None])[::-1]
    saved: dict[Any, np.ndarray] = {y.node: y.value for y in outputs}
    for node in nodes:
        _keep(node, saved)
    values: dict[Any, Value] = {}
    for node in nodes:
        if isinstance(node, Leaf):
            tensor = node.tensor()
            if tensor is not None:
                values[node] = log.value(tensor)
        elif isinstance(node, Pick):
            if node.main in values:
                values[node] = values[node.main].maker.outs[node.index]  # type: ignore[union-attr]
        elif type(node) is Node:
            _add(log, node, values, saved)
    return log


def _keep(node: Any, saved: dict[Any, np.ndarray]) -> None:
    """Note the values that a node has kept of its inputs and its result."""
    if isinstance(node, Leaf | Pick):
        return
    if isinstance(node.out, np.ndarray):
        saved.setdefault(node, node.out)
    for edge, x in zip(node.edges, node.saved or (), strict=False):
        if edge is not None and isinstance(x, Tensor):
            saved.setdefault(edge, x.value)


def _add(log: Log, node: Node, values: dict[Any, Value], saved: dict[Any, np.ndarray]) -> None:
    uses = []
    for i, edge in enumerate(node.edges):
        if edge is not None:
            value = values.get(edge)
        else:
            x = node.saved[i] if node.saved is not None and i < len(node.saved) else None
            value = log.value(x) if isinstance(x, Tensor) else None
        if value is None:
            # an input that nobody kept: the result may be known all the same
            return _lonely(log, node, values, saved)
        uses.append(Use(value, edge is not None))
    outs: Any = saved.get(node)
    if outs is None or node.prim.outputs > 1:
        found = local.c.run(node.prim.eager, *(u.value.array for u in uses), **node.params)
        outs = found if node.prim.outputs > 1 else (np.asarray(found),)
    else:
        outs = (outs,)
    record = Record(
        node.prim, node.params, tuple(uses), (), (), node.code, node.lasti, node.scope,
        node.seq - 1, True, None,
    )  # fmt: skip
    record.outs = tuple(Value(np.asarray(a), record, i) for i, a in enumerate(outs))
    for value in record.outs:
        log.made(value.array, value)
    log.records.append(record)
    log.by_node[node.seq] = record
    values[node] = record.outs[0]
    return None


def _lonely(log: Log, node: Node, values: dict[Any, Value], saved: dict[Any, np.ndarray]) -> None:
    if node in saved:
        values[node] = log.values.setdefault(id(saved[node]), Value(saved[node]))
