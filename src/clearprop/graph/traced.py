"""What a trace gives: a graph, where its inputs are found at every run, and what a run does besides
returning values.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from clearprop.core import Tensor, grad_of, wrap
from clearprop.core.tree import map_tensors, tensors_in
from clearprop.errors import TraceError
from clearprop.graph.evaluate import evaluate
from clearprop.graph.ir import Graph
from clearprop.graph.symbols import Assumption, Parts


class Source(NamedTuple):
    """Where an array of the graph's inputs is found at every run: in the tensor `owner`, or in the
    gradient of `grad_of`; else it is `array` itself.
    """

    array: np.ndarray
    owner: weakref.ref[Tensor] | None
    grad_of: weakref.ref[Tensor] | None
    wants: bool  # whether the owner wants a gradient

    def now(self) -> np.ndarray | None:
        """The array; None if there is none of that shape and type any more."""
        found: Any = self.array
        if self.grad_of is not None:
            tensor = self.grad_of()
            grad = None if tensor is None else grad_of(tensor)
            found = None if grad is None else grad.value
        elif self.owner is not None:
            owner = self.owner()
            if owner is None or (owner.node is not None) != self.wants:
                return None
            found = owner.value
        same = found is not None and (found.shape, found.dtype) == (
            self.array.shape,
            self.array.dtype,
        )
        return found if same else None


class GradientEffect(NamedTuple):
    """What a run does to the gradient of a tensor: output number `output`, or None."""

    tensor: weakref.ref[Tensor]
    output: int | None


class Condition(NamedTuple):
    """Whether the tensor had a gradient when the function asked for it."""

    tensor: weakref.ref[Tensor]
    had_grad: bool


@dataclass(frozen=True, eq=False)
class Traced:
    """A graph with what is needed to call it.

    The graph's inputs are the Tensors among the arguments, then the arrays of `sources`, which the
    function read or wrote (weights, buffers, data), then `numbers`, which are asked for at every
    run, in this order (learning rates, random numbers). Its outputs are the Tensors of `result`,
    which holds output numbers, and then the gradients of `gradients`.
    `recorded` are the outputs that eager mode would have on the tape.
    `assumptions` and `conditions`: what was decided while tracing, and how; `modules`: what the
    modules that were called consisted of.
    """

    graph: Graph
    arguments: int
    sources: tuple[Source, ...]
    numbers: tuple[Callable[[], Any], ...]
    result: Any
    gradients: tuple[GradientEffect, ...]
    assumptions: tuple[Assumption, ...]
    conditions: tuple[Condition, ...]
    modules: tuple[Parts, ...]
    recorded: tuple[int, ...] = ()

    def with_graph(self, graph: Graph) -> Traced:
        """The same with another body of the graph."""
        return replace(self, graph=graph)

    @property
    def captured(self) -> list[np.ndarray]:
        """The arrays of the sources, as they are now.

        Errors: TraceError if one has another shape or type than when it was traced.
        """
        found = [source.now() for source in self.sources]
        if any(array is None for array in found):
            raise TraceError(f"{self.graph.name}: a tensor has another shape or type: trace again")
        return found  # type: ignore[return-value]

    def holds(self) -> bool:
        """Whether the function would be traced to the same graph again."""
        return self.what_changed() is None

    def what_changed(self, looked: bool = False) -> str | None:
        """Why the function would be traced to another graph; None if it would not. With `looked`,
        options and modules have been looked at since core.state.changes last counted up.
        """
        left = [a for a in self.assumptions if not (looked and a.steady)]
        if any(a.decide() != a.answer for a in left):
            return "an option of an optimizer, or a step count, is decided on otherwise"
        for source in self.sources:
            if source.now() is None:
                return "a tensor has another shape or type, wants a gradient or not, or is another"
        if any(_has_grad(tensor()) != had for tensor, had in self.conditions):
            return "a gradient is there that was not, or the other way round"
        for parts in () if looked else self.modules:
            name = parts.changed()
            if name is not None:
                return f"{name} has changed"
        return None

    def __call__(self, *args: Any) -> Any:
        """Run the graph with the reference interpreter, and do what the function does: write to
        tensors in place, set gradients.
        """
        given = [t.array("calling a traced function") for t in tensors_in(args)]
        if len(given) != self.arguments:
            raise TypeError(
                f"{self.graph.name}: got {len(given)} tensors, was traced with {self.arguments}"
            )
        if not self.holds():
            raise TraceError(
                f"{self.graph.name}: something on which the trace decided has changed (an option"
                " of an optimizer, a step count, whether a gradient is there, the mode or the parts"
                " of a module): trace again"
            )
        arrays = [*given, *self.captured, *(np.array(number()) for number in self.numbers)]
        outs = evaluate(self.graph, arrays)
        known = {id(array) for array in arrays}
        for ref, output in self.gradients:
            tensor = ref()
            if tensor is not None:
                tensor.grad = None if output is None else wrap(_own(outs[output], known), None)
        return map_tensors(lambda t: wrap(outs[int(t.value)], None), self.result)

    def __str__(self) -> str:
        return str(self.graph)


def _has_grad(tensor: Tensor | None) -> bool:
    return tensor is not None and grad_of(tensor) is not None


def _own(array: np.ndarray, known: set[int]) -> np.ndarray:
    """array, copied if somebody else has it, too."""
    if array.base is not None or id(array) in known:
        array = array.copy()
    known.add(id(array))
    return array
