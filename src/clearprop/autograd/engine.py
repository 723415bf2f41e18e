"""Backward: collect the nodes behind the outputs, sort them by creation, walk from the newest to
the oldest.

A node is created after everything it depends on, so in that order every cotangent is complete when
its node is reached. No recursion; what a node kept is freed as the walk passes it.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from clearprop.core import DTYPES, Leaf, Node, Pick, Tensor, apply1, local, wrap
from clearprop.core.state import plainly
from clearprop.core.tensor import TENSORS, grad_of, refresh, writes
from clearprop.errors import AutogradError, ShapeError
from clearprop.ops import movement
from clearprop.ops.broadcasting import cast, constant, here, zeros_for

_creation = operator.attrgetter("seq")
_ndarray = np.ndarray
_asarray = np.asarray
_ONE = {d.np.char: d.np.type(1) for d in DTYPES}

NO_GRAD_FN = (
    "backward: element {i} of tensors does not require grad and does not have a grad_fn: nothing"
    " behind it asks for a gradient (every input has requires_grad=False, or the tape was cut by"
    " detach(), no_grad() or a round trip through NumPy){here}"
)
NOT_SCALAR = (
    "backward: grad can be implicitly created only for scalar outputs; this one is {aval}. "
    "Reduce it (loss.mean()) or pass gradient={here}"
)


def seeds(outputs: Sequence[Tensor], grads: Any, what: str) -> list[Tensor]:
    """The cotangents to start from: as given, or 1 for a scalar output."""
    if grads is not None and len(grads) != len(outputs):
        raise AutogradError(
            f"{what}: got {len(outputs)} tensors and {len(grads)} gradients{here()}"
        )
    out = []
    for i, y in enumerate(outputs):
        g = None if grads is None else grads[i]
        if y.view_of is not None:
            refresh(y)
        if y.node is None:
            raise AutogradError(NO_GRAD_FN.format(i=i, here=here()))
        if g is None:
            shape = y.value.shape
            if shape and y.numel() != 1:
                raise AutogradError(NOT_SCALAR.format(aval=y.aval, here=here()))
            g = constant(1, y.value.dtype, shape)
        elif g.shape != y.shape:
            raise ShapeError(
                f"{what}: Mismatch in shape: grad_output[{i}] has a shape of {list(g.shape)} and"
                f" output[{i}] has a shape of {list(y.shape)}.{here()}"
            )
        if g.value.dtype != y.value.dtype:
            g = cast(g, y.dtype)
        out.append(g)
    return out


def collect(roots: list[Any]) -> list[Any]:
    """All nodes reachable from roots, newest first."""
    nodes = list(roots) if len(roots) == 1 else list(set(roots))
    seen = {None, *nodes}
    for node in nodes:  # and those that are added meanwhile
        for edge in node.edges:
            if edge not in seen:
                seen.add(edge)
                nodes.append(edge)
    nodes.sort(key=_creation, reverse=True)
    return nodes


def needed(nodes: list[Any], targets: set[Any]) -> set[Any]:
    """The nodes from which some target can be reached."""
    out = set(targets)
    for node in reversed(nodes):
        if node not in out and any(e in out for e in node.edges if e is not None):
            out.add(node)
    return out


def run(
    outputs: Sequence[Tensor],
    grads: list[Tensor],
    *,
    targets: set[Any] | None,
    retain: bool,
    create_graph: bool,
) -> dict[Any, Tensor]:
    """Walk back from outputs. With `targets` (nodes) only they receive, and their cotangents are
    returned; else leaves accumulate.
    """
    c = local.c
    before = c.grad
    c.grad = create_graph
    try:
        return _start(outputs, grads, targets, retain, create_graph)
    finally:
        c.grad = before


def from_scalar(node: Node, d: np.dtype, retain: bool) -> None:
    """`run` for what most programs do: one 0-d output, its gradient 1, all leaves accumulate,
    nothing looks on.
    """
    c = local.c
    before = c.grad
    c.grad = False
    try:
        _walk(collect([node]), {node: _ONE[d.char]}, None, retain, False, True)
    finally:
        c.grad = before


def _start(
    outputs: Any, grads: Any, targets: Any, retain: bool, create_graph: bool
) -> dict[Any, Tensor]:
    """Walk from the cotangents of the outputs: Tensors, or bare arrays where nothing will ask how
    they were computed.
    """
    c = local.c
    bare = not create_graph and not c.anomaly and c.interpreter is None
    add = _add_arrays if bare else operator.add
    cotangents: dict[Any, Any] = {}
    roots = [y.node for y in outputs]
    for i, node in enumerate(roots):
        g = _own(grads[i]) if node.__class__ is Leaf else grads[i]
        g = g.value if bare else g
        cotangents[node] = add(cotangents[node], g) if node in cotangents else g
    return _walk(collect(roots), cotangents, targets, retain, create_graph, bare)


def between(
    outputs: Sequence[Tensor], grads: Sequence[Tensor], ends: set[Any], create_graph: bool
) -> dict[Any, Tensor]:
    """The cotangents that arrive at the nodes `ends`, each as if nothing lay behind it; KeyError
    for a path from the outputs to a leaf that meets none of them.
    """
    c = local.c
    before = c.grad
    c.grad = create_graph
    try:
        cotangents: dict[Any, Any] = {}
        for y, g in zip(outputs, grads, strict=True):
            cotangents[y.node] = cotangents[y.node] + g if y.node in cotangents else g
        nodes, stack = set(cotangents), list(cotangents)
        while stack:
            node = stack.pop()
            if node.__class__ is Leaf and node not in ends:
                raise KeyError(node)
            for edge in () if node in ends else node.edges:
                if edge is not None and edge not in nodes:
                    nodes.add(edge)
                    stack.append(edge)
        ordered = sorted(nodes, key=_creation, reverse=True)
        return _walk(ordered, cotangents, ends, create_graph, create_graph, False, True)
    finally:
        c.grad = before


def _walk(
    nodes: list[Any],
    cotangents: dict[Any, Any],
    targets: Any,
    retain: bool,
    create_graph: bool,
    bare: bool,
    stop: bool = False,
) -> dict[Any, Tensor]:
    c = local.c
    add = _add_arrays if bare else operator.add
    found: dict[Any, Tensor] = {}
    useful = None if targets is None else needed(nodes, targets)
    quick = bare and targets is None
    pop, get = cotangents.pop, cotangents.get
    rest, run = iter(nodes), c.run
    while True:
        if quick:
            try:  # one `run` for all the kernels of the stretch costs less than one for each
                c.run = plainly
                node = run(_quick_walk, rest, cotangents, retain)
            finally:
                c.run = run
        else:
            node = next(rest, None)
        if node is None:
            return found
        g = pop(node, None)
        if g is None or (useful is not None and node not in useful):
            continue
        kind = node.__class__
        if stop and node in targets:
            found[node] = g
            continue
        if node.hooks or node.retain is not None:
            g = _observed(node, g, bare)
        if targets is not None and node in targets:
            found[node] = _tensor(g)
        if kind is Leaf:
            if targets is None:
                _accumulate(node, _tensor(g), create_graph)
            continue
        if kind is Pick:
            slots = cotangents.setdefault(node.main, {})
            slots[node.index] = add(slots[node.index], g) if node.index in slots else g
            continue
        parts: Any
        if bare:
            parts = _pull_bare(node, g, useful)
        elif kind is Node:
            parts = pull(node, g, useful, create_graph)
        else:
            parts = node.pull(g, useful)
        if c.anomaly:
            _check_finite(node, g, parts)
        if not retain:
            node.free()
        for edge, part in zip(node.edges, parts, strict=True):
            if part is None or edge is None:
                continue
            old = get(edge)
            if old is not None:
                part = add(old, part)
            elif edge.__class__ is Leaf and (part is g or kind is not Node or _borrowed(part)):
                # (the backward of a user's block may return one tensor twice, or one it keeps)
                part = part.copy() if bare else _own(part)
            cotangents[edge] = part


def _quick_walk(rest: Iterator[Any], cotangents: dict[Any, Any], retain: bool) -> Any:
    """The walk over most nodes of most passes: leaves, and ops whose rules take bare arrays.
    Returns the first node that is something else, None at the end.

    Values of 0-d nodes are taken out of their arrays: NumPy multiplies two numbers seven times as
    fast as two arrays.
    """
    pop, get = cotangents.pop, cotangents.get
    for node in rest:
        rules = node.rules
        if rules is None:
            leaf = node.tensor() if node.__class__ is Leaf else None
            if leaf is None or grad_of(leaf) is not None:
                return node
            if node.hooks is not None or node.post_hooks is not None:
                return node
            g = pop(node, None)
            if g is not None:
                leaf._grad = wrap(g if g.__class__ is _ndarray else _asarray(g), None)
            continue
        g = pop(node, None)
        if g is None:
            continue
        saved, out = node.saved, node.out
        if saved is None or node.stamp != writes[0]:
            node.check_saved()
        number = g.__class__ is not _ndarray
        if node.params or len(rules) > 2:
            if number:
                g = _asarray(g)
            values = [getattr(x, "value", x) for x in saved]
            for rule, edge in zip(rules, node.edges, strict=True):
                if edge is None:
                    continue
                part = rule(g, out, *values, **node.params)
                old = get(edge)
                if old is not None:
                    part = old + part
                elif edge.__class__ is Leaf and (part is g or part.base is not None):
                    part = part.copy()
                cotangents[edge] = part
            if not retain and (out is not None or any(v.__class__ is _ndarray for v in values)):
                node.saved = node.out = None
            continue
        if number and out is not None:
            out = out[()]
        y = second = None
        if len(rules) == 1:
            x, edge = saved[0], node.edges[0]
            if x is not None:
                x = x.value[()] if number else x.value
            part = rules[0](g, out, x)
        else:
            (x, y), (edge, second) = saved, node.edges
            if x is not None:
                x = x.value[()] if number else x.value
            if y is not None:
                y = y.value[()] if number else y.value
            if edge is None:
                edge, second, part = second, None, rules[1](g, out, x, y)
            else:
                part = rules[0](g, out, x, y)
        while True:
            old = get(edge)
            if old is not None:
                part = old + part
            elif edge.__class__ is Leaf and (part is g or part.base is not None):
                part = part.copy()
            cotangents[edge] = part
            if second is None:
                break
            edge, second, part = second, None, rules[1](g, out, x, y)
        if not retain and (x is not None or y is not None or out is not None):
            node.saved = node.out = None
    return None


def _pull_bare(node: Any, g: Any, useful: Any) -> list[Any]:
    """`pull` for bare arrays where the rules want Tensors."""
    if g.__class__ is not dict and len(node.edges) == 1 and node.__class__ is Node:
        saved, out, prim = node.saved, node.out, node.prim
        rule: Any = prim.vjp[0]
        if saved is not None and node.stamp == writes[0] and not prim.variadic:
            if out is not None:
                out = _tensor(out)
            return [rule(_tensor(g), out, saved[0], **node.params).value]
    g = {i: _tensor(v) for i, v in g.items()} if g.__class__ is dict else _tensor(g)
    parts = pull(node, g, useful, False) if node.__class__ is Node else node.pull(g, useful)
    return [None if part is None else part.value for part in parts]


def _add_arrays(a: Any, b: Any) -> Any:
    return local.c.run(np.add, a, b)


def _tensor(g: Any) -> Tensor:
    """A cotangent as a Tensor."""
    if g.__class__ in TENSORS:
        return g  # type: ignore[no-any-return]
    return wrap(g if g.__class__ is np.ndarray else np.asarray(g), None)


def _observed(node: Any, g: Any, bare: bool) -> Any:
    """The cotangent after the hooks of its node; kept for the tensor that asked for it."""
    if g.__class__ is dict:
        if node.retain is not None:
            _keep(node, g)
        return g
    g = _tensor(g)
    if node.hooks:
        g = _call_hooks(node, g)
        if type(node) is Leaf:
            g = _own(g)  # a hook may have kept what it was given
    if node.retain is not None:
        _keep(node, g)
    return g.value if bare else g


def pull(node: Node, g: Any, useful: Any, create_graph: bool) -> list[Tensor | None]:
    """The vector-Jacobian products of one recorded primitive, None where nobody asks."""
    if node.saved is None or node.stamp != writes[0]:
        node.check_saved()
    out: Any = None
    if node.out is not None:
        out = (
            tuple(wrap(v, Pick(node, i) if create_graph else None) for i, v in enumerate(node.out))
            if type(node.out) is tuple
            else wrap(node.out, node if create_graph else None)
        )
    assert node.saved is not None
    return pull_with(node, g, useful, create_graph, node.saved, out)


def pull_with(
    node: Node, g: Any, useful: Any, create_graph: bool, saved: tuple[Any, ...], out: Any
) -> list[Tensor | None]:
    """`pull` with what the rules need."""
    prim, params, edges = node.prim, node.params, node.edges
    if create_graph:
        saved = _as_recorded(saved, edges)
    if type(g) is dict:
        g = _filled(node, g)
    parts: list[Tensor | None] = []
    for i, edge in enumerate(edges):
        if edge is None or (useful is not None and edge not in useful):
            parts.append(None)
        elif prim.variadic:
            parts.append(prim.vjp[0](i, g, out, *saved, **params))  # type: ignore[misc]
        else:
            parts.append(prim.vjp[i](g, out, *saved, **params))  # type: ignore[misc]
    return parts


def _filled(node: Any, slots: dict[int, Tensor]) -> tuple[Tensor, ...]:
    return tuple(slots[i] if i in slots else zeros_for(aval) for i, aval in enumerate(node.avals))


def _as_recorded(saved: Any, edges: Any) -> tuple[Any, ...]:
    """Saved inputs with the history they had then (detach_ or requires_grad_ may have changed it
    since).
    """
    return tuple(
        (
            wrap(x.value, edge)
            if isinstance(x, Tensor) and x.node is not edge and edge is not None
            else x
        )
        for x, edge in zip(saved, edges, strict=True)
    )


def _borrowed(g: Any) -> bool:
    """Whether the memory of a cotangent belongs to somebody else, too."""
    value = g.value if g.__class__ in TENSORS else g
    return value.__class__ is np.ndarray and (value.base is not None or not value.flags.writeable)


def _own(g: Tensor) -> Tensor:
    return apply1(movement.clone_p, g)


def _call_hooks(node: Any, g: Tensor) -> Tensor:
    for hook in list(node.hooks.values()):
        new = hook(g)
        if new is not None:
            g = new
    return g


def _keep(node: Any, g: Any) -> None:
    tensor = node.retain()
    if tensor is not None:
        tensor.grad = _own(g) if tensor.grad is None else tensor.grad + g


def _accumulate(leaf: Leaf, g: Tensor, create_graph: bool) -> None:
    x = leaf.tensor()
    if x is None:
        return
    if x.grad is None:
        x.grad = g if create_graph else wrap(g.value, None)
    elif create_graph:
        x.grad = x.grad + g
    else:
        x.grad.add_(g)  # type: ignore[attr-defined]
    for hook in list((leaf.post_hooks or {}).values()):
        hook(x)


def _check_finite(node: Any, g: Any, parts: Sequence[Tensor | None]) -> None:
    """Anomaly mode: stop at the op whose rule made the first nan or inf."""
    given = list(g.values()) if isinstance(g, dict) else [g]
    if not all(np.isfinite(t.array()).all() for t in given):
        return
    for i, part in enumerate(parts):
        if part is None or part.value.__class__ is not np.ndarray:
            continue
        bad = ~np.isfinite(part.value)
        if bad.any():
            kind = "nan" if np.isnan(part.value).any() else "inf"
            raise AutogradError(
                f"Function '{node.name}' returned {kind} values in its {i}th output: the gradient"
                f" of {node.describe()} with respect to input {i} ({part.aval}) has"
                f" {int(bad.sum())} non-finite elements of {part.numel()}, while the gradient that"
                " arrived was finite. The source line:"
                f" {node.location.text if node.location else '?'}"
            )
