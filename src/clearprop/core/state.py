"""What "running a primitive" means now, per thread: interpreter, recording, the module that is
running.

`Context.run(kernel, *arrays)` calls a NumPy kernel with NumPy's floating-point warnings off (inf
and nan are values here; `detect_anomaly` and the doctor report them with their origin). It is a
`contextvars.Context` in which the error state was set once, which costs 10 ns a call instead of a
microsecond for `np.errstate`, and leaves the user's own error state alone.
"""

from __future__ import annotations

import contextvars
import functools
import threading
from array import array
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from clearprop.flags import flags


class Interpreter(Protocol):
    """Runs primitives on values: arrays (eager) or symbols of a graph (tracing, `traces`).

    A value may come as the Tensor that holds it.
    """

    traces: bool

    def run(self, prim: Any, values: Sequence[Any], params: dict[str, Any]) -> Any:
        """The result of one primitive."""
        ...

    def write(self, target: Any, source: Any) -> None:
        """Write the values of `source` into the memory `target`."""
        ...

    def snapshot(self, value: Any) -> Any:
        """What `value` holds now, in memory of its own."""
        ...

    def assume(self, decide: Callable[[], bool], answer: bool, steady: bool = True) -> None:
        """The program went on because decide() gave `answer`; `steady`: it gives the same until
        `changed` is called.
        """
        ...

    def count(self, array: Any) -> int:
        """How often this was called with `array` in this trace, this time included."""
        ...

    def options(self, options: dict[str, Any]) -> dict[str, Any]:
        """A copy of `options` whose numbers are those that it will hold when the trace is run."""
        ...

    def about_grad(self, tensor: Any, reading: bool) -> None:
        """`tensor.grad` is about to be read, or to be set."""
        ...

    def drawn(self, aval: Any, draw: Callable[[], Any]) -> Any:
        """Random numbers: what draw() gives at every run of the trace."""
        ...

    def contiguous(self, x: Any, clone: Callable[[Any], Any]) -> Any:
        """x itself if its elements lie in row-major order, else clone(x)."""
        ...

    def entered(self, module: Any) -> None:
        """A module has been called."""
        ...

    def refuse(self, what: str, why: str, value: Any = None) -> None:
        """Called before something that only works on values that are known; may raise."""
        ...


class Scope:
    """One call of a module: which module, called from which scope. The dotted path is worked out
    when asked for.
    """

    __slots__ = ("module", "parent")

    def __init__(self, parent: Scope | None, module: Any) -> None:
        self.parent = parent
        self.module = module


class Context:
    """State of one thread. `interpreter` None is the eager one, inlined in `core.apply`; `saving`,
    which needs another one, is called with every new Node (see autograd.graph).
    """

    __slots__ = (
        "__weakref__", "anomaly", "grad", "inference", "interpreter", "run", "saving", "scope",
    )  # fmt: skip

    def __init__(self) -> None:
        quiet = contextvars.copy_context()
        quiet.run(np.seterr, all="ignore")
        self.run: Callable[..., Any] = quiet.run
        self.interpreter: Interpreter | None = default_interpreter[0]
        self.grad = True
        self.inference = False
        self.anomaly = False
        self.saving: Callable[[Any], None] | None = None
        self.scope: Scope | None = None


# What a new thread starts with; the CHECK and NANCHECK flags put another one here.
default_interpreter: list[Interpreter | None] = [None]


class _Local(threading.local):
    def __init__(self) -> None:
        self.c = Context()


local = _Local()


def context() -> Context:
    """The running thread's context."""
    return local.c


def plainly(kernel: Callable[..., Any], *args: Any, **params: Any) -> Any:
    """What `Context.run` is replaced by where one call of it runs many kernels."""
    return kernel(*args, **params)


# How often something changed that traced code may have decided on, other than the values of
# tensors: an option of an optimizer, the mode or the parts of a module, a flag. Compiled code looks
# only here before it looks closer, so the number lies where machine code can read it.
changes = array("q", [0])


def changed(*_: Any) -> None:
    """Note that traced code may have to be looked at again."""
    changes[0] += 1


flags.watch(changed)


class Watched(dict[Any, Any]):
    """A dict that notes its changes for compiled code."""

    __slots__ = ()


def _noting(name: str) -> Callable[..., Any]:
    plain = getattr(dict, name)

    @functools.wraps(plain)
    def method(self: Watched, *args: Any, **kwargs: Any) -> Any:
        changes[0] += 1
        return plain(self, *args, **kwargs)

    return method


for _name in (
    "__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update",
):  # fmt: skip
    setattr(Watched, _name, _noting(_name))
