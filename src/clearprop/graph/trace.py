"""From a Python function of tensors to a Graph: run it once on symbols and keep what it did."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from clearprop.core import Leaf, Tensor, grad_of, wrap
from clearprop.core.tree import map_tensors, tensors_in
from clearprop.errors import TraceError
from clearprop.graph.ir import Var, aval_of
from clearprop.graph.stage import Stage
from clearprop.graph.symbols import Memory, Parts
from clearprop.graph.traced import Condition, GradientEffect, Source, Traced
from clearprop.graph.verify import verify


def trace(
    function: Callable[..., Any],
    *args: Any,
    names: Mapping[int, str] | None = None,
    name: str | None = None,
) -> Traced:
    """The graph of `function(*args)`; args are Tensors, or tuples, lists and dicts of them; what
    else they hold becomes part of the graph.

    Control flow on shapes and Python values is followed and leaves no trace; ops on Tensors become
    equations, backward passes and in-place updates, too. Arrays that exist outside (weights) become
    inputs, arrays made inside become constants. `names` gives names to arrays from outside, by id;
    `name` is that of the graph.
    Nothing is computed and nothing changes: a call of the result does what the function does.

    Random numbers (`rand`, dropout) are drawn anew at every run, from the same generator.

    Errors: TraceError for a decision that depends on a value (`if loss > 1`, `.item()`), and for a
    traced tensor that is stored outside other than as a gradient.

    >>> import clearprop as cp
    >>> from clearprop.graph import trace
    >>> traced = trace(lambda x: (x * x).sum(), cp.tensor([1.0, 2.0]))
    >>> print(traced)
    graph <lambda>(%0: f32[2]) {
      %1: f32[2] = mul(%0, %0)
      %2: f32[] = sum(%1) {dim=(0,), keepdim=False}
      return %2
    }
    >>> traced(cp.tensor([3.0, 4.0]))
    tensor(25.)
    """
    stage = Stage(name or str(getattr(function, "__name__", type(function).__name__)))
    tensors = tensors_in(args)
    _distinct([t.array("trace()") for t in tensors])
    try:
        with stage:
            arguments = [stage.symbol(t).var for t in tensors]
            result = function(*args)
            recorded = tuple(i for i, t in enumerate(tensors_in(result)) if _is_recorded(t))
            outputs = [stage.read(stage.symbol(t)) for t in tensors_in(result)]
            order = iter(range(len(outputs)))
            result = map_tensors(lambda _: wrap(np.array(next(order)), None), result)
            effects, conditions = _gradients(stage, outputs)
    finally:
        _restore(stage)
    _refuse_escapes(stage)
    graph = stage.graph
    graph.outputs = tuple(outputs)
    sources = _sort_memory(stage, arguments, names or {})
    graph.inputs += tuple(v for v, _ in stage.numbers)
    return Traced(
        graph=verify(graph),
        arguments=len(tensors),
        sources=sources,
        numbers=tuple(again for _, again in stage.numbers),
        result=result,
        gradients=effects,
        assumptions=tuple(stage.assumptions),
        conditions=conditions,
        modules=_living(stage.modules),
        recorded=recorded,
    )


def _is_recorded(x: Tensor) -> bool:
    """Whether a backward pass could start from x: it is on the tape, and no backward pass has freed
    what it would need.
    """
    left, seen = [x.node], set()
    while left:
        node = left.pop()
        node = getattr(node, "main", node)
        if node is None or isinstance(node, Leaf) or id(node) in seen:
            continue
        if node.saved is None:
            return False
        seen.add(id(node))
        left.extend(node.edges)
    return x.node is not None


def _gradients(
    stage: Stage, outputs: list[Var]
) -> tuple[tuple[GradientEffect, ...], tuple[Condition, ...]]:
    """The gradients that the function leaves behind, which become outputs, or takes away; and what
    it had found. Tensors that live only inside do not count.
    """
    entries = [
        (weakref.ref(tensor), grad_of(tensor), before, asked)
        for tensor, before, asked in stage.gradients.values()
    ]
    _restore(stage)
    effects, conditions = [], []
    for ref, now, before, asked in entries:
        if ref() is None:
            continue
        if asked:
            conditions.append(Condition(ref, before is not None))
        if now is not before:
            if now is not None:
                outputs.append(stage.read(stage.symbol(now)))
            effects.append(GradientEffect(ref, None if now is None else len(outputs) - 1))
    return tuple(effects), tuple(conditions)


def _living(modules: dict[int, Parts]) -> tuple[Parts, ...]:
    """Those of the modules that somebody else holds: one that was made inside is made anew at every
    call of the function.
    """
    living = list(modules.values())
    modules.clear()
    before = -1
    while len(living) != before:  # a module that goes may be all that held another
        before = len(living)
        living = [parts for parts in living if parts.module() is not None]
    return tuple(living)


def _restore(stage: Stage) -> None:
    """Every gradient is what it was before the trace."""
    for entry in stage.gradients.values():
        entry.tensor._grad = entry.before
    stage.gradients.clear()


def _distinct(arrays: list[np.ndarray]) -> list[np.ndarray]:
    if len({id(a) for a in arrays}) != len(arrays):
        raise TraceError(
            "trace: the same tensor was given twice; give a clone() if the two are to be"
            " independent inputs"
        )
    return arrays


def _sort_memory(
    stage: Stage, arguments: Sequence[Var], names: Mapping[int, str]
) -> tuple[Source, ...]:
    """Tell what memory from outside is: an array that somebody still holds is an input, one that
    only the trace knew is a constant.
    """
    graph, given = stage.graph, set(arguments)
    known = [m for m in stage.memory.values() if not m.constant]
    now = [stage.read(m.symbol) for m in known]
    start = [m.start for m in known]
    places = [_place(m) for m in known]
    arrays = [m.array for m in known]
    stage.memory.clear()
    known.clear()
    held = _held(arrays)
    sources, inputs = [], list(arguments)
    for i, var in enumerate(start):
        var.hint = names.get(id(arrays[i]), "")
        if var not in given and not held[i]:
            graph.constants[var] = arrays[i]
            continue
        if var not in given:
            ref = places[i][0]
            owner = None if ref is None else ref()
            wants = owner is not None and owner.node is not None
            sources.append(Source(arrays[i], *places[i], wants))
            inputs.append(var)
        if now[i] is not var:
            graph.writes[var] = now[i]
    graph.inputs = tuple(inputs)
    _refuse_overlaps(graph.name, start, now, arrays)
    return tuple(sources)


def _place(memory: Memory) -> tuple[weakref.ref[Tensor] | None, weakref.ref[Tensor] | None]:
    """The tensor in which to find the array later on, or whose gradient it is."""
    if memory.grad_of:
        return None, weakref.ref(memory.grad_of[0])
    alive = [ref for ref in memory.owners.values() if ref() is not None]
    return (alive[0] if alive else None), None


def _held(arrays: list[np.ndarray]) -> list[bool]:
    """For each array whether somebody holds it besides this list."""
    alone = [np.empty(0)]
    fewest = sys.getrefcount(alone[0])
    return [sys.getrefcount(arrays[i]) > fewest for i in range(len(arrays))]


def _refuse_overlaps(name: str, start: list[Var], now: list[Var], arrays: list[np.ndarray]) -> None:
    """Arrays that lie in each other's memory must not be written to: a symbol knows nothing of the
    other.
    """
    reach = [byte_bounds(a) if a.size else (0, 0) for a in arrays]
    furthest: dict[bool, int | None] = {True: None, False: None}  # of what is written to, of all
    for i in sorted((i for i, a in enumerate(arrays) if a.size), key=reach.__getitem__):
        changed = now[i] is not start[i]
        before = furthest[not changed]
        if before is not None and reach[i][0] < reach[before][1]:
            one, other = (arrays[k] for k in ((i, before) if changed else (before, i)))
            raise TraceError(
                f"{name}: {aval_of(one)} is written to, and shares memory with another array of the"
                f" function, {aval_of(other)}; take the view inside the function, or clone() it"
            )
        for kind in (False, True) if changed else (False,):
            known = furthest[kind]
            if known is None or reach[i][1] > reach[known][1]:
                furthest[kind] = i


def _refuse_escapes(stage: Stage) -> None:
    """A symbol that outlives the trace would be a tensor without a value."""
    inside = {id(m.symbol) for m in stage.memory.values()}
    if all(id(s) in inside for s in stage.issued()):
        return
    gc.collect()  # what only a cycle holds has not escaped
    escaped = [s for s in stage.issued() if id(s) not in inside]
    if not escaped:
        return
    made = stage.graph.producers().get(escaped[0].var)
    what = f"{escaped[0].var.aval}" + (f", made by {made.prim.name} {made.origin}" if made else "")
    raise TraceError(
        f"{stage.graph.name}: a traced tensor ({what}) was stored outside, in a list, a dict or an"
        " attribute: a traced function has no other effects than writing to tensors in place and"
        " setting gradients. Return it instead"
    )
