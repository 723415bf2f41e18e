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
from clearprop.autograd.batching import vmap
from clearprop.core import (
    Aval,
    Composed,
    Example,
    Primitive,
    Tensor,
    apply,
    apply_many,
    apply_view,
    local,
    primitive,
)
from clearprop.core.primitive import Batch
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
    block: type[Function]  # what stands on the tape, under the primitive's name

    def __call__(self, *inputs: Tensor, **params: Any) -> tuple[Tensor, ...]:
        """The results."""
        return self.all_of(*inputs, **params)[: self.results]

    def all_of(self, *inputs: Tensor, **params: Any) -> tuple[Tensor, ...]:
        """All outputs; no gradient flows through those that are no results."""
        return self.block.apply(self, params, *inputs)  # type: ignore[no-any-return]


class _Run(Function):
    """The primitive with its derivative."""

    @staticmethod
    def forward(ctx: Any, pair: Pair, params: dict[str, Any], *inputs: Tensor) -> Any:
        outs = apply_many(pair.forward, *inputs, **params)
        ctx.pair, ctx.params = pair, params
        ctx.save_for_backward(*inputs, *(outs[i] for i in pair.keeps))
        ctx.mark_non_differentiable(*outs[pair.results :])
        return outs

    @staticmethod
    def backward(ctx: Any, *gs: Tensor) -> Any:
        pair, params, gs = ctx.pair, ctx.params, gs[: ctx.pair.results]
        n = pair.forward.arity
        inputs, kept = ctx.saved_tensors[:n], ctx.saved_tensors[n:]
        if local.c.grad:
            return None, None, *_again(pair, params, inputs, ctx.needs_input_grad[2:], gs)
        given = (*gs, *kept, *inputs)
        if n == 1:
            return None, None, apply(pair.backward, *given, **params)
        return None, None, *apply_many(pair.backward, *given, **params)


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


def _in_ops(function: Callable[..., Any]) -> Callable[..., Any]:
    """What vmap does: the function's ops, each on the whole batch."""

    def rule(size: int, mapped: Sequence[bool], *xs: Tensor, **params: Any) -> Any:
        in_dims = tuple(0 if m else None for m in mapped)
        return vmap(lambda *ts: function(*ts, **params), in_dims=in_dims)(*xs)

    return rule


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
    batch: Batch | None = None,
) -> Pair:
    """Enter both primitives into the table. `kernels` and `functions`: forward and backward, on
    arrays and in ops, both called alike. `inputs` and `params`: examples for the contract tests.
    """
    arity, outs = len(inputs), shape(*inputs, **params[0])
    both = (*outs[:results], *(outs[i] for i in keeps), *inputs)
    on_batch = [_in_ops(f) if batch is None else batch for f in functions]
    return Pair(
        primitive(
            name,
            doc=doc,
            eager=kernels[0],
            shape=shape,
            vjp=(None,) * arity,
            lower=Composed(functions[0]),
            outputs=len(outs),
            batch=on_batch[0],
            examples=[Example(inputs, p) for p in params],
        ),
        primitive(
            f"{name}_back",
            doc=f"The derivative of {name}: the cotangents of its inputs.",
            eager=kernels[1],
            shape=lambda *avals, **_: avals[-arity:] if arity > 1 else avals[-1],
            vjp=(None,) * len(both),
            lower=Composed(functions[1]),
            outputs=arity,
            batch=on_batch[1],
            examples=[Example(both, p) for p in params],
        ),
        functions[0],
        results,
        keeps,
        type("".join(part.capitalize() for part in name.split("_")), (_Run,), {}),
    )
