"""What is drawn: items (ops, inputs, parameters, outputs) in the frames of the modules that ran
them; and the boxes and arrows that become of them when modules are closed to single boxes.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

PLUMBING = {"expand", "reshape", "permute", "cast", "clone"}


@dataclass(eq=False)
class Frame:
    """One call of a module: its name, what it is, and whether it has modules inside."""

    name: str
    title: str
    module: Any = None
    leaf: bool = True

    def owns(self, name: str) -> bool:
        """Whether a parameter with this name belongs to the module or those inside."""
        return self.name == self.title or name.startswith(f"{self.name}.")


@dataclass
class Link:
    """An input of an item. `cut`: a gradient could go on from the source, but does not flow here;
    `strength`: the norm of the gradient that flows; `blocked`: one arrives at the item, and none
    leaves to the source.
    """

    source: Any
    cut: bool = False
    strength: float | None = None
    blocked: bool = False


@dataclass(eq=False)
class Item:
    """One value. `kind`: input, parameter, op or output; `frames`: the outermost first."""

    key: Any
    kind: str
    title: str
    lines: list[str] = field(default_factory=list)
    frames: tuple[Frame, ...] = ()
    links: list[Link] = field(default_factory=list)
    tooltip: str = ""
    value: np.ndarray | None = None
    gradient: np.ndarray | None = None
    owned: str = ""  # a parameter: its name in the outermost module


@dataclass
class Box:
    """A box of the drawing, in the frames `group`."""

    key: Any
    kind: str
    title: str
    lines: list[str] = field(default_factory=list)
    group: tuple[Frame, ...] = ()
    tooltip: str = ""


@dataclass
class Arrow:
    """All links between two boxes: cut or blocked if every one is."""

    cut: bool = True
    blocked: bool = True
    square: float | None = None

    def add(self, link: Link) -> None:
        self.cut &= link.cut
        self.blocked &= link.blocked
        if link.strength is not None:
            self.square = (self.square or 0.0) + link.strength**2

    @property
    def strength(self) -> float | None:
        return None if self.square is None else math.sqrt(self.square)


@dataclass
class Dag:
    """Boxes in the order in which their values came about, and arrows by (from, to)."""

    boxes: dict[Any, Box] = field(default_factory=dict)
    arrows: dict[tuple[Any, Any], Arrow] = field(default_factory=dict)

    def connect(self, source: Any, target: Any, link: Link) -> None:
        if source != target:
            self.arrows.setdefault((source, target), Arrow()).add(link)


@dataclass(frozen=True)
class Detail:
    """How much is shown. `every_op`: inside of modules without children, too; `depth`: modules so
    deep are closed; `values` and `gradients`: numbers in the boxes.
    """

    every_op: bool = False
    depth: int | None = None
    values: bool = False
    gradients: bool = False


def dag_of(items: Sequence[Item], detail: Detail) -> Dag:
    """The boxes and arrows of these items."""
    dag = Dag()
    place: dict[Any, Any] = {}  # item: its box; None: it is not shown
    inside: dict[Any, list[Item]] = defaultdict(list)
    hidden = _hidden(items, detail)
    for item in items:
        if item.key in hidden:
            inside[hidden[item.key]].append(item)
            place[item.key] = None
            continue
        at = _closed_at(item, detail)
        if at is None:
            place[item.key] = item.key
            dag.boxes[item.key] = _box(item, detail)
            continue
        frame = place[item.key] = item.frames[at]
        inside[frame].append(item)
        if frame not in dag.boxes:
            dag.boxes[frame] = Box(frame, "module", frame.title, [], item.frames[:at])
    calls = Counter(id(f.module) for f in inside if f.module is not None and f in dag.boxes)
    order: Counter[int] = Counter()
    for frame, members in inside.items():
        if frame in dag.boxes:
            order[id(frame.module)] += 1
            call = (order[id(frame.module)], calls[id(frame.module)])
            _fill(dag.boxes[frame], frame, members, call, detail)
    for item in items:
        for link in item.links:
            source, target = place.get(link.source), place[item.key]
            if source is not None and target is not None:
                dag.connect(source, target, link)
    _drop_silent(dag)
    return dag


def shortened(items: Sequence[Item], detail: Detail, most: int) -> Dag:
    """`dag_of`, with modules closed from the inside, and then runs of ops drawn as one, until there
    are no more than `most` boxes (or nothing is left to close).
    """
    dag = dag_of(items, detail)
    deepest = max((len(item.frames) for item in items), default=0)
    depth = min(deepest, detail.depth or deepest) + 1
    while len(dag.boxes) > most and depth > 1:
        depth -= 1
        closer = Detail(detail.every_op, depth, detail.values, detail.gradients)
        dag = dag_of(items, closer)
    if len(dag.boxes) > most:
        _fold_runs(dag)
    return dag


def _closed_at(item: Item, detail: Detail) -> int | None:
    """The number of the frame that is the item's box, None if the item has its own."""
    for i, frame in enumerate(item.frames):
        if (frame.leaf and not detail.every_op) or i + 1 == detail.depth:
            return i
    return None


def _hidden(items: Sequence[Item], detail: Detail) -> dict[Any, Frame]:
    """The weights that only closed modules use which own them, with one of these."""
    weights = {item.key: item for item in items if item.kind == "parameter"}
    users: dict[Any, list[Frame | None]] = defaultdict(list)
    for item in items:
        at = _closed_at(item, detail)
        for link in item.links:
            if link.source in weights:
                users[link.source].append(None if at is None else item.frames[at])
    out = {}
    for key, frames in users.items():
        closed = [f for f in frames if f is not None and f.owns(weights[key].owned)]
        if len(closed) == len(frames):
            out[key] = closed[0]
    return out


