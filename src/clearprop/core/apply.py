"""Run a primitive, record it, note where it came from. Nothing else.

`apply1` and `apply2` are `apply` for one and two inputs without params, written out because they
are most of what runs.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from clearprop.core import tensor as tensor_module
from clearprop.core.dtypes import BY_DTYPE, Aval, from_numpy_dtype
from clearprop.core.node import Node, Pick, creation
from clearprop.core.primitive import NOTHING, VALUE, Plan, Primitive, variadic_plan
from clearprop.core.provenance import last_user_code, user_frame
from clearprop.core.state import Context, local
from clearprop.core.tensor import Tensor, ViewOf, refresh, version_cell, wrap, writes

_ndarray = np.ndarray
_asarray = np.asarray
_new = object.__new__
_getframe = sys._getframe
_tuple = tuple.__new__  # a NamedTuple without its constructor written in Python
_NO_PARAMS: dict[str, Any] = {}


def apply1(
    prim: Primitive, x: Tensor, params: dict[str, Any] = _NO_PARAMS, total: Any = None
) -> Tensor:
    """`prim(x, **params)`. `total` may be given for a reduction over all axes: what NumPy does it
    with, called without the detour of names.
    """
    c = local.c
    if c.interpreter is None:
        if not params:
            value = c.run(prim.eager, x.value)
        elif total is not None:
            value = c.run(total, x.value, None)
        else:
            value = c.run(prim.eager, x.value, **params)
        if value.__class__ is not _ndarray:
            value = _asarray(value)
    else:
        out = wrap(c.interpreter.run(prim, (x,), params), None)
        if c.grad and x.node is not None:
            out.node = _record(c, prim, (x,), params, out.value)
        return out
    out = _new(Tensor)
    out.value = value
    out.node = out.cell = out.view_of = None
    edge = x.node
    if edge is not None and c.grad:
        plan = prim.plans[1]
        if plan is None:
            return out
        if x.view_of is not None:
            edge = _refreshed(x)
        keep_out, keep_x = plan
        out.node = node = Node()
        node.prim = prim
        node.rules = prim.array_rules
        node.edges = (edge,)
        node.saved = (x if keep_x == VALUE else _abstract(x, keep_x) if keep_x else None,)
        node.versions = None if x.cell is None else (x.cell[0],)
        node.out = value if keep_out else None
        node.params = params
        node.seq = next(creation)
        node.stamp = writes[0]
        node.scope = c.scope
        frame: Any = _getframe(2)
        code = frame.f_code
        if code is not last_user_code[0]:
            frame = user_frame(frame)
            code = None if frame is None else frame.f_code
        node.code, node.lasti = code, 0 if frame is None else frame.f_lasti
    return out


def apply2(prim: Primitive, x: Tensor, y: Tensor) -> Tensor:
    """`prim(x, y)`; x and y have the same shape and dtype, or are what a contraction takes; both
    have a rule, or neither.
    """
    c = local.c
    if c.interpreter is None:
        return eager2(c, prim, x, y, 3)
    out = wrap(c.interpreter.run(prim, (x, y), _NO_PARAMS), None)
    if c.grad:
        out.node = _record(c, prim, (x, y), _NO_PARAMS, out.value)
    return out


def eager2(c: Context, prim: Primitive, x: Tensor, y: Tensor, depth: int) -> Tensor:
    """`apply2` where the interpreter is known to be the eager one; the op was called `depth` frames
    up. One of the two may be a 0-d constant: NumPy repeats it, in the kernel and in the rules.
    """
    value = c.run(prim.eager, x.value, y.value)
    if value.__class__ is not _ndarray:
        value = _asarray(value)
    out = _new(Tensor)
    out.value = value
    out.node = out.cell = out.view_of = None
    edge_x, edge_y = x.node, y.node
    if c.grad and (edge_x is not None or edge_y is not None):
        plan = prim.plans[1 if edge_y is None else 2 if edge_x is None else 3]
        if plan is None:
            return out
        if x.view_of is not None:
            edge_x = _refreshed(x)
        if y.view_of is not None:
            edge_y = _refreshed(y)
        keep_out, keep_x, keep_y = plan
        out.node = node = Node()
        node.prim = prim
        node.rules = prim.array_rules
        node.edges = (edge_x, edge_y)
        node.saved = (
            x if keep_x == VALUE else _abstract(x, keep_x) if keep_x else None,
            y if keep_y == VALUE else _abstract(y, keep_y) if keep_y else None,
        )
        node.versions = (
            None
            if x.cell is None and y.cell is None
            else (0 if x.cell is None else x.cell[0], 0 if y.cell is None else y.cell[0])
        )
        node.out = value if keep_out else None
        node.params = _NO_PARAMS
        node.seq = next(creation)
        node.stamp = writes[0]
        node.scope = c.scope
        frame: Any = _getframe(depth)
        code = frame.f_code
        if code is not last_user_code[0]:
            frame = user_frame(frame)
            code = None if frame is None else frame.f_code
        node.code, node.lasti = code, 0 if frame is None else frame.f_lasti
    return out


def apply(prim: Primitive, *inputs: Tensor, **params: Any) -> Tensor:
    """`prim(*inputs, **params)` for a primitive with one output."""
    if len(inputs) == 1 and not prim.variadic:
        return apply1(prim, inputs[0], params)
    c = local.c
    values = [x.value for x in inputs]
    if c.interpreter is None:
        value = c.run(prim.eager, *values, **params)
        if value.__class__ is not _ndarray:
            value = _asarray(value)
    else:
        value = c.interpreter.run(prim, inputs, params)
    out = wrap(value, None)
    if c.grad:
        out.node = _record(c, prim, inputs, params, value)
    return out


def apply_many(prim: Primitive, *inputs: Tensor, **params: Any) -> tuple[Tensor, ...]:
    """`prim(*inputs, **params)` for a primitive with several outputs."""
    c = local.c
    values = [x.value for x in inputs]
    if c.interpreter is None:
        outs = tuple(map(_asarray, c.run(prim.eager, *values, **params)))
    else:
        outs = tuple(c.interpreter.run(prim, inputs, params))
    node = _record(c, prim, inputs, params, outs) if c.grad else None
    if node is None:
        return tuple(wrap(value, None) for value in outs)
    node.avals = tuple(Aval(v.shape, from_numpy_dtype(v.dtype)) for v in outs)
    return tuple(
        wrap(value, Pick(node, i) if value.dtype.kind == "f" else None)
        for i, value in enumerate(outs)
    )


def apply_view(prim: Primitive, x: Tensor, params: dict[str, Any]) -> Tensor:
    """`prim(x, **params)` for an op of kind View: the result shares memory and version counter with
    x where NumPy does.
    """
    c = local.c
    if c.interpreter is None:
        value = c.run(prim.eager, x.value, **params)
        shares = value.base is not None and (
            prim.lower.shares or not value.size or np.may_share_memory(value, x.value)  # type: ignore[union-attr]
        )
    else:
        value = c.interpreter.run(prim, (x,), params)
        shares = value.base is not None and (
            c.interpreter.traces or np.may_share_memory(value, x.value)
        )
    out = wrap(value, None)
    if shares:
        out.cell = version_cell(x)
    if c.grad:
        out.node = _record(c, prim, (x,), params, value)
        if shares:
            parent = x.view_of
            base = x if parent is None else parent.base
            out.view_of = ViewOf(base, parent, (prim, params, x.aval), version_cell(x)[0])
    return out


tensor_module.view_again = lambda prim, x, params: apply_view(prim, x, params)


def _record(
    c: Context, prim: Primitive, inputs: tuple[Tensor, ...], params: dict[str, Any], value: Any
) -> Node | None:
    """A Node for this run if any differentiable input wants a gradient."""
    for x in inputs:
        if x.view_of is not None:
            refresh(x)
    if prim.variadic:
        edges = tuple(x.node for x in inputs) if prim.vjp[0] is not None else ()
        if all(edge is None for edge in edges):
            return None
        plan: Plan = variadic_plan(prim, len(inputs))
    else:
        mask, edges = 0, ()
        for i, (x, rule) in enumerate(zip(inputs, prim.vjp, strict=True)):
            edge = None if rule is None else x.node
            edges += (edge,)
            if edge is not None:
                mask |= 1 << i
        if not mask:
            return None
        plan = prim.plans[mask]  # type: ignore[assignment]
    keep_out, *keeps = plan
    node = Node()
    node.prim = prim
    node.rules = prim.array_rules
    node.edges = edges
    node.saved = tuple(
        x if keep == VALUE else _abstract(x, keep) for x, keep in zip(inputs, keeps, strict=True)
    )
    node.versions = tuple(0 if x.cell is None else x.cell[0] for x in inputs)
    node.out = value if keep_out else None
    node.params = params
    node.seq = next(creation)
    node.stamp = writes[0]
    node.scope = c.scope
    frame = user_frame(_getframe(3))
    node.code, node.lasti = (None, 0) if frame is None else (frame.f_code, frame.f_lasti)
    if c.saving is not None:
        c.saving(node)
    return node


def _abstract(x: Tensor, keep: int) -> Aval | None:
    if keep == NOTHING:
        return None
    value = x.value
    d = value.dtype
    return _tuple(Aval, (value.shape, BY_DTYPE.get(d) or from_numpy_dtype(d)))


def _refreshed(x: Tensor) -> Any:
    """The node of a view, after a write to its base."""
    refresh(x)
    return x.node
