"""Items for the drawing of a traced graph."""

from __future__ import annotations

from typing import Any

from clearprop.explanation.dag import Frame, Item, Link
from clearprop.graph import Graph, Var


def items_of_graph(graph: Graph) -> list[Item]:
    """Inputs, equations, outputs and writes. A module's frame holds the equations that follow each
    other in it; a module that runs again later gets another one.
    """
    used = graph.uses()
    items = [
        Item(v, "input", v.hint or f"input {i}", [str(v.aval)])
        for i, v in enumerate(graph.inputs)
        if used.get(v)
    ]
    maker: dict[Var, Any] = {item.key: item.key for item in items}
    paths = {e.origin.path for e in graph.equations}
    frames: tuple[Frame, ...] = ()
    parts: list[str] = []
    for equation in graph.equations:
        path = equation.origin.path
        # Net.encoder.0 is [Net, encoder, 0]: the outermost class, then names
        now = path.split(".")[1:] if path else []
        same = 0
        while same < min(len(parts), len(now)) and parts[same] == now[same]:
            same += 1
        head = path.split(".")[0]
        fresh = []
        for i in range(same, len(now)):
            dotted = ".".join(now[: i + 1])
            inside = any(p.startswith(f"{head}.{dotted}.") for p in paths)
            fresh.append(Frame(dotted, now[i], None, leaf=not inside))
        frames, parts = (*frames[:same], *fresh), now
        item = Item(equation, "op", equation.prim.name, [str(equation.outputs[0].aval)], frames)
        params = ", ".join(f"{k}={v}" for k, v in equation.params.items())
        item.tooltip = " ".join(x for x in (equation.prim.name, params, str(equation.origin)) if x)
        item.links = [Link(maker[v]) for v in equation.inputs if v in maker]
        maker.update(dict.fromkeys(equation.outputs, equation))
        items.append(item)
    for i, v in enumerate(graph.outputs):
        title = "output" if len(graph.outputs) == 1 else f"output {i}"
        links = [Link(maker[v])] if v in maker else []
        items.append(Item(("output", i), "output", title, [str(v.aval)], links=links))
    for i, (x, v) in enumerate(graph.writes.items()):
        name = x.hint or f"input {graph.inputs.index(x)}"
        links = [Link(maker[v])] if v in maker else []
        items.append(Item(("write", i), "output", f"new {name}", [str(v.aval)], links=links))
    return items
