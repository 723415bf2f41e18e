"""`clearprop graph`."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from clearprop.core import Tensor
from clearprop.errors import did_you_mean
from clearprop.explanation import Drawing, draw
from clearprop.graph import Graph, Traced
from clearprop.nn import Module
from clearprop.ops import randn

HELP = """Draw the graph of a tensor, a network or a traced function as SVG.

FILE.py:FUNCTION names a function without arguments in a Python file. It returns what to draw: a
tensor, a pair of a module and its example input, a module (then --input gives the shape of the
example), or what graph.trace gave. A module or a tensor in the file may be named as well.

Examples:

  clearprop graph model.py:build --input 1,784 -o network.svg

  clearprop graph loss.py:loss --values --gradients -o loss.svg
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=HELP)
def graph(
    what: Annotated[str, typer.Argument(metavar="FILE.py:FUNCTION", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The SVG file.")] = Path("graph.svg"),
    shape: Annotated[
        str | None, typer.Option("--input", metavar="SHAPE", help="Of the example, like 1,784.")
    ] = None,
    ops: Annotated[bool, typer.Option("--ops", help="A box for every op.")] = False,
    depth: Annotated[
        int | None, typer.Option(min=1, help="Modules nested so deep are one box.")
    ] = None,
    values: Annotated[bool, typer.Option("--values", help="What was computed, too.")] = False,
    gradients: Annotated[bool, typer.Option("--gradients", help="The gradients, too.")] = False,
) -> None:
    thing = load(what)
    drawing = picture(
        thing, shape, detail="ops" if ops else "modules", depth=depth, values=values,
        gradients=gradients,
    )  # fmt: skip
    drawing.save(out)
    Console().print(f"{drawing.boxes} boxes in {out}", highlight=False, markup=False)


def load(what: str) -> Any:
    """What the function in a file returns, or the object that is named."""
    file, colon, name = what.rpartition(":")
    if not colon or not name.isidentifier() or not file:
        raise typer.BadParameter(f"{what!r} is not FILE.py:FUNCTION", param_hint="FILE.py:FUNCTION")
    path = Path(file)
    if not path.is_file():
        raise typer.BadParameter(f"there is no file {file}", param_hint="FILE.py:FUNCTION")
    sys.path.insert(0, str(path.resolve().parent))
    names = runpy.run_path(str(path), run_name="__clearprop_graph__")
    if name not in names:
        known = [n for n, v in names.items() if callable(v) or isinstance(v, Tensor)]
        raise typer.BadParameter(
            f"{file} has no {name}{did_you_mean(name, known)}", param_hint="FILE.py:FUNCTION"
        )
    found = names[name]
    plain = not isinstance(found, Module | Tensor | Traced) and callable(found)
    return found() if plain else found


def picture(thing: Any, shape: str | None, **options: Any) -> Drawing:
    if isinstance(thing, tuple) and thing and isinstance(thing[0], Module):
        return draw(*thing, **options)
    if isinstance(thing, Module):
        if shape is None:
            raise typer.BadParameter(
                "a module is drawn from an example: give its shape, like --input 1,784",
                param_hint="--input",
            )
        return draw(thing, randn(*sizes(shape)), **options)
    if not isinstance(thing, Tensor | Graph | Traced):
        raise typer.BadParameter(
            "the function returned neither a tensor nor a module nor a graph, but "
            f"{type(thing).__name__}",
            param_hint="FILE.py:FUNCTION",
        )
    return draw(thing, **options)


def sizes(text: str) -> tuple[int, ...]:
    """`1,784` as numbers."""
    try:
        return tuple(int(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no shape like 1,784", param_hint="--input") from None
