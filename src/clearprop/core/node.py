"""The tape: a Node per recorded op, a Leaf per tensor whose gradient is wanted, a Pick per output
of a multi-output op.

`node.edges[i]` is the node of input i, or None where no gradient is wanted. Nodes carry a creation
number, so a backward pass is "collect, sort, walk" without recursion. The tape neither knows nor
cares whether values are arrays or graph variables.
"""

from __future__ import annotations

import itertools
import weakref
from types import CodeType
from typing import TYPE_CHECKING, Any

from clearprop.core.dtypes import TENSOR_TYPES, Aval, as_dtype
from clearprop.core.primitive import Primitive
from clearprop.core.provenance import Location, locate, module_path
from clearprop.core.state import Scope
from clearprop.errors import AutogradError

if TYPE_CHECKING:
    from clearprop.core.tensor import Tensor

creation = itertools.count(1)  # next(creation): the number of the next node

SECOND_BACKWARD = (
    "Trying to backward through the graph a second time (or directly access saved tensors after"
    " they have already been freed). Saved intermediate values of the graph are freed when you call"
    " .backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the"
    " graph a second time."
)

OVERWRITTEN = (
    "one of the variables needed for gradient computation has been modified by an inplace"
    " operation: [{type} {shape}], which is {which}, is at version {now}; expected version {then}"
    " instead. {op} at {where} saved it for its backward; use an out-of-place op (x = x + 1 rather"
    " than x += 1) or work on x.clone()"
)


class Node:
    """One recorded op: what it was, what its rules need, where it came from."""

    __slots__ = (
        "__dict__",
        "__weakref__",
        "code",
        "edges",
        "lasti",
        "out",
        "params",
        "prim",
        "rules",
        "saved",
        "scope",
        "seq",
        "stamp",
        "versions",
    )

    prim: Primitive
    rules: Any  # prim.array_rules; None where a backward pass must look at hooks, retain, out_cell
    edges: tuple[Any, ...]
    saved: tuple[Any, ...] | None
    versions: tuple[int, ...] | None
    stamp: int
    out: Any
    params: dict[str, Any]
    seq: int
    code: CodeType | None
    lasti: int
    scope: Scope | None

    # Rare fields live in __dict__; these are their defaults.
    out_cell: list[int] | None = None
    hooks: dict[int, Any] | None = None
    retain: Any = None
    avals: tuple[Any, ...] = ()  # of a node with several outputs

    @property
    def name(self) -> str:
        """PyTorch's spelling: `MulBackward`."""
        return "".join(part.capitalize() for part in self.prim.name.split("_")) + "Backward"

    @property
    def location(self) -> Location | None:
        """The user's line that made this node."""
        return locate(self.code, self.lasti)

    @property
    def path(self) -> str:
        """Dotted path of the module that was running, '' outside modules."""
        return module_path(self.scope)

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """(node, output number) of every input, as in PyTorch."""
        return tuple((e.main, e.index) if type(e) is Pick else (e, 0) for e in self.edges)

    def describe(self) -> str:
        """`mul in Net.fc1 at train.py:31`."""
        path, location = self.path, self.location
        where = f" at {location}" if location else ""
        return f"{self.prim.name}{f' in {path}' if path else ''}{where}"

    def __repr__(self) -> str:
        return f"<{self.name} at {self.location}>" if self.code else f"<{self.name}>"

    def check_saved(self) -> None:
        """Raise if what the rules need was freed by an earlier pass or overwritten since."""
        if self.saved is None:
            raise AutogradError(f"{SECOND_BACKWARD} The op is {self.describe()}.")
        versions = self.versions
        for i, x in enumerate(self.saved):
            cell = getattr(x, "cell", None)
            if cell is not None:
                then = 0 if versions is None else versions[i]
                if cell[0] != then:
                    self._overwritten(x.aval, f"input {i} of {self.name}", cell[0], then, x.node)
        if self.out is not None and self.out_cell is not None and self.out_cell[0] != 0:
            out = self.out if type(self.out) is not tuple else self.out[0]
            self._overwritten(out, f"output 0 of {self.name}", self.out_cell[0], 0, self)

    def _overwritten(self, aval: Any, which: str, now: int, then: int, maker: Any) -> None:
        name = TENSOR_TYPES[as_dtype(aval.dtype)]
        if isinstance(maker, Node) and maker is not self:
            which = f"output 0 of {maker.name}, {which}"
        raise AutogradError(
            OVERWRITTEN.format(
                type=f"torch.{name}",
                shape=list(aval.shape),
                which=which,
                now=now,
                then=then,
                op=self.describe().split(" at ")[0],
                where=self.location,
            )
        )

    def free(self) -> None:
        """Drop what was kept for the rules (after a backward pass without retain_graph)."""
        if self.out is not None:
            self.out = self.saved = None
            return
        for x in self.saved or ():
            if x is not None and x.__class__ is not Aval:
                self.saved = None
                return


class Leaf:
    """Where a gradient ends: the accumulator of one tensor."""

    __slots__ = ("__dict__", "__weakref__", "tensor")

    edges: tuple[Any, ...] = ()
    seq = 0
    prim = None
    rules = None
    hooks: dict[int, Any] | None = None
    post_hooks: dict[int, Any] | None = None
    retain = None
    name = "AccumulateGrad"
    next_functions: tuple[Any, ...] = ()

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = weakref.ref(tensor)

    @property
    def variable(self) -> Tensor | None:
        return self.tensor()

    def describe(self) -> str:
        return "a leaf"

    def __repr__(self) -> str:
        return "<AccumulateGrad>"


class Pick:
    """Output `index` of a node with several outputs; its cotangent goes into slot `index` of that
    node.
    """

    __slots__ = ("__dict__", "__weakref__", "edges", "index", "main", "seq")

    prim = None
    rules = None
    hooks: dict[int, Any] | None = None
    retain: Any = None

    def __init__(self, main: Any, index: int) -> None:
        self.main = main
        self.index = index
        self.edges = (main,)
        self.seq = next(creation)

    @property
    def name(self) -> str:
        return self.main.name  # type: ignore[no-any-return]

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        return self.main.next_functions  # type: ignore[no-any-return]

    def describe(self) -> str:
        return f"output {self.index} of {self.main.describe()}"

    def __repr__(self) -> str:
        return repr(self.main)
