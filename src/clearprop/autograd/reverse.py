"""`backward` and `grad`, and what tensors get from autograd: hooks, retain_grad."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from clearprop.autograd import engine
from clearprop.autograd.anomaly import Checked
from clearprop.core import Leaf, Node, Tensor, local
from clearprop.core.events import listeners, tell
from clearprop.errors import AutogradError
from clearprop.ops import zeros_like
from clearprop.ops.broadcasting import here


def _listed(x: Any) -> list[Any]:
    return [x] if isinstance(x, Tensor) else list(x)


def _walk_back(*args: Any, **options: Any) -> dict[Any, Tensor]:
    """`engine.run`. In anomaly mode the engine checks what a node's rule returns and names that
    node; the ops that rules are made of are not checked one by one.
    """
    c = local.c
    before = c.interpreter
    if not (c.anomaly and isinstance(before, Checked)):
        return engine.run(*args, **options)
    c.interpreter = Checked(shapes=before.shapes, finite=False)
    try:
        return engine.run(*args, **options)
    finally:
        c.interpreter = before


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add d(tensors)/d(leaf) to `.grad` of every leaf behind them (or only of `inputs`).

    Raises RuntimeError for a non-scalar without a gradient, a tensor without history, a graph that
    was freed or overwritten.
    """
    outputs = _listed(tensors)
    given = None if grad_tensors is None else _listed(grad_tensors)
    if listeners:
        tell("backward", outputs, given, inputs, create_graph)
    grads = engine.seeds(outputs, given, "backward")
    retain = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        _walk_back(outputs, grads, targets=None, retain=retain, create_graph=create_graph)
        if listeners:
            tell("backward done", outputs, given, inputs, create_graph)
        return
    wanted = _listed(inputs)
    if not wanted:
        raise AutogradError(f"backward: inputs argument to backward() cannot be empty{here()}")
    found = _walk_back(
        outputs, grads, targets={_node(x) for x in wanted}, retain=retain, create_graph=create_graph
    )
    for x in wanted:
        g = found.get(x.node)
        if g is not None:
            x.grad = (g if create_graph else g.detach()) if x.grad is None else x.grad + g
    if listeners:
        tell("backward done", outputs, given, inputs, create_graph)


def _node(x: Tensor) -> Any:
    x.grad_fn  # noqa: B018  (a stale view finds its node here)
    if x.node is None:
        raise AutogradError(
            f"grad: One of the differentiated Tensors does not require grad: {x.aval}{here()}"
        )
    return x.node


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    *,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """d(outputs)/d(inputs) as a tuple; `.grad` is left alone. `create_graph=True` makes the result
    differentiable again. (`only_inputs` is there for older programs, and has to be True.)

    >>> import clearprop as cp
    >>> x = cp.tensor(3.0, requires_grad=True)
    >>> (dy,) = cp.autograd.grad(x**3, x, create_graph=True)
    >>> cp.autograd.grad(dy, x)
    (tensor(18.),)
    """
    if not only_inputs:
        raise ValueError("grad: only_inputs=False is not there any more; use backward()")
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "grad: Expected allow_unused to be True or not passed when materialize_grads=True, but"
            " got: allow_unused=False."
        )
    ys, xs = _listed(outputs), _listed(inputs)
    given = None if grad_outputs is None else _listed(grad_outputs)
    if listeners:
        tell("backward", ys, given, xs, create_graph)
    grads = engine.seeds(ys, given, "grad")
    nodes = [_node(x) for x in xs]
    retain = create_graph if retain_graph is None else retain_graph
    found = _walk_back(ys, grads, targets=set(nodes), retain=retain, create_graph=create_graph)
    out: list[Any] = []
    for x, node in zip(xs, nodes, strict=True):
        g = found.get(node)
        if g is None:
            if materialize_grads:
                g = zeros_like(x)
            elif not allow_unused:
                raise AutogradError(
                    "grad: One of the differentiated Tensors appears to not have been used in the"
                    " graph. Set allow_unused=True if this is the desired behavior. The input is"
                    f" {x.aval}{here()}"
                )
        out.append(g)
    if listeners:
        tell("backward done", ys, given, xs, create_graph)
    return tuple(out)


class RemovableHandle:
    """What registering a hook gives back: `.remove()` takes the hook away again (also at the end of
    a `with` block).
    """

    _numbers = itertools.count()

    def __init__(self, hooks: dict[int, Any], hook: Callable[..., Any]) -> None:
        self.id = next(self._numbers)
        self._hooks = hooks
        hooks[self.id] = hook

    def remove(self) -> None:
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def _tensor_backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Back-propagate from this tensor: add d(self)/d(leaf) to `.grad` of every leaf behind it."""
    c = local.c
    node = self.node
    if (
        gradient is None
        and inputs is None
        and not create_graph
        and c.interpreter is None
        and not c.anomaly
        and node.__class__ is Node
        and self.view_of is None
        and not self.value.shape
        and not listeners
    ):
        engine.from_scalar(node, self.value.dtype, bool(retain_graph))
        return
    if inputs is not None:
        backward(self, None if gradient is None else [gradient], retain_graph, create_graph, inputs)
        return
    backward([self], None if gradient is None else [gradient], retain_graph, create_graph)


def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Call `hook(g)` with the gradient of this tensor when it is complete; what it returns (if not
    None) replaces it.
    """
    if self.grad_fn is None and self.node is None:
        raise AutogradError(
            "register_hook: cannot register a hook on a tensor that doesn't require"
            f" gradient{here()}"
        )
    if self.node.hooks is None:
        self.node.hooks, self.node.rules = {}, None
    return RemovableHandle(self.node.hooks, hook)


def register_post_accumulate_grad_hook(
    self: Tensor, hook: Callable[[Tensor], None]
) -> RemovableHandle:
    """Call `hook(tensor)` after `.grad` of this leaf was added to."""
    if type(self.node) is not Leaf:
        raise AutogradError(
            "register_post_accumulate_grad_hook: post accumulate grad hooks cannot be registered"
            f" on non-leaf tensors{here()}"
        )
    if self.node.post_hooks is None:
        self.node.post_hooks = {}
    return RemovableHandle(self.node.post_hooks, hook)


def retain_grad(self: Tensor) -> None:
    """Keep the gradient of this intermediate tensor in `.grad`."""
    if self.grad_fn is None and self.node is None:
        raise AutogradError(
            f"retain_grad: can't retain_grad on Tensor that has requires_grad=False{here()}"
        )
    if not self.is_leaf:
        self.node.retain, self.node.rules = weakref.ref(self), None
        self.retains_grad = True


for _name, _method in (
    ("backward", _tensor_backward),
    ("register_hook", register_hook),
    ("register_post_accumulate_grad_hook", register_post_accumulate_grad_hook),
    ("retain_grad", retain_grad),
):
    setattr(Tensor, _name, _method)
