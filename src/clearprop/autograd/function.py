"""Custom blocks: a class with `forward` and `backward`, the lecture's T.forward(x; params) and
T.backward(grad; params, x).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from clearprop.autograd.batching import Batching, with_axis
from clearprop.autograd.keeping import Keep
from clearprop.core import Aval, Leaf, Node, Pick, Tensor, local, wrap
from clearprop.core.dtypes import FLOAT
from clearprop.core.events import listeners, tell
from clearprop.core.node import SECOND_BACKWARD, creation
from clearprop.core.provenance import user_frame
from clearprop.core.tensor import refresh, version_cell
from clearprop.errors import AutogradError
from clearprop.ops.broadcasting import cast, here, zeros_for
from clearprop.ops.reduce import sum_to


class FunctionCtx:
    """What forward leaves for backward: `save_for_backward(...)`, `saved_tensors`,
    `needs_input_grad`, and any attribute.
    """

    def __init__(self) -> None:
        self._saved: tuple[Any, ...] | None = ()
        self._versions: tuple[int, ...] = ()
        self._dirty: tuple[Tensor, ...] = ()
        self._blocked: tuple[Tensor, ...] = ()
        self._materialize = True
        self._own_outputs: dict[int, int] = {}
        self._makers: tuple[Any, ...] | None = None  # where `_saved` went through a pack hook
        self._node: Any = None
        self.needs_input_grad: tuple[bool, ...] = ()
        self.many = False  # whether forward returned several outputs
        self.mapped: list[bool] = []  # which of them differ between examples, inside vmap

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors (inputs, outputs, or others) for backward; overwriting them later is
        detected.
        """
        self._saved = tensors
        self._versions = tuple(0 if t is None else t._version for t in tensors)

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        if self._saved is None:
            raise AutogradError(f"{SECOND_BACKWARD} The block is {self._node.describe()}.")
        if self._makers is not None:
            return self._unpacked(self._saved, self._makers)
        for i, (t, version) in enumerate(zip(self._saved, self._versions, strict=True)):
            if t is not None and t._version != version:
                raise AutogradError(
                    "one of the variables needed for gradient computation has been modified by an"
                    f" inplace operation: [torch.FloatTensor {list(t.shape)}], which is saved"
                    f" tensor {i} of {self._node.describe()}, is at version {t._version}; expected"
                    f" version {version} instead."
                )
        return tuple(
            (
                wrap(t.value, self._own_node(self._own_outputs[id(t)]))
                if id(t) in self._own_outputs and local.c.grad
                else t
            )
            for t in self._saved
        )

    def pack(self, keep: Keep) -> None:
        """Give what is saved to a pack hook (see autograd.graph)."""
        saved = self._saved or ()
        if saved:
            own = self._own_outputs
            self._makers = tuple(
                own.get(id(t)) if t is None or id(t) in own else t.node for t in saved
            )
            self._saved = tuple(t if t is None else keep(t) for t in saved)

    def _unpacked(self, saved: tuple[Any, ...], makers: tuple[Any, ...]) -> tuple[Any, ...]:
        """What the unpack hook gives back, with the history that it had."""
        out: list[Any] = []
        for kept, maker in zip(saved, makers, strict=True):
            if type(maker) is int:  # the output of this number
                maker = self._own_node(maker) if local.c.grad else None
            out.append(kept if kept is None else wrap(kept.tensor(self._node).value, maker))
        return tuple(out)

    def _own_node(self, index: int) -> Any:
        picks = self._node.picks
        return picks[index] if picks else self._node

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Name the inputs that forward changed in place."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Name the outputs through which no gradient flows."""
        self._blocked = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """False: an output that nobody used gives None to backward, instead of zeros."""
        self._materialize = value


class _Named:
    """Stands where a primitive stands, for a node that a Function made."""

    variadic = False

    def __init__(self, name: str) -> None:
        self.name = name


