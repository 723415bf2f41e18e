"""Checkpoints: forget what a part of the network computed, and compute it again in the backward
pass. Memory is paid with time.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from clearprop.autograd import enable_grad
from clearprop.autograd.engine import between
from clearprop.core import Leaf, Node, Pick, Tensor, local, wrap
from clearprop.core.node import SECOND_BACKWARD, creation
from clearprop.core.provenance import user_frame
from clearprop.core.random import default_generator
from clearprop.core.tensor import version_cell
from clearprop.core.tree import map_tensors, tensors_in
from clearprop.errors import AutogradError
from clearprop.nn import Sequential
from clearprop.ops.broadcasting import here

CHANGED = (
    "checkpoint: a tensor ({aval}) that {what} used has been modified by an inplace operation"
    " since, so it would be computed from other values now; change it after the backward pass"
)
ANOTHER = (
    "checkpoint: {what} took another way when it was computed again: it used a tensor that it had"
    " not used before. What it does must not depend on anything that changes in between"
)


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    context_fn: Callable[[], tuple[Any, Any]] | None = None,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """function(*args, **kwargs), of which only the outputs are kept: the backward pass runs it
    again, with the same random numbers (unless preserve_rng_state=False).

    Parameters that it uses get their gradients, `autograd.grad`, create_graph, several outputs and
    nesting work. `context_fn` gives two context managers, for the first run and for the others. In
    a traced or compiled function nothing is computed twice, with the same numbers. What the
    function changes in place, like running means, it changes twice. The remaining options have no
    effect.

    Errors: `AutogradError` if a tensor that it used has been changed in place in between, or if it
    uses others the second time.

    >>> import clearprop as cp
    >>> from clearprop.utils.checkpoint import checkpoint
    >>> block = cp.nn.Sequential(cp.nn.Linear(2, 8), cp.nn.Tanh(), cp.nn.Linear(8, 1))
    >>> loss = checkpoint(block, cp.ones(4, 2), use_reentrant=False).sum()
    >>> loss.backward()
    >>> block[0].weight.grad.shape
    (8, 2)
    """
    del use_reentrant, determinism_check, debug, early_stop
    first, again = _nothing(), _nothing
    if context_fn is not None:
        first, second = context_fn()
        again = lambda: second
    c = local.c
    if (c.interpreter is not None and (c.saving is None or c.interpreter.traces)) or not c.grad:
        with first:
            return function(*args, **kwargs)
    state = default_generator.get_state() if preserve_rng_state else None
    before = next(creation)
    with first, _hooks_off():
        out = function(*args, **kwargs)
    outs = tensors_in(out)
    recorded = [y for y in outs if y.node is not None]
    if not recorded:
        return out
    edges = _ends([y.node for y in recorded], before)
    node = _Segment(_Run(function, args, kwargs, state, again), edges, recorded)
    places = {id(y): i for i, y in enumerate(recorded)}
    return map_tensors(lambda y: node.output(y, places[id(y)]) if id(y) in places else y, out)


def checkpoint_sequential(
    functions: Any,
    segments: int,
    input: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """Run a Sequential (or a list of functions) in `segments` parts of about equal length, all but
    the last as checkpoints.

    >>> import clearprop as cp
    >>> from clearprop.utils.checkpoint import checkpoint_sequential
    >>> net = cp.nn.Sequential(*[cp.nn.Linear(3, 3) for _ in range(6)])
    >>> checkpoint_sequential(net, 3, cp.ones(2, 3), use_reentrant=False).shape
    (2, 3)
    """
    if kwargs:
        raise ValueError(
            f"checkpoint_sequential: Unexpected keyword arguments: {', '.join(kwargs)}"
        )
    layers = list(functions.children()) if isinstance(functions, Sequential) else list(functions)
    size = len(layers) // segments

    def run(start: int, end: int) -> Callable[[Any], Any]:
        def segment(x: Any) -> Any:
            for layer in layers[start:end]:
                x = layer(x)
            return x

        return segment

    end = size * (segments - 1)
    for start in range(0, end, size or 1):
        part = run(start, start + size)
        input = checkpoint(part, input, preserve_rng_state=preserve_rng_state)
    return run(end, len(layers))(input)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _hooks_off() -> Iterator[None]:
    """Nothing that is recorded here goes through the hooks of `saved_tensors_hooks`: it is kept for
    a moment only.
    """
    c = local.c
    before = c.saving
    c.saving = None
    try:
        yield
    finally:
        c.saving = before


@contextmanager
def _random_numbers(state: Any) -> Iterator[None]:
    """The default generator as it was then; afterwards as it is now."""
    if state is None:
        yield
        return
    now = default_generator.get_state()
    default_generator.set_state(state)
    try:
        yield
    finally:
        default_generator.set_state(now)


def _ends(roots: Iterable[Any], before: int) -> list[Any]:
    """The nodes made before a moment, and the leaves, that the way back from roots first meets."""
    ends, seen, stack = [], set(), list(roots)
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.__class__ is Leaf or node.seq < before:
            ends.append(node)
        else:
            stack.extend(node.edges)
    return ends


class _Run:
    """A call that can be made again, with what it was given."""

    def __init__(
        self, function: Any, args: Any, kwargs: Any, state: Any, context: Callable[[], Any]
    ) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.state, self.context = state, context
        self.name = getattr(function, "__name__", type(function).__name__)
        self.versions = [(x, x._version, x.node) for x in tensors_in((args, kwargs))]

    def again(self) -> Any:
        for x, version, node in self.versions:
            if x._version != version:
                raise AutogradError(CHANGED.format(aval=x.aval, what=self.name) + here())
            if x.node is not node:  # (requires_grad_ or detach_ since)
                raise AutogradError(ANOTHER.format(what=self.name) + here())
        with enable_grad(), _hooks_off(), _random_numbers(self.state), self.context():
            return self.function(*self.args, **self.kwargs)


class _Name:
    """Stands where a primitive stands."""

    variadic = False
    name = "checkpoint"


class _Segment(Node):
    """A node whose rule runs a function again and goes back through what it recorded."""

    __slots__ = ()

    run: _Run
    picks: list[Pick]

    def __init__(self, run: _Run, edges: list[Any], outs: list[Tensor]) -> None:
        self.run, self.edges = run, tuple(edges)
        self.prim, self.rules, self.extra, self.stamp = _Name(), None, True, 0  # type: ignore[assignment]
        self.saved, self.versions, self.out, self.params = (), None, None, {}
        self.seq, self.scope = next(creation), local.c.scope
        frame = user_frame(sys._getframe(2))
        self.code, self.lasti = (None, 0) if frame is None else (frame.f_code, frame.f_lasti)
        self.avals = tuple(y.aval for y in outs)
        self.picks = [Pick(self, i) for i in range(len(outs))] if len(outs) > 1 else []
        leaves = (edge.tensor() for edge in edges if edge.__class__ is Leaf)
        self.leaves = [(weakref.ref(x), x._version) for x in leaves if x is not None]

    def output(self, y: Tensor, i: int) -> Tensor:
        """An output as this node's; it shares the memory of y."""
        out = wrap(y.value, self.picks[i] if self.picks else self)
        out.cell = version_cell(y)
        return out

    def free(self) -> None:
        if self.saved is not None:
            self.saved = None
            del self.run

    def pull(self, g: Any, useful: Any) -> list[Tensor | None]:
        if self.saved is None:
            raise AutogradError(f"{SECOND_BACKWARD} The op is {self.describe()}.")
        for ref, version in self.leaves:
            x = ref()
            if x is not None and x._version != version:
                raise AutogradError(CHANGED.format(aval=x.aval, what=self.run.name) + here())
        outs = [y for y in tensors_in(self.run.again()) if y.node is not None]
        if len(outs) != len(self.avals):
            raise AutogradError(ANOTHER.format(what=self.run.name) + here())
        slots = g if type(g) is dict else {0: g}
        pairs = [(y, slots[i]) for i, y in enumerate(outs) if i in slots]
        ends = set(self.edges)
        try:
            found = between([y for y, _ in pairs], [x for _, x in pairs], ends, local.c.grad)
        except KeyError:
            raise AutogradError(ANOTHER.format(what=self.run.name) + here()) from None
        return [found.get(edge) for edge in self.edges]


__all__ = ["checkpoint", "checkpoint_sequential"]