def _box(item: Item, detail: Detail) -> Box:
    lines = list(item.lines)
    if detail.values and item.value is not None:
        lines.append(figures(item.value))
    if detail.gradients and item.gradient is not None:
        lines.append(gradient_line(item.gradient))
    return Box(item.key, item.kind, item.title, lines, item.frames, item.tooltip)


def _fill(
    box: Box, frame: Frame, members: list[Item], call: tuple[int, int], detail: Detail
) -> None:
    """What the box of a closed module says."""
    module = frame.module
    around = box.group[-1].name if box.group else ""
    name = frame.name.removeprefix(f"{around}.")
    box.lines = [name] if name != frame.title else []
    if call[1] > 1:
        box.lines.append(f"call {call[0]} of {call[1]}: shared weights")
    if module is not None:
        box.tooltip = repr(module)
        options = module.extra_repr()
        count = sum(p.numel() for p in module.parameters())
        box.lines += [options] if 0 < len(options) <= 48 else []
        box.lines += [f"{count:,} parameters"] if count else []
    else:
        names = list(dict.fromkeys(item.title for item in members))
        box.tooltip = ", ".join(names)[:400]
        box.lines.append(", ".join(names[:4]) + (", …" if len(names) > 4 else ""))
    ops = [m for m in members if m.kind != "parameter"]
    if ops and detail.values and ops[-1].value is not None:
        box.lines.append(figures(ops[-1].value))
    if ops and detail.gradients and ops[-1].gradient is not None:
        box.lines.append(gradient_line(ops[-1].gradient))
    weights = [m.gradient for m in members if m.kind == "parameter" and m.gradient is not None]
    if weights and detail.gradients:
        size = math.sqrt(sum(float(np.vdot(g, g)) for g in weights))
        box.lines.append(f"‖∂/∂weights‖ = {size:.3g}")


def figures(a: np.ndarray) -> str:
    """A number, a few numbers, or mean ± deviation."""
    if a.size == 1:
        return f"= {a.reshape(-1)[0]:.6g}"
    if a.dtype.kind != "f":
        return f"{a.min()} … {a.max()}" if a.size else "empty"
    if not np.isfinite(a).all():
        return f"{int((~np.isfinite(a)).sum())} of {a.size} not finite"
    if a.size <= 4:
        return "= " + ", ".join(f"{v:.3g}" for v in a.reshape(-1))
    return f"{a.mean():.3g} ± {a.std():.2g}" if a.size else "empty"


def gradient_line(g: np.ndarray) -> str:
    if g.size == 1:
        return f"gradient {float(g.reshape(-1)[0]):.4g}"
    return f"‖gradient‖ = {float(np.linalg.norm(g)):.3g}"


def _drop_silent(dag: Dag) -> None:
    """Take out ops that only move or convert numbers, where one arrow goes in and one out."""
    into, out = _neighbours(dag)
    for key in [k for k, b in dag.boxes.items() if b.kind == "op" and b.title in PLUMBING]:
        if len(into[key]) == 1 and len(out[key]) == 1:
            (source,), (target,) = into[key], out[key]
            if (source, target) in dag.arrows:
                continue
            before, after = dag.arrows.pop((source, key)), dag.arrows.pop((key, target))
            before.cut |= after.cut
            before.blocked |= after.blocked
            dag.arrows[source, target] = before
            del dag.boxes[key]
            out[source] = [target if t == key else t for t in out[source]]
            into[target] = [source if s == key else s for s in into[target]]


def _neighbours(dag: Dag) -> tuple[dict[Any, list[Any]], dict[Any, list[Any]]]:
    into: dict[Any, list[Any]] = defaultdict(list)
    out: dict[Any, list[Any]] = defaultdict(list)
    for a, b in dag.arrows:
        into[b].append(a)
        out[a].append(b)
    return into, out


def _fold_runs(dag: Dag) -> None:
    """Draw ops that follow each other without a branch, in one frame, as one box."""
    into, out = _neighbours(dag)

    def follows(key: Any) -> Any:
        """The next op of the run, if there is one."""
        if len(out[key]) != 1:
            return None
        (after,) = out[key]
        both = dag.boxes[key], dag.boxes[after]
        same = both[0].kind == both[1].kind == "op" and both[0].group == both[1].group
        return after if same and len(into[after]) == 1 else None

    for key in list(dag.boxes):
        if key not in dag.boxes or dag.boxes[key].kind != "op":
            continue
        run = [key]
        while (after := follows(run[-1])) is not None:
            run.append(after)
        if len(run) < 3:
            continue
        counts = Counter(dag.boxes[k].title for k in run).most_common(3)
        box = dag.boxes[key]
        box.title = f"{len(run)} ops"
        box.lines = [", ".join(f"{name} × {n}" for name, n in counts)]
        last = run[-1]
        for a, b in pairwise(run):
            del dag.arrows[a, b]
        for target in out[last]:
            dag.arrows[key, target] = dag.arrows.pop((last, target))
            into[target] = [key if s == last else s for s in into[target]]
        out[key] = out[last]
        for k in run[1:]:
            del dag.boxes[k]
