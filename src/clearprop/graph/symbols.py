"""The memory of a trace: symbols, what they are views of, and how eager mode would lay them out."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from clearprop.core import Primitive, Tensor
from clearprop.graph.ir import Var

if TYPE_CHECKING:
    from clearprop.graph.stage import Stage


class Symbol:
    """Memory in a trace. It has what ops ask of an array: shape and dtype.

    `base` and `step` (primitive, params) say of which memory it is a view. `array` is the memory
    itself if it comes from outside; `row_major` says that eager mode would surely lay it out so;
    `doubtful` are reshapes of it that eager mode may or may not have copied.
    """

    __slots__ = (
        "__weakref__",
        "array",
        "base",
        "doubtful",
        "dtype",
        "row_major",
        "seen",
        "shape",
        "stage",
        "step",
        "var",
        "version",
    )

    def __init__(self, stage: Stage, var: Var) -> None:
        self.stage = stage
        self.var = var
        self.shape = var.aval.shape
        self.dtype = var.aval.dtype.np
        self.version = 0
        self.base: Symbol | None = None
        self.step: tuple[Primitive, dict[str, Any]] | None = None
        self.seen = 0  # the version of the base that `var` was taken from
        self.array: np.ndarray | None = None
        self.row_major = True
        self.doubtful: list[weakref.ref[Symbol]] = []


class Memory(NamedTuple):
    """An array from outside, its symbol, and the Var that stood for it at first. `constant`: it can
    never be written to, and is in the graph already. `owners`: tensors that have brought it in, by
    id; `grad_of`: the tensor of whose gradient this was the array when the trace began.
    """

    array: np.ndarray
    symbol: Symbol
    start: Var
    constant: bool
    owners: dict[int, weakref.ref[Tensor]]
    grad_of: list[Tensor]


class Assumption(NamedTuple):
    """A decision of the trace: decide() gave `answer`. `steady`: it does so until
    core.state.changes counts up.
    """

    decide: Callable[[], bool]
    answer: bool
    steady: bool


class Gradient(NamedTuple):
    """What `tensor.grad` was before the trace, and whether the function asked for it before it set
    it.
    """

    tensor: Tensor
    before: Tensor | None
    asked: bool


class Parts:
    """What a module consists of, besides the values of its tensors: mode, options, children,
    parameters, hooks.
    """

    def __init__(self, module: Any) -> None:
        self.module = weakref.ref(module)
        self.parts = _parts(module)

    def changed(self) -> str | None:
        """What the module does not consist of any more, or does now; None if it is the same."""
        module = self.module()
        if module is None:
            return "a module"
        now = _parts(module)
        for name in self.parts.keys() ^ now.keys():
            return f"{type(module).__name__}.{'.'.join(name)}"
        for name, value in self.parts.items():
            if not (value is now[name] or (type(value) in _PLAIN and value == now[name])):
                return f"{type(module).__name__}.{'.'.join(name)}"
        return None


_PLAIN = (bool, int, float, str)


def _parts(module: Any) -> dict[tuple[str, ...], Any]:
    """Every attribute, and every entry of the tables among them."""
    out: dict[tuple[str, ...], Any] = {}
    for name, value in vars(module).items():
        if isinstance(value, dict):
            out.update({(name, str(key)): entry for key, entry in value.items()})
        else:
            out[name,] = value
    return out


def root_of(symbol: Symbol) -> tuple[Symbol, list[Symbol]]:
    """The memory that a symbol is a view of, and the views from the one next to it to `symbol`."""
    chain = []
    while symbol.base is not None:
        chain.append(symbol)
        symbol = symbol.base
    return symbol, chain[::-1]


def layout_of(symbol: Symbol) -> np.ndarray | None:
    """An array that lies in memory as this one would in eager mode; None if that is not known."""
    root, chain = root_of(symbol)
    if root.array is None and not root.row_major:
        return None
    out = np.empty(root.shape, root.dtype) if root.array is None else root.array
    for view in chain:
        assert view.step is not None
        out = view.step[0].eager(out, **view.step[1])
    return out


def is_row_major(symbol: Symbol) -> bool:
    layout = layout_of(symbol)
    return layout is not None and layout.flags.c_contiguous
