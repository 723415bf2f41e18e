"""Functions of several ops that have a kernel of their own in eager mode, and one for their
derivative: two primitives, each of which compiled code writes out in ops again.

Where derivatives of derivatives are wanted, the function is run again in ops and differentiated by
the tape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from clearprop.autograd import Function, enable_grad, grad
from clearprop.core import (
    Aval,
    Composed,
    Example,
    Primitive,
    Tensor,
    apply_many,
    apply_view,
    local,
    primitive,
)
from clearprop.core.primitive import LOOP, Batch
from clearprop.ops.movement import reshape_p


@dataclass(frozen=True)
class Pair:
    """A primitive and that of its derivative. Of its outputs the first `results` are what it is
    for; the derivative gets their cotangents, the outputs in `keeps`, and the inputs.
    """

    forward: Primitive
    backward: Primitive
    function: Callable[..., Any]
    results: int
    keeps: tuple[int, ...]

    def __call__(self, *inputs: Tensor, **params: Any) -> tuple[Tensor, ...]:
        return _Run.apply(self, params, *inputs)  # type: ignore[no-any-return]


class _Run(Function):
    """The primitive with its derivative."""

    @staticmethod
    def forward(ctx: Any, pair: Pair, params: dict[str, Any], *inputs: Tensor) -> Any:
        outs = apply_many(pair.forward, *inputs, **params)
        ctx.pair, ctx.params = pair, params
        ctx.save_for_backward(*inputs, *(outs[i] for i in pair.keeps))
        return outs[: pair.results]

    @staticmethod
    def backward(ctx: Any, *gs: Tensor) -> Any:
        pair, params = ctx.pair, ctx.params
        n = pair.forward.arity
        inputs, kept = ctx.saved_tensors[:n], ctx.saved_tensors[n:]
        if local.c.grad:
            return None, None, *_again(pair, params, inputs, ctx.needs_input_grad[2:], gs)
        return None, None, *apply_many(pair.backward, *gs, *kept, *inputs, **params)


def _again(pair: Pair, params: Any, inputs: Any, wanted: Any, gs: Any) -> list[Tensor | None]:
    """The cotangents of the inputs, recorded."""
    with enable_grad():
        # one tensor may come in several times: each time stands for itself
        apart = [
            apply_view(reshape_p, x, {"shape": x.shape}) if w else x
            for x, w in zip(inputs, wanted, strict=True)
        ]
        outs = pair.function(*apart, **params)[: pair.results]
        xs = [x for x, w in zip(apart, wanted, strict=True) if w]
        found = iter(grad(outs, xs, gs, create_graph=True, materialize_grads=True))
    return [next(found) if w else None for w in wanted]


def pair(
    name: str,
    *,
    doc: str,
    kernels: tuple[Callable[..., Any], Callable[..., Any]],
    functions: tuple[Callable[..., Any], Callable[..., Any]],
    shape: Callable[..., tuple[Aval, ...]],
    results: int,
    keeps: tuple[int, ...],
    inputs: tuple[Aval, ...],
    params: Sequence[dict[str, Any]] = ({},),
    batch: Batch = LOOP,
) -> Pair:
    """Enter both primitives into the table. `kernels` and `functions`: forward and backward, on
    arrays and in ops, both called alike. `inputs` and `params`: examples for the contract tests.
    """
    arity, outs = len(inputs), shape(*inputs, **params[0])
    both = (*outs[:results], *(outs[i] for i in keeps), *inputs)
    return Pair(
        primitive(
            name,
            doc=doc,
            eager=kernels[0],
            shape=shape,
            vjp=(None,) * arity,
            lower=Composed(functions[0]),
            outputs=len(outs),
            batch=batch,
            examples=[Example(inputs, p) for p in params],
        ),
        primitive(
            f"{name}_back",
            doc=f"The derivative of {name}: the cotangents of its inputs.",
            eager=kernels[1],
            shape=lambda *avals, **_: avals[-arity:],
            vjp=(None,) * len(both),
            lower=Composed(functions[1]),
            outputs=arity,
            batch=batch,
            examples=[Example(both, p) for p in params],
        ),
        functions[0],
        results,
        keeps,
    )
