"""From a Python function of tensors to a Graph: run it once on symbols and keep what it did."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearprop.core import Tensor, wrap
from clearprop.errors import TraceError
from clearprop.graph.evaluate import evaluate
from clearprop.graph.ir import Graph, Var, aval_of
from clearprop.graph.stage import Stage, Symbol
from clearprop.graph.tree import map_tensors, tensors_in
from clearprop.graph.verify import verify


@dataclass(frozen=True, eq=False)
class Traced:
    """A graph with what is needed to call it: the graph's inputs are the Tensors among the
    arguments, then `captured`, the arrays from outside that the function read or wrote (weights,
    buffers, data), then `numbers` (learning rates), asked for at every call. `result` is what the
    function returned, with output numbers for Tensors. `assumptions`: what was decided on numbers
    while tracing, and how.
    """

    graph: Graph
    arguments: int
    captured: tuple[np.ndarray, ...]
    numbers: tuple[Callable[[], float], ...]
    assumptions: tuple[tuple[Callable[[], bool], bool], ...]
    result: Any

    def holds(self) -> bool:
        """Whether every decision that was made while tracing would be made again."""
        return all(decide() == answer for decide, answer in self.assumptions)

    def __call__(self, *args: Any) -> Any:
        """Run the graph with the reference interpreter; what it writes is written."""
        given = [t.array("calling a traced function") for t in tensors_in(args)]
        if len(given) != self.arguments:
            raise TypeError(
                f"{self.graph.name}: got {len(given)} tensors, was traced with {self.arguments}"
            )
        if not self.holds():
            raise TraceError(
                f"{self.graph.name}: a number on which the trace decided has changed (an option of"
                " an optimizer, a step count): trace again"
            )
        numbers = [np.array(number()) for number in self.numbers]
        outs = evaluate(self.graph, [*given, *self.captured, *numbers])
        return map_tensors(lambda t: wrap(outs[int(t.value)], None), self.result)

    def __str__(self) -> str:
        return str(self.graph)


def trace(
    function: Callable[..., Any], *args: Any, names: Mapping[int, str] | None = None
) -> Traced:
    """The graph of `function(*args)`; args are Tensors, or tuples, lists and dicts of them; what
    else they hold becomes part of the graph.

    Control flow on shapes and Python values is followed and leaves no trace; ops on Tensors become
    equations, backward passes and in-place updates, too. Arrays that exist outside (weights) become
    inputs, arrays made inside become constants. `names` gives names to arrays from outside, by id.

    Errors: TraceError for a decision that depends on a value (`if loss > 1`, `.item()`), for random
    numbers, and for a traced tensor that is stored outside instead of returned.

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
    stage = Stage(getattr(function, "__name__", type(function).__name__))
    tensors = tensors_in(args)
    arrays = _distinct([t.array("trace()") for t in tensors])
    with stage:
        arguments = [stage.symbol(a).var for a in arrays]
        result = function(*args)
        outputs = [stage.read(stage.symbol(t.value)) for t in tensors_in(result)]
    order = iter(range(len(outputs)))
    result = map_tensors(lambda _: wrap(np.array(next(order)), None), result)
    _refuse_escapes(stage)
    graph = stage.graph
    graph.outputs = tuple(outputs)
    captured = _sort_memory(stage, arguments, names or {})
    graph.inputs += tuple(v for v, _ in stage.numbers)
    numbers = tuple(again for _, again in stage.numbers)
    assumptions = tuple(stage.assumptions)
    return Traced(verify(graph), len(tensors), captured, numbers, assumptions, result)


def _distinct(arrays: list[np.ndarray]) -> list[np.ndarray]:
    if len({id(a) for a in arrays}) != len(arrays):
        raise TraceError(
            "trace: the same tensor was given twice; give a clone() if the two are to be"
            " independent inputs"
        )
    return arrays


def _sort_memory(
    stage: Stage, arguments: Sequence[Var], names: Mapping[int, str]
) -> tuple[np.ndarray, ...]:
    """Tell what memory from outside is: an array that somebody still holds is an input, one that
    only the trace knew is a constant.
    """
    graph, given = stage.graph, set(arguments)
    known = [m for m in stage.memory.values() if not m.constant]
    now = [stage.read(m.symbol) for m in known]
    start = [m.start for m in known]
    arrays = [m.array for m in known]
    stage.memory.clear()
    known.clear()
    held = _held(arrays)
    captured, inputs = [], list(arguments)
    for i, var in enumerate(start):
        var.hint = names.get(id(arrays[i]), "")
        if var not in given and not held[i]:
            graph.constants[var] = arrays[i]
            continue
        if var not in given:
            captured.append(arrays[i])
            inputs.append(var)
        if now[i] is not var:
            graph.writes[var] = now[i]
    graph.inputs = tuple(inputs)
    _refuse_overlaps(graph.name, start, now, arrays)
    return tuple(captured)


def _held(arrays: list[np.ndarray]) -> list[bool]:
    """For each array whether somebody holds it besides this list."""
    alone = [np.empty(0)]
    fewest = sys.getrefcount(alone[0])
    return [sys.getrefcount(arrays[i]) > fewest for i in range(len(arrays))]


def _refuse_overlaps(name: str, start: list[Var], now: list[Var], arrays: list[np.ndarray]) -> None:
    """Arrays that lie in each other's memory must not be written to: a symbol knows nothing of the
    other.
    """
    changed = [i for i in range(len(arrays)) if now[i] is not start[i]]
    for i in changed:
        for j, other in enumerate(arrays):
            if i != j and np.may_share_memory(arrays[i], other):
                raise TraceError(
                    f"{name}: {aval_of(arrays[i])} is written to, and shares memory with another"
                    f" array of the function, {aval_of(other)}; take the view inside the function,"
                    " or clone() it"
                )


def _refuse_escapes(stage: Stage) -> None:
    """A symbol that outlives the trace would be a tensor without a value."""
    inside = {id(m.symbol) for m in stage.memory.values()}
    if all(id(s) in inside for s in stage.issued()):
        return
    gc.collect()  # what only a cycle holds has not escaped
    escaped = [s for s in stage.issued() if id(s) not in inside]
    if not escaped:
        return
    _drop_gradients(escaped)
    made = stage.graph.producers().get(escaped[0].var)
    what = f"{escaped[0].var.aval}" + (f", made by {made.prim.name} {made.origin}" if made else "")
    raise TraceError(
        f"{stage.graph.name}: {len(escaped)} traced tensor{'s' * (len(escaped) > 1)} ({what}) were"
        " stored outside (in .grad, a list or an attribute): a traced function has no other effects"
        " than writing to tensors in place. Return it instead (autograd.grad returns gradients)"
    )


def _drop_gradients(escaped: Sequence[Symbol]) -> None:
    """Take traced gradients away from the tensors that backward() gave them to."""
    for symbol in escaped:
        for tensor in gc.get_referrers(symbol):
            if isinstance(tensor, Tensor):
                for holder in gc.get_referrers(tensor):  # its attributes may be a dict of their own
                    if isinstance(holder, dict) and holder.get("grad") is tensor:
                        holder["grad"] = None
                    elif isinstance(holder, Tensor) and holder.grad is tensor:
                        holder.grad = None