class FunctionNode(Node):
    """A node whose rule is the `backward` of a Function."""

    __slots__ = ()

    ctx: FunctionCtx
    function: type[Function]
    takes: list[Any]
    picks: list[Pick]

    @property
    def name(self) -> str:
        return f"{self.prim.name}Backward"

    def free(self) -> None:
        if self.ctx._saved:
            self.ctx._saved = None

    def pull(self, g: Any, useful: Any) -> list[Tensor | None]:
        ctx, cls = self.ctx, self.function
        slots = g if type(g) is dict else {0: g}
        blank = (lambda aval: zeros_for(aval)) if ctx._materialize else (lambda aval: None)
        grads = cls.backward(
            ctx, *(slots[i] if i in slots else blank(aval) for i, aval in enumerate(self.avals))
        )
        parts = list(grads) if isinstance(grads, tuple | list) else [grads]
        n = len(self.takes)
        if len(parts) > n and all(p is None for p in parts[n:]):
            parts = parts[:n]
        if len(parts) != n:
            raise AutogradError(
                f"function {self.name} returned an incorrect number of gradients (expected {n}, got"
                f" {len(parts)}): backward returns one gradient (or None) per argument of forward"
            )
        out: list[Tensor | None] = []
        for place, (part, aval) in enumerate(zip(parts, self.takes, strict=True)):
            if aval is not None:
                out.append(None if part is None else self._fitted(part, aval, place))
            elif part is not None:
                raise AutogradError(
                    f"function {self.name} returned a gradient different from None at position"
                    f" {place}, but the corresponding forward input was not a Variable"
                )
        return out

    def _fitted(self, part: Any, aval: Aval, place: int) -> Tensor:
        """What backward returned for an input: summed over the axes along which that input was
        broadcast, and in its dtype.
        """
        if not isinstance(part, Tensor):
            raise TypeError(
                f"function {self.name}: expected Variable or None at position {place} (got"
                f" {type(part).__name__})"
            )
        lead = part.ndim - len(aval.shape)
        ends = zip(part.shape[max(lead, 0) :], aval.shape, strict=False)
        if lead < 0 or any(m not in (1, n) for n, m in ends):
            raise AutogradError(
                f"Function {self.name} returned an invalid gradient at index {place} - got"
                f" {list(part.shape)} but expected shape compatible with {list(aval.shape)}"
            )
        if part.shape != aval.shape:
            part = sum_to(part, aval.shape)
        return cast(part, aval.dtype) if aval.dtype.category == FLOAT else part


class Function:
    """A block with its own backward. Define two static methods and call `Block.apply(...)`.

    >>> import clearprop as cp
    >>> class Cube(cp.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x * x
    ...
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return g * 3 * x * x
    >>> x = cp.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad
    tensor(12.)
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            "Function: define forward(ctx, *args) as a static method of your block"
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """For blocks whose forward has no ctx: keep what backward needs."""

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise NotImplementedError(
            "Function: define backward(ctx, *grads) as a static method of your block"
        )

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run forward; record a node whose rule is backward."""
        if listeners:
            tell("block", cls, args)
        try:
            return cls._run(*args)
        finally:
            if listeners:
                tell("block done", cls, args)

    @classmethod
    def _run(cls, *args: Any) -> Any:
        c = local.c
        ctx = FunctionCtx()
        tensors = [a for a in args if isinstance(a, Tensor)]
        for x in tensors:
            if x.view_of is not None:
                refresh(x)
        ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a.node is not None for a in args)
        before = c.grad
        record = before and any(ctx.needs_input_grad)
        edges = tuple(x.node for x in tensors)
        separate = cls.setup_context is not Function.setup_context
        c.grad = False
        layer = c.interpreter
        behind = before and isinstance(layer, Batching) and any(layer.watched(x) for x in tensors)
        try:
            if behind:
                outs = _behind(cls, ctx, args)
            else:
                outs = cls.forward(*args) if separate else cls.forward(ctx, *args)
            if separate and not behind:
                cls.setup_context(ctx, args, outs)
        finally:
            c.grad = before
        many = isinstance(outs, tuple | list)
        results = list(outs) if many else [outs]
        if record:
            node = _node(cls, ctx, args, edges, results)
            results = [_connect(node, ctx, args, i, y) for i, y in enumerate(results)]
            if c.saving is not None:
                c.saving(node)
        return tuple(results) if many else results[0]


def _node(
    cls: type[Function], ctx: FunctionCtx, args: tuple[Any, ...], edges: Any, outs: list[Any]
) -> FunctionNode:
    node = FunctionNode()
    node.prim = _Named(cls.__name__)  # type: ignore[assignment]
    node.rules, node.stamp = None, 0
    node.edges, node.saved, node.versions, node.out, node.params = edges, (), None, None, {}
    node.seq, node.scope = next(creation), local.c.scope
    frame = user_frame(sys._getframe(2))
    node.code, node.lasti = (None, 0) if frame is None else (frame.f_code, frame.f_lasti)
    node.ctx, node.function = ctx, cls
    node.takes = [a.aval if isinstance(a, Tensor) else None for a in args]
    node.avals = tuple(y.aval if isinstance(y, Tensor) else None for y in outs)
    node.picks = [Pick(node, i) for i in range(len(outs))] if len(outs) > 1 else []
    ctx._node = node
    return node


