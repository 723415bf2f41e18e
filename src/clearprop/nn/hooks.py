"""Calling a module that has hooks; gradients of a whole call for full backward hooks.

A call with full backward hooks runs between two identity blocks: the backward of the outer one sees
the gradients of all outputs, the backward of the inner one those of all inputs, of this call only
(a tensor that is also used elsewhere is not mixed up).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from clearprop.autograd import Function, RemovableHandle
from clearprop.core import Tensor, local
from clearprop.errors import AutogradError

if TYPE_CHECKING:
    from clearprop.nn.module import Module

Gradients = tuple[Tensor | None, ...]


def add_hook(hooks: dict[int, Any], hook: Any, prepend: bool) -> RemovableHandle:
    """Register at the end of the queue, or at its front."""
    handle = RemovableHandle(hooks, hook)
    if prepend:
        others = {k: h for k, h in hooks.items() if k != handle.id}
        for k in others:
            hooks[k] = hooks.pop(k)  # moves behind the new one
    return handle


def call_with_hooks(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """forward between its hooks."""
    for hook, with_kwargs in list(module._pre_hooks.values()):
        if with_kwargs:
            new = hook(module, args, kwargs)
            if new is not None:
                args, kwargs = new
            continue
        new = hook(module, args)
        if new is not None:
            args = new if isinstance(new, tuple) else (new,)
    watch = BackwardWatch(module) if module._backward_hooks else None
    if watch is not None:
        args = watch.inputs(args)
    out = module.forward(*args, **kwargs)
    for hook, with_kwargs in list(module._forward_hooks.values()):
        new = hook(module, args, kwargs, out) if with_kwargs else hook(module, args, out)
        if new is not None:
            out = new
    return out if watch is None else watch.outputs(out)


class BackwardHook(Function):
    """The identity of several tensors whose backward hands all their gradients to `report` at once."""

    @staticmethod
    def forward(
        ctx: Any, report: Callable[[Gradients], Gradients], *xs: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.report = report
        ctx.set_materialize_grads(False)
        return xs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        return (None, *ctx.report(grads))


class BackwardWatch:
    """One call of a module with full backward hooks."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.grad_output: Gradients = ()
        self.watches_inputs = False
        self.size = 0

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, those that want a gradient passed through the inner block."""
        self.size = len(args)
        at = [i for i, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad]
        if not at or not local.c.grad:
            return args
        self.watches_inputs = True

        def report(grads: Gradients) -> Gradients:
            new = self._run_hooks(_spread(grads, at, self.size))
            return tuple(new[i] for i in at)

        return _replaced(args, at, BackwardHook.apply(report, *(args[i] for i in at)))

    def outputs(self, out: Any) -> Any:
        """The outputs, passed through the outer block."""
        outs = out if isinstance(out, tuple) else (out,)
        at = [i for i, y in enumerate(outs) if isinstance(y, Tensor) and y.requires_grad]
        if not at or not local.c.grad:
            return out

        def report(grads: Gradients) -> Gradients:
            self.grad_output = _spread(grads, at, len(outs))
            if not self.watches_inputs:
                self._run_hooks((None,) * self.size)
            return grads

        new = _replaced(outs, at, BackwardHook.apply(report, *(outs[i] for i in at)))
        return new if isinstance(out, tuple) else new[0]

    def _run_hooks(self, grad_input: Gradients) -> Gradients:
        for hook in list(self.module._backward_hooks.values()):
            new = hook(self.module, grad_input, self.grad_output)
            if new is None:
                continue
            new = new if isinstance(new, tuple) else (new,)
            if len(new) != len(grad_input):
                raise AutogradError(
                    f"full backward hook of {type(self.module).__name__}: Backward hook returned an"
                    f" invalid number of grad_input, got {len(new)}, but expected {len(grad_input)}"
                )
            grad_input = new
        return grad_input


def _spread(grads: Gradients, at: list[int], size: int) -> Gradients:
    places = dict(zip(at, grads, strict=True))
    return tuple(places.get(i) for i in range(size))


def _replaced(xs: tuple[Any, ...], at: list[int], new: tuple[Any, ...]) -> tuple[Any, ...]:
    places = dict(zip(at, new, strict=True))
    return tuple(places.get(i, x) for i, x in enumerate(xs))
