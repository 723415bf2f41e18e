"""Numbers of the backward pass: how much of a gradient an op lets through, where values stop being
finite, and what a value was made from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from clearprop.core import Map, View
from clearprop.doctor.flow import Flow
from clearprop.doctor.log import Log, Record, Value


def norm(a: Any) -> float:
    """The Frobenius norm, in float64."""
    return float(np.linalg.norm(np.asarray(a, np.float64)))


def finite(a: Any) -> bool:
    return a.dtype.kind != "f" or bool(np.isfinite(a).all())


def blocked(flow: Flow, node: Any, edge: int = 0) -> float:
    """The share of elements where a gradient arrived and none left, for an elementwise op; nan
    where none arrived.
    """
    g, parts = flow.g(node), flow.passed.get(node)
    if g is None or parts is None or parts[edge] is None or parts[edge].shape != g.shape:
        return float("nan")
    came = g != 0
    total = int(came.sum())
    return float("nan") if not total else float((came & (parts[edge] == 0)).sum() / total)


def gain(flow: Flow, node: Any, edge: int = 0) -> float:
    """|what left along an edge| / |what arrived|."""
    g, parts = flow.g(node), flow.passed.get(node)
    if g is None or parts is None or parts[edge] is None:
        return float("nan")
    came = norm(g)
    return norm(parts[edge]) / came if came else float("nan")


def elementwise(record: Record | None) -> bool:
    return record is not None and isinstance(record.prim.lower, Map)


def maker(value: Value, through: tuple[str, ...] = ()) -> Record | None:
    """The record that made a value, past views, casts and copies (and the ops in `through`)."""
    while value.maker is not None:
        record = value.maker
        passing = isinstance(record.prim.lower, View) and not record.prim.variadic
        if not (passing or record.prim.name in ("cast", "clone", *through)):
            return record
        value = record.uses[0].value
    return None


def origin(value: Value) -> Value:
    """The value before views, casts and copies."""
    while value.maker is not None:
        record = value.maker
        passing = isinstance(record.prim.lower, View) and not record.prim.variadic
        if not (passing or record.prim.name in ("cast", "clone")):
            break
        value = record.uses[0].value
    return value


def broken(a: Any) -> bool:
    """nan or +inf; -inf is what masks are made of."""
    return a.dtype.kind == "f" and bool(np.isnan(a).any() or np.isposinf(a).any())


def births(log: Log) -> Iterator[Record]:
    """The records that made the first nan or inf out of numbers, or nan of the -inf of a mask."""
    bad: set[int] = set()
    for record in log.records:
        if any(id(u.value) in bad or broken(u.value.array) for u in record.uses):
            bad.update(id(v) for v in record.outs)
            continue
        masked = not all(finite(u.value.array) for u in record.uses)
        wrong = broken if masked else lambda a: not finite(a)
        if any(wrong(v.array) for v in record.outs):
            filled = record.prim.name in ("where", "expand", "cast", "concat", "put")
            if not filled or any(broken(v.array) for v in record.outs):
                bad.update(id(v) for v in record.outs)
                yield record


def backward_births(flow: Flow) -> Iterator[tuple[Any, int]]:
    """(node, edge) of the first rules that made a non-finite cotangent from a finite one."""
    for node in flow.order:
        g, parts = flow.arrived.get(node), flow.passed.get(node)
        if g is None or parts is None:
            continue
        came = g.values() if isinstance(g, dict) else (g,)
        if not all(finite(v) for v in came):
            continue
        for i, part in enumerate(parts):
            if part is not None and not finite(part):
                yield node, i


def non_finite(flow: Flow) -> bool:
    """Whether a leaf's gradient has a nan or inf."""
    return any(not finite(g) for g in flow.leaves.values())