def _connect(node: FunctionNode, ctx: FunctionCtx, args: tuple[Any, ...], i: int, y: Any) -> Any:
    """Output i as a tensor made by the node (an input that was passed through becomes a view of
    itself).
    """
    if not isinstance(y, Tensor):
        return y
    if any(y is t for t in ctx._blocked) or y.value.dtype.kind != "f":
        return y
    dirty = any(y is t for t in ctx._dirty)
    if dirty and type(y.node) is Leaf:
        raise AutogradError(
            f"{node.prim.name}: a leaf Variable that requires grad is being used in an in-place"
            f" operation.{here()}"
        )
    out = y
    if any(y is a for a in args) and not dirty:
        out = wrap(y.value, None)
        out.cell = version_cell(y)
    for t in ctx._saved or ():
        if t is y:
            ctx._own_outputs[id(y)] = i
    out.node = node.picks[i] if node.picks else node
    return out


def _behind(cls: type[Function], ctx: FunctionCtx, args: tuple[Any, ...]) -> Any:
    """Inside vmap: run the block so that the tensors behind the batched ones are connected by its
    backward, which runs inside vmap, too.
    """
    c = local.c
    layer = c.interpreter
    assert isinstance(layer, Batching)
    lifted = [layer.lift(a) if isinstance(a, Tensor) else (a, False) for a in args]
    with layer.outside():
        c.grad = True
        outs = _Behind.apply(layer, cls, ctx, [m for _, m in lifted], *(x for x, _ in lifted))
    wrapped = tuple(layer.wrapped(y, m) for y, m in zip(outs, ctx.mapped, strict=True))
    return wrapped if ctx.many else wrapped[0]


class _Behind(Function):
    """The block of `_behind`, outside vmap."""

    @staticmethod
    def forward(ctx: Any, layer: Batching, cls: Any, inner: Any, mapped: Any, *xs: Any) -> Any:
        inner.needs_input_grad = ctx.needs_input_grad[4:]
        with layer.inside():
            args = [
                layer.wrapped(x, m) if isinstance(x, Tensor) else x
                for x, m in zip(xs, mapped, strict=True)
            ]
            separate = cls.setup_context is not Function.setup_context
            outs = cls.forward(*args) if separate else cls.forward(inner, *args)
            if separate:
                cls.setup_context(inner, tuple(args), outs)
        inner.many = isinstance(outs, tuple | list)
        results = list(outs) if inner.many else [outs]
        pairs = [layer.lift(y) for y in results]
        inner.mapped = [m for _, m in pairs]
        places = {id(y): i for i, y in enumerate(results)}
        ctx.own = {k: places[id(t)] for k, t in enumerate(inner._saved or ()) if id(t) in places}
        ctx.layer, ctx.cls, ctx.inner, ctx.inputs = layer, cls, inner, mapped
        ctx.save_for_backward(*(y for y, _ in pairs))
        return tuple(y for y, _ in pairs)

    @staticmethod
    def backward(ctx: Any, *gs: Any) -> Any:
        layer, inner = ctx.layer, ctx.inner
        ys = ctx.saved_tensors  # with their history, for a derivative of this derivative
        with layer.inside():
            saved = list(inner._saved)
            for k, i in ctx.own.items():
                saved[k] = layer.wrapped(ys[i], inner.mapped[i])
            inner._saved = tuple(saved)
            inner._versions = tuple(0 if t is None else t._version for t in saved)
            wrapped = [
                None if g is None else layer.wrapped(g, m)
                for g, m in zip(gs, inner.mapped, strict=True)
            ]
            grads = ctx.cls.backward(inner, *wrapped)
            parts = list(grads) if isinstance(grads, tuple | list) else [grads]
            found = []
            for part, wants in zip(parts, ctx.inputs, strict=False):
                g, m = (None, False) if part is None else layer.lift(part)
                # (what is mapped where the input is not is summed over the batch)
                found.append((g, m, wants))
        return (None,) * 4 + tuple(
            with_axis(g, m, layer.size) if g is not None and wants else g for g, m, wants in found
        )


def once_differentiable(f: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a backward that cannot itself be differentiated: a second derivative through it
    raises.
    """

    @functools.wraps(f)
    def wrapped(ctx: Any, *grads: Any) -> Any:
        again = local.c.grad
        local.c.grad = False
        try:
            outs = f(ctx, *grads)
        finally:
            local.c.grad = again
        if not again or not any(isinstance(g, Tensor) and g.node is not None for g in grads):
            return outs
        parts = outs if isinstance(outs, tuple) else (outs,)
        blocked = tuple(_Once.apply(p, *grads) if isinstance(p, Tensor) else p for p in parts)
        return blocked if isinstance(outs, tuple) else blocked[0]

    return wrapped


class _Once(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *grads: Tensor) -> Tensor:
        return wrap(x.value, None)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise AutogradError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
        )
