"""Results of compiled code that can be differentiated from outside, as those of eager mode can: the
backward pass is compiled by itself, when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clearprop.autograd import Function
from clearprop.autograd.reverse import grad
from clearprop.core import Tensor, local, wrap
from clearprop.graph import Graph, replay
from clearprop.jit.expansion import expanded


class Pullback:
    """Cotangents of a graph's outputs `made` to cotangents of its inputs `wanted`."""

    def __init__(self, graph: Graph, made: Sequence[int], wanted: Sequence[int]) -> None:
        self.graph = expanded(graph)  # composed primitives have no rules, their ops have
        self.made = made
        self.wanted = wanted
        self.__name__ = f"{graph.name}.backward"

    def __call__(self, inputs: Sequence[Tensor], cotangents: Sequence[Tensor]) -> Any:
        """Works through the tape, so it can be traced, and differentiated again."""
        inputs = list(inputs)
        if not local.c.grad or any(x.node is None for x in (inputs[i] for i in self.wanted)):
            for i in self.wanted:
                inputs[i] = inputs[i].detach().requires_grad_()
        again = local.c.grad
        local.c.grad = True
        try:
            outputs = replay(self.graph, inputs)
            return grad(
                [outputs[i] for i in self.made],
                [inputs[i] for i in self.wanted],
                list(cotangents),
                create_graph=again,
                allow_unused=True,
                materialize_grads=True,
            )
        finally:
            local.c.grad = again


class Recorded(Function):
    """One run of a compiled function on the tape."""

    @staticmethod
    def forward(ctx: Any, call: Call, *inputs: Tensor) -> Any:
        ctx.call = call
        ctx.save_for_backward(*inputs)
        outs = [wrap(array, None) for array in call.outputs]
        ctx.mark_non_differentiable(*(t for i, t in enumerate(outs) if i not in call.recorded))
        return tuple(outs)

    @staticmethod
    def backward(ctx: Any, *gs: Tensor) -> Any:
        call: Call = ctx.call
        inputs = ctx.saved_tensors
        wanted = tuple(i for i, x in enumerate(inputs) if x.requires_grad)
        pullback = call.pullback(tuple(call.recorded), wanted)
        made = [gs[i] for i in call.recorded]
        if not local.c.grad:
            found = pullback([x.detach() for x in inputs], [g.detach() for g in made])
        else:
            found = Pullback(call.graph, call.recorded, wanted)(inputs, made)
        out: list[Any] = [None] * (1 + len(inputs))
        for i, g in zip(wanted, found, strict=True):
            out[1 + i] = g
        return tuple(out)


class Call:
    """What a run leaves for its backward pass."""

    def __init__(
        self,
        graph: Graph,
        outputs: list[np.ndarray],
        recorded: Sequence[int],
        pullback: Callable[..., Any],
    ) -> None:
        self.graph = graph
        self.outputs = outputs
        self.recorded = recorded
        self.pullback = pullback
