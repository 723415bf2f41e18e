"""From the tape to boxes and arrows: ops of one innermost module become one box, unless every op is
wanted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from clearprop.core import Leaf, Node, Pick, Tensor


@dataclass
class Box:
    """One box of the drawing. `kind`: input, parameter, op, module or output; `group`: the modules
    around it, the outermost first.
    """

    key: Any
    kind: str
    title: str
    lines: list[str] = field(default_factory=list)
    group: tuple[str, ...] = ()
    tooltip: str = ""


@dataclass
class Dag:
    """Boxes in creation order, and arrows (from, to) between their keys, without repetitions."""

    boxes: dict[Any, Box] = field(default_factory=dict)
    arrows: dict[tuple[Any, Any], None] = field(default_factory=dict)

    def connect(self, source: Any, target: Any) -> None:
        if source != target:
            self.arrows[source, target] = None


def nodes_behind(roots: Iterable[Any]) -> list[Any]:
    """Every node of the tape behind the roots, oldest first (leaves, which have no age, too)."""
    seen = dict.fromkeys(r for r in roots if r is not None)
    stack = list(seen)
    while stack:
        for edge in stack.pop().edges:
            if edge is not None and edge not in seen:
                seen[edge] = None
                stack.append(edge)
    return sorted(seen, key=lambda node: node.seq)


class Names:
    """What modules and parameters are called, seen from the outermost module of the drawing."""

    def __init__(self, root: Any, every_op: bool) -> None:
        self.root = root
        self.every_op = every_op
        self.module = {} if root is None else {id(m): n for n, m in root.named_modules()}
        self.parameter = {} if root is None else {id(p): n for n, p in root.named_parameters()}

    def chain(self, scope: Any) -> list[tuple[Any, str]]:
        """(call, name) of the running modules below the root, the outermost first."""
        found = []
        while scope is not None:
            name = self.module.get(id(scope.module))
            if name:
                found.append((scope, name))
            scope = scope.parent
        return found[::-1]

    def box(self, node: Any) -> tuple[Any, Any]:
        """(key, module) of the box that a node is drawn in; module None: the op has its own. A
        module that is called twice gets two boxes: the graph stays without circles.
        """
        chain = self.chain(node.scope)
        if chain and not self.every_op and not any(chain[-1][0].module.children()):
            return ("call", id(chain[-1][0])), chain[-1][0].module
        return ("op", node.seq), None


def dag_of(outputs: list[Tensor], inputs: list[tuple[str, Tensor]], root: Any, detail: str) -> Dag:
    """The boxes and arrows behind `outputs`."""
    names = Names(root, detail == "ops")
    given = {id(x.node): (name, x) for name, x in inputs if x.node is not None}
    dag = Dag()
    place: dict[Any, Any] = {}  # node of the tape: key of its box
    for node in nodes_behind([y.node for y in outputs]):
        if type(node) is Pick:
            place[node] = place[node.main]
        elif type(node) is Leaf:
            place[node] = _leaf(dag, node, given, names)
        else:
            place[node] = _inner(dag, node, names)
    for node, key in place.items():
        if not isinstance(node, Node):
            continue
        for edge in node.edges:
            if edge is not None and place[edge] is not None:
                dag.connect(place[edge], key)
    for i, y in enumerate(outputs):
        key = ("output", i)
        title = "output" if len(outputs) == 1 else f"output {i}"
        dag.boxes[key] = Box(key, "output", title, [str(y.aval)])
        if y.node is not None and place.get(y.node) is not None:
            dag.connect(place[y.node], key)
    _drop_silent(dag)
    return dag


def _leaf(dag: Dag, node: Leaf, given: dict[int, Any], names: Names) -> Any:
    """The box of an input or a parameter (of a parameter: None where its module is one box)."""
    tensor = node.tensor()
    if id(node) in given:
        name, x = given[id(node)]
        key = ("input", name)
        dag.boxes[key] = Box(key, "input", name, [str(x.aval)])
        return key
    name = names.parameter.get(id(tensor), "")
    if name and not names.every_op:
        owner = names.root.get_submodule(name.rpartition(".")[0])
        if owner is not names.root and not any(owner.children()):
            return None
    key = ("leaf", id(node))
    title = name or getattr(tensor, "name", None) or "leaf"
    shape = [] if tensor is None else [str(tensor.aval)]
    owners = name.split(".")[:-1]
    group = tuple(".".join(owners[: i + 1]) for i in range(len(owners)))
    dag.boxes[key] = Box(key, "parameter", title, shape, group)
    return key


def _inner(dag: Dag, node: Any, names: Names) -> Any:
    key, module = names.box(node)
    chain = names.chain(node.scope)
    if module is None:
        lines = [str(node.location)] if node.location and names.root is None else []
        group = tuple(name for _, name in chain)
        dag.boxes[key] = Box(key, "op", node.prim.name, lines, group, node.describe())
        return key
    if key not in dag.boxes:
        group = tuple(name for _, name in chain[:-1])
        lines = [chain[-1][1], *_about(module)]
        dag.boxes[key] = Box(key, "module", type(module).__name__, lines, group, repr(module))
    return key


def _about(module: Any) -> list[str]:
    """What a box says of a module besides its class and name: sizes and options, what it learns."""
    options = module.extra_repr()
    count = sum(p.numel() for p in module.parameters())
    lines = [options] if 0 < len(options) <= 48 else []
    return [*lines, f"{count:,} parameters"] if count else lines


PLUMBING = {"expand", "reshape", "permute", "cast"}


def _drop_silent(dag: Dag) -> None:
    """Take out ops that only move or convert numbers, where one arrow goes in and one out."""
    for key in [k for k, b in dag.boxes.items() if b.kind == "op" and b.title in PLUMBING]:
        sources = [a for a, b in dag.arrows if b == key]
        targets = [b for a, b in dag.arrows if a == key]
        if len(sources) == 1 and len(targets) == 1:
            del dag.boxes[key]
            del dag.arrows[sources[0], key], dag.arrows[key, targets[0]]
            dag.connect(sources[0], targets[0])
