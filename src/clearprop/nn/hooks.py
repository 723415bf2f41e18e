"""Calling a module that has hooks; gradients of a whole call for full backward hooks.

A call with full backward hooks runs between two identity blocks: the backward of the outer one sees
the gradients of all outputs, the backward of the inner one those of all inputs, of this call only
(a tensor that is also used elsewhere is not mixed up).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from clearprop.autograd import Function, RemovableHandle
from clearprop.core import Tensor, local
from clearprop.errors import AutogradError

if TYPE_CHECKING:
    from clearprop.nn.module import Module

Gradients = tuple[Tensor | None, ...]


class ForwardHook(NamedTuple):
    """A hook around forward, and how it wants to be called."""

    call: Callable[..., Any]
    with_kwargs: bool
    always: bool = False


def add_hook(hooks: dict[int, Any], hook: Any, prepend: bool) -> RemovableHandle:
    """Register at the end of the queue, or at its front."""
    handle = RemovableHandle(hooks, hook)
    if prepend:
        for k in [k for k in hooks if k != handle.id]:
            hooks[k] = hooks.pop(k)  # moves behind the new one
    return handle


def call_with_hooks(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The module as compiled code, if `module.compile()` was called, else forward between its
    hooks.
    """
    if module._compiled_call is not None and local.c.interpreter is None:
        return module._compiled_call(*args, **kwargs)
    return between_hooks(module, args, kwargs)


class Uncompiled:
    """What `module.compile()` compiles: a call of the module."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.__name__ = type(module).__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        interpreter = local.c.interpreter
        if interpreter is not None:
            interpreter.entered(self.module)
        return between_hooks(self.module, args, kwargs)


def between_hooks(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """forward between its hooks."""
    called: set[int] = set()
    try:
        return _call(module, args, kwargs, called)
    except Exception:
        for k, hook in list(module._forward_hooks.items()):
            if hook.always and k not in called:
                _after(hook, module, args, kwargs, None)
        raise


def _call(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], called: set[int]) -> Any:
    for hook in list(module._pre_hooks.values()):
        args, kwargs = _before(hook, module, args, kwargs)
    watch = BackwardWatch(module) if module._backward_hooks or module._backward_pre_hooks else None
    if watch is not None:
        args = watch.inputs(args)
    out = module.forward(*args, **kwargs)
    for k, hook in list(module._forward_hooks.items()):
        called.add(k)
        new = _after(hook, module, args, kwargs, out)
        if new is not None:
            out = new
    return out if watch is None else watch.outputs(out)


def _before(
    hook: ForwardHook, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if not hook.with_kwargs:
        new = hook.call(module, args)
        if new is None:
            return args, kwargs
        return (new if isinstance(new, tuple) else (new,)), kwargs
    new = hook.call(module, args, kwargs)
    if new is None:
        return args, kwargs
    if not isinstance(new, tuple) or len(new) != 2:
        raise AutogradError(
            f"forward pre-hook of {type(module).__name__}: forward pre-hook must return None or a"
            f" tuple of (new_args, new_kwargs), but got {new}."
        )
    return new


def _after(
    hook: ForwardHook, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
) -> Any:
    if hook.with_kwargs:
        return hook.call(module, args, kwargs, out)
    return hook.call(module, args, out)


class BackwardHook(Function):
    """The identity of several tensors; backward hands all their gradients to `report` at once."""

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
            new = self._run_backward_hooks(_spread(grads, at, self.size))
            return tuple(new[i] for i in at)

        return _replaced(args, at, BackwardHook.apply(report, *(args[i] for i in at)))

    def outputs(self, out: Any) -> Any:
        """The outputs, passed through the outer block."""
        outs = out if isinstance(out, tuple) else (out,)
        at = [i for i, y in enumerate(outs) if isinstance(y, Tensor) and y.requires_grad]
        if not at or not local.c.grad:
            return out

        def report(grads: Gradients) -> Gradients:
            self.grad_output = self._run(
                self.module._backward_pre_hooks, _spread(grads, at, len(outs)), "grad_output"
            )
            if not self.watches_inputs:
                self._run_backward_hooks((None,) * self.size)
            return tuple(self.grad_output[i] for i in at)

        new = _replaced(outs, at, BackwardHook.apply(report, *(outs[i] for i in at)))
        return new if isinstance(out, tuple) else new[0]

    def _run_backward_hooks(self, grad_input: Gradients) -> Gradients:
        return self._run(self.module._backward_hooks, grad_input, "grad_input", self.grad_output)

    def _run(
        self, hooks: dict[int, Any], grads: Gradients, what: str, *more: Gradients
    ) -> Gradients:
        """grads after the hooks, each of which may replace them."""
        for hook in list(hooks.values()):
            new = hook(self.module, grads, *more)
            if new is None:
                continue
            new = new if isinstance(new, tuple) else (new,)
            if len(new) != len(grads):
                raise AutogradError(
                    f"full backward hook of {type(self.module).__name__}: Backward hook returned an"
                    f" invalid number of {what}, got {len(new)}, but expected {len(grads)}"
                )
            grads = new
        return grads


def _spread(grads: Gradients, at: list[int], size: int) -> Gradients:
    places = dict(zip(at, grads, strict=True))
    return tuple(places.get(i) for i in range(size))


def _replaced(xs: tuple[Any, ...], at: list[int], new: tuple[Any, ...]) -> tuple[Any, ...]:
    places = dict(zip(at, new, strict=True))
    return tuple(places.get(i, x) for i, x in enumerate(xs))
