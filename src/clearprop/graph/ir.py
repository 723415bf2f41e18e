"""The graph: a straight line of equations in static single assignment.

Every Var is made once, by an input, a constant or an equation; equations stand in an order in which
every Var is made before it is read. An equation is one strict primitive of the table with its
params, so whatever reads the table reads a graph. Nothing here knows an op by name.

`writes` says what the memory of an input holds after the run: a training step reads a weight and
writes the new one to the same place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

import numpy as np

from clearprop.core import Aval, Location, Primitive, from_numpy_dtype, locate


class Var:
    """A value of the graph: what is known of it is its aval; `hint` is a name for people."""

    __slots__ = ("aval", "hint")

    def __init__(self, aval: Aval, hint: str = "") -> None:
        self.aval = aval
        self.hint = hint

    def __repr__(self) -> str:
        return f"<Var {self.aval}{f' {self.hint}' if self.hint else ''}>"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an equation came from: the user's code, and the dotted path of the module that was
    running ('' outside modules).
    """

    code: CodeType | None = None
    lasti: int = 0
    path: str = ""

    @property
    def location(self) -> Location | None:
        """The user's file and line."""
        return locate(self.code, self.lasti)

    def __str__(self) -> str:
        parts = [f"in {self.path}"] if self.path else []
        if self.location is not None:
            parts.append(f"at {self.location}")
        return " ".join(parts)


NOWHERE = Origin()


@dataclass(frozen=True, eq=False, slots=True)
class Equation:
    """`outputs = prim(*inputs, **params)`."""

    prim: Primitive
    inputs: tuple[Var, ...]
    params: dict[str, Any]
    outputs: tuple[Var, ...]
    origin: Origin = NOWHERE

    @property
    def output(self) -> Var:
        """The only output."""
        (out,) = self.outputs
        return out

    def key(self) -> tuple[Any, ...]:
        """Equal for equations that compute the same: primitive, inputs and params."""
        return (self.prim.name, self.inputs, tuple(sorted(map(_hashable, self.params.items()))))

    def __repr__(self) -> str:
        return f"<Equation {self.prim.name} -> {', '.join(str(v.aval) for v in self.outputs)}>"


def _hashable(item: tuple[str, Any]) -> tuple[str, str, Any]:
    """A param with its type: 0, 0.0 and False differ; 0.0 and -0.0 differ."""
    name, value = item
    return name, type(value).__name__, repr(value)


@dataclass(eq=False, slots=True)
class Graph:
    """A function of `inputs`: its equations, what it returns, what it writes into its inputs."""

    name: str
    inputs: tuple[Var, ...]
    constants: dict[Var, np.ndarray] = field(default_factory=dict)
    equations: list[Equation] = field(default_factory=list)
    outputs: tuple[Var, ...] = ()
    writes: dict[Var, Var] = field(default_factory=dict)  # input -> what its memory holds after

    def __str__(self) -> str:
        return printer[0](self)

    def __len__(self) -> int:
        return len(self.equations)

    def roots(self) -> Iterable[Var]:
        """What the graph is for: the outputs and the values that are written."""
        yield from self.outputs
        yield from self.writes.values()

    def producers(self) -> dict[Var, Equation]:
        """The equation that makes each Var; inputs and constants have none."""
        return {v: e for e in self.equations for v in e.outputs}

    def uses(self) -> dict[Var, int]:
        """How often each Var is read; being an output or a written value counts once each."""
        out: dict[Var, int] = {}
        for equation in self.equations:
            for v in equation.inputs:
                out[v] = out.get(v, 0) + 1
        for v in self.roots():
            out[v] = out.get(v, 0) + 1
        return out

    def with_body(
        self,
        equations: Sequence[Equation],
        constants: dict[Var, np.ndarray] | None = None,
        renamed: dict[Var, Var] | None = None,
    ) -> Graph:
        """The same function with another body; `renamed` says which Var stands for an old one."""
        new = renamed or {}
        return Graph(
            self.name,
            self.inputs,
            dict(self.constants if constants is None else constants),
            list(equations),
            tuple(new.get(v, v) for v in self.outputs),
            {x: new.get(v, v) for x, v in self.writes.items()},
        )


def aval_of(value: np.ndarray) -> Aval:
    """Shape and dtype of an array."""
    return Aval(value.shape, from_numpy_dtype(value.dtype))


def output_avals(prim: Primitive, avals: Sequence[Aval], params: dict[str, Any]) -> list[Aval]:
    """What the shape rule says, always as a list."""
    found = prim.shape(*avals, **params)
    return list(found) if prim.outputs > 1 else [found]


def _unprinted(graph: Graph) -> str:
    return f"<Graph {graph.name}: {len(graph)} equations>"


printer: list[Any] = [_unprinted]  # graph.text puts its `text` here
