"""What `explain` returns: values, paths, factors, and how they are shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from clearprop.explanation import written


@dataclass
class Value:
    """A named value of the derivation. `formula` is in earlier names (SymPy), or None."""

    name: str
    number: float | None = None
    formula: Any = None
    op: str = ""
    where: str = ""
    shape: tuple[int, ...] = ()


@dataclass
class Factor:
    """∂out/∂of: a number (for tensors: by how much the norm of the gradient changes), and a
    formula (SymPy), or None.
    """

    out: str
    of: str
    number: float
    formula: Any = None


@dataclass
class Path:
    """One way of the gradient, from the result to what it is differentiated by. `value`: its part
    of the derivative; `share`: that of the sum of the absolute values of all parts (between
    tensors: what it adds in the direction of the whole gradient; the shares of all paths add up to
    1).
    """

    names: list[str]
    factors: list[Factor]
    value: Any
    share: float


@dataclass
class Derivation:
    """dz/dx as a sum over paths. Prints itself; `latex()`, and HTML with MathML in notebooks.

    `values`: the named values, from x to z; `paths`: the strongest first; `count`: how many paths
    there are; `carried`: the share of the gradient that those in `paths` carry; `total`: the
    derivative (an array where x has several elements); `formula`: the derivative as a SymPy
    expression of x, or None; `notes`.
    """

    z: str
    x: str
    scalar: bool
    values: list[Value]
    paths: list[Path]
    count: int
    carried: float
    total: Any
    formula: Any = None
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return written.text(self)

    __repr__ = __str__

    def latex(self) -> str:
        """The derivation as LaTeX, an `aligned` block."""
        return written.latex(self)

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def _repr_html_(self) -> str:
        return written.html(self)
