"""A function compiled for arguments of one kind: what was decided, its code, and runs of it through
Python.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clearprop.core import Tensor, bump, grad_of, wrap
from clearprop.core.state import changes
from clearprop.core.tree import map_tensors, tensors_in
from clearprop.graph import Traced
from clearprop.jit.binding import Binding
from clearprop.jit.guards import Names
from clearprop.jit.program import Program
from clearprop.jit.recorded import Call, Pullback, Recorded


def _as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


@dataclass(eq=False)
class Version:
    """A function compiled for arguments of one kind; `reason` is why it was."""

    traced: Traced
    program: Program
    names: Names
    reason: str
    seconds: float
    calls: int = 0
    bindings: dict[int, Binding] = field(default_factory=dict)  # of threads that call it
    unbound: str = ""  # why calls go through Python
    targets: list[int | None] = field(default_factory=list)  # arguments whose gradients are set
    waiting: Future[Program] | None = None  # compiled in another thread; no program until then
    again: Callable[..., Any] = _as_it_is  # how the backward pass is compiled

    def ready(self) -> bool:
        """Whether there is code.

        Errors: what went wrong while it was made.
        """
        if self.waiting is not None and self.waiting.done():
            self.program, self.waiting = self.waiting.result(), None
        return self.waiting is None

    def __post_init__(self) -> None:
        graph = self.traced.graph
        places = {v: i for i, v in enumerate(graph.inputs)}
        self.written = sorted(places[v] for v in graph.writes)
        self.pullbacks: dict[Any, Callable[..., Any]] = {}
        self.looked = -1  # what core.state.changes said when all was looked at
        self.many: Many | None = None
        self.bound: dict[int, Binding] = {}  # for so many steps in a call
        self.makers = [(v.aval.shape, v.aval.dtype.np) for v in graph.outputs]

    @property
    def all_calls(self) -> int:
        bound = [*self.bound.values(), *self.bindings.values()]
        return self.calls + sum(binding.calls for binding in bound)

    def changed(self) -> str | None:
        """What is not as it was when this was traced; None if all is."""
        name = self.names.changed()
        if name is not None:
            return f"{name} has another value"
        found = self.traced.what_changed(looked=self.looked == changes[0])
        if found is None:
            self.looked = changes[0]
        return found

    def overlaps(self, args: list[Tensor]) -> bool:
        """Whether an argument lies in memory that is written to, which the code rules out."""
        n, captured = len(args), self.traced.captured
        arrays = [*(x.value for x in args), *captured]
        return any(
            i != j and np.may_share_memory(arrays[i], arrays[j])
            for i in self.written
            for j in range(n)
        )

    def adds_to_arguments(self, args: list[Tensor]) -> bool:
        """Whether a gradient would have to be added to one that an argument has already."""
        return any(i is not None and grad_of(args[i]) is not None for i in self.targets)

    def run(self, args: list[Tensor]) -> Any:
        """Compute, write and set gradients, as the function would."""
        traced = self.traced
        arrays = [t.value for t in args]
        arrays += traced.captured
        arrays += [np.asarray(number()) for number in traced.numbers]
        packed = [a if is_packed(a) else np.array(a, order="C") for a in arrays]
        outputs = [np.empty(shape, d) for shape, d in self.makers]
        before = self._kept(args, arrays) if traced.recorded else []
        self.program.run(packed, outputs)
        for i in self.written:
            if packed[i] is not arrays[i]:
                arrays[i][...] = packed[i]
        self._bump(args)
        for (ref, output), place in zip(traced.gradients, self.targets, strict=True):
            tensor = ref() if place is None else args[place]
            if tensor is not None:
                tensor.grad = None if output is None else wrap(outputs[output], None)
        self.calls += 1
        results = [wrap(array, None) for array in outputs]
        if traced.recorded:
            call = Call(traced.graph, outputs, traced.recorded, self._pullback)
            results = list(Recorded.apply(call, *before))
        return map_tensors(lambda t: results[int(t.value)], traced.result)

    def _kept(self, args: list[Tensor], arrays: list[np.ndarray]) -> list[Tensor]:
        """The inputs as Tensors, for the backward pass; copies of those that are written to."""
        found = list(args)
        owners = [s.owner() if s.owner else None for s in self.traced.sources]
        found += [
            t if t is not None else wrap(a, None)
            for t, a in zip(owners, arrays[len(args) :], strict=False)
        ]
        found += [wrap(a, None) for a in arrays[len(found) :]]
        for i in self.written:
            found[i] = wrap(arrays[i].copy(), None)
        return found

    def _pullback(self, made: tuple[int, ...], wanted: tuple[int, ...]) -> Callable[..., Any]:
        """The compiled backward pass, made once."""
        if (made, wanted) not in self.pullbacks:
            self.pullbacks[made, wanted] = self.again(Pullback(self.traced.graph, made, wanted))
        return self.pullbacks[made, wanted]

    def run_many(self, first: list[Tensor], stacks: list[Tensor], k: int) -> Any:
        """k runs in one call; `stacks` are the arguments with an axis of k in front."""
        traced = self.traced
        if self.many is None:
            self.many = Many(self)
        outputs = self.many.run([np.ascontiguousarray(t.value) for t in stacks], k)
        self._bump(first)
        for ref, output in traced.gradients:
            tensor = ref()
            if tensor is not None:
                tensor.grad = None if output is None else wrap(outputs[output], None)
        self.calls += k
        return map_tensors(lambda t: wrap(outputs[int(t.value)], None), traced.result)

    def in_one_call(self) -> bool:
        """Whether many runs can be one call: nothing is drawn, decided or copied in between."""
        traced = self.traced
        n = len(traced.numbers)
        named = all(v.hint for v in traced.graph.inputs[len(traced.graph.inputs) - n :]) if n else 1
        return bool(
            named
            and not traced.recorded
            and all(a.steady for a in traced.assumptions)
            and not any(place is not None for place in self.targets)
            and not any(i < traced.arguments for i in self.written)
            and all(map(is_packed, traced.captured))
        )

    def _bump(self, args: list[Tensor]) -> None:
        """Count the writes, so that a backward pass that kept an old value notices."""
        for i in self.written:
            if i < len(args):
                bump(args[i])
            elif (owner := self.traced.sources[i - len(args)].owner) is not None:
                tensor = owner()
                if tensor is not None:
                    bump(tensor)


def is_packed(array: np.ndarray) -> bool:
    """Whether machine code can use the array as it is."""
    return array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative


class Many:
    """A table for many runs in one call, of which only what changes is filled in every time."""

    def __init__(self, version: Version) -> None:
        self.traced, self.program = version.traced, version.program
        graph = self.traced.graph
        self.table = self.program.new_table()
        self.captured: list[np.ndarray] = []
        self.numbers = [np.zeros((), np.float64) for _ in self.traced.numbers]
        first = len(graph.inputs) - len(self.numbers)
        for i, number in enumerate(self.numbers):
            self.table[first + i] = number.ctypes.data
        results = sorted(int(t.value) for t in tensors_in(self.traced.result))
        self.stacked = [*range(self.traced.arguments), *(len(graph.inputs) + i for i in results)]
        self.avals = [
            (v.aval.shape, v.aval.dtype.np, i in results) for i, v in enumerate(graph.outputs)
        ]
        inputs = [v.aval for v in graph.inputs] + [v.aval for v in graph.outputs]
        self.moves = np.array(
            [(i, inputs[i].size * inputs[i].dtype.np.itemsize) for i in self.stacked] or [(0, 0)],
            np.int64,
        )

    def run(self, stacks: list[np.ndarray], k: int) -> list[np.ndarray]:
        """The outputs: results with an axis of k in front, gradients of the last step."""
        for array, number in zip(self.numbers, self.traced.numbers, strict=True):
            array[...] = number()
        outputs = [np.empty((k, *s) if many else s, d) for s, d, many in self.avals]
        captured = self.traced.captured
        if len(captured) != len(self.captured) or any(
            map(operator.is_not, captured, self.captured)
        ):
            self.captured = captured
            for i, array in enumerate(captured, len(stacks)):
                self.table[i] = array.ctypes.data
        for i, array in enumerate(stacks):
            self.table[i] = array.ctypes.data
        for i, array in enumerate(outputs, len(self.traced.graph.inputs)):
            self.table[i] = array.ctypes.data
        self.program.run_many(self.table, k, self.moves, len(self.stacked))
        return outputs


# ---------------------------------------------------------------------- telling
def described(version: Version) -> list[str]:
    """What was compiled, and what of it runs in eager mode."""
    graph, program = version.traced.graph, version.program
    inputs = ", ".join(str(v.aval) for v in graph.inputs[: version.traced.arguments])
    if version.waiting is not None:
        return [f"  ({inputs}): {len(graph)} equations, compiled in the background until now,"
                f" because {version.reason}"]  # fmt: skip
    source = "from the cache" if program.code.cached else "new code"
    lines = [
        f"  ({inputs}): {len(graph)} equations in {program.layout.kernels} kernels,"
        f" {1e3 * version.seconds:.0f} ms ({source}), {version.all_calls} calls,"
        f" because {version.reason}"
    ]
    if version.calls and version.unbound:
        lines.append(f"    every call goes through Python: {version.unbound}")
    for callback in program.plan.schedule.callbacks if program.layout.callbacks else ():
        e = callback.equation
        lines.append(f"    {e.prim.name} {e.origin} runs in eager mode: {callback.why}")
    return lines


def log(name: str, version: Version, again: bool) -> None:
    """A line about a compile, and more where something runs in eager mode."""
    first, *more = described(version)
    same = ", the same code as before" if again else ""
    print(f"clearprop: compiled {name}{first.strip()}{same}", file=sys.stderr)
    for line in more:
        print(f"clearprop: {line.strip()}", file=sys.stderr)
