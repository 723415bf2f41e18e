"""Items for the drawing of a tensor: the tape behind it."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from clearprop.core import Leaf, Pick, Tensor
from clearprop.explanation.dag import Item, Link
from clearprop.explanation.names import assigned_name, name_of, of_variables, tensors_of
from clearprop.explanation.paths import Backward, consumers, edges_of, kept, op_of
from clearprop.explanation.scopes import Scopes, settle_parameters


def items_of_tensor(y: Tensor, frame: Any, gradients: bool) -> list[Item]:
    """The history of a tensor; `frame` is the user's, whose variables give names."""
    names, alive = of_variables(frame), tensors_of(frame)
    alive[id(y.node)] = y
    backward = Backward.of([y]) if gradients else None
    users = consumers(y.node)
    scopes = Scopes()
    for node in users:
        if not isinstance(node, Leaf):
            scopes.frames(op_of(node).scope)  # (so that parameters have names)
    items: list[Item] = []
    for node in sorted(users, key=lambda n: n.seq):
        item = (
            _leaf(node, names, scopes)
            if isinstance(node, Leaf)
            else _op(node, names, scopes, users[node])
        )
        item.value = _value(node, alive, users)
        if backward is not None:
            item.gradient = backward.at(node)
        for i, edge in enumerate(() if isinstance(node, Leaf) else edges_of(node)):
            if edge is None:
                continue
            link = Link(edge)
            if backward is not None:
                link.strength, link.blocked = backward.along(op_of(node), i)
            item.links.append(link)
        items.append(item)
    for item in items:
        if item.kind == "parameter" and users[item.key]:
            name = item.owned = scopes.parameters.get(id(item.key.tensor()), "")
            scope = op_of(users[item.key][-1]).scope
            item.frames = scopes.owner_frames(name, scope) if name else ()
    settle_parameters(items)
    called = names.get(id(y.node)) or assigned_name(y.node)
    out = Item("output", "output", called or "output", [str(y.aval)], value=y.value)
    link = Link(y.node)
    if backward is not None:
        link.strength = float(np.sqrt(y.numel()))
    out.links.append(link)
    return [*items, out]


def _leaf(node: Leaf, names: dict[int, str], scopes: Scopes) -> Item:
    tensor = node.tensor()
    title = scopes.parameters.get(id(tensor), "") or names.get(id(node), "")
    title = title or getattr(tensor, "name", None) or "leaf"
    return Item(node, "parameter", title, [] if tensor is None else [str(tensor.aval)])


def _op(node: Any, names: dict[int, str], scopes: Scopes, users: list[Any]) -> Item:
    main = op_of(node)
    frames = scopes.frames(main.scope)
    name = names.get(id(node)) or name_of(node, users)
    constant = _constant(main)
    place = main.location
    lines = [constant] if constant else []
    if not frames:
        where = "" if place is None else f"{os.path.basename(place.file)}:{place.line}"
        lines += [" · ".join(p for p in (name or "", where) if p)]
    title = main.prim.name
    title += f" [{node.index}]" if type(node) is Pick else ""
    return Item(node, "op", title, [x for x in lines if x], frames, tooltip=main.describe())


def _constant(node: Any) -> str:
    """'with 3' of 3 * x, where the number is known."""
    if len(node.edges) != 2 or not node.saved or None not in node.edges:
        return ""
    x = node.saved[node.edges.index(None)]
    if isinstance(x, Tensor) and x.numel() == 1:
        return f"with {float(x.value.reshape(-1)[0]):.6g}"
    return ""


def _value(node: Any, alive: dict[int, Tensor], users: dict[Any, list[Any]]) -> Any:
    tensor = node.tensor() if isinstance(node, Leaf) else alive.get(id(node))
    if tensor is not None:
        return tensor.value
    return next((v for v in kept(node, users[node]) if isinstance(v, np.ndarray)), None)
