"""In-place methods: compute out of place, then write into the tensor's memory and give it the new
history.

A view that is written to also gives its base a new history: base = where(region of the view, new
values, base). Under tracing the interpreter notes what the memory holds now.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from clearprop.core import Aval, Leaf, Node, Tensor, apply, apply_view, bool_, bump, local, wrap
from clearprop.core.tensor import refresh, version_cell
from clearprop.errors import AutogradError, DtypeError, ShapeError
from clearprop.ops import elementwise as ew
from clearprop.ops import movement
from clearprop.ops.broadcasting import cast, expand_to, here, tensor_as
from clearprop.ops.index import _entries, basic, setitem_value
from clearprop.ops.out import check_writable

LEAF = (
    "{op}: a leaf Variable that requires grad is being used in an in-place operation. Update"
    " parameters inside `with no_grad():`, or make a new tensor (x = x + 1){here}"
)
VIEW_OF_LEAF = (
    "{op}: a view of a leaf Variable that requires grad is being used in an in-place"
    " operation.{here}"
)


def overwrite(x: Tensor, new: Tensor, op: str) -> Tensor:
    """Make x hold `new` (already of its shape and dtype), in its memory and in the tape."""
    recording = local.c.grad
    view = x.view_of
    if recording:
        if view is not None:
            refresh(x)
            if type(view.root().node) is Leaf:
                raise AutogradError(VIEW_OF_LEAF.format(op=op, here=here()))
        if type(x.node) is Leaf:
            raise AutogradError(LEAF.format(op=op, here=here()))
    joined = None
    base: Any = None if view is None else view.root()
    if view is not None and recording and (new.node is not None or base.node is not None):
        joined = _joined(base, view.steps, new)
    interpreter = local.c.interpreter
    if interpreter is None or not interpreter.traces:
        check_writable(x.value, op)
    if interpreter is None:
        np.copyto(x.value, new.value)
    else:
        interpreter.write(x, new)
    bump(x)
    if view is None:
        if recording:
            x.node = new.node
    elif joined is not None:
        base.node = joined.node if recording else base.node
        view.seen = -1
        if recording:
            refresh(x)
            if base.node is None:
                x.node = None
    return x


def _joined(base: Tensor, steps: Any, new: Tensor) -> Tensor:
    """base with `new` at the place of the view that `steps` take of it, as a function of both."""
    mask = wrap(np.zeros(base.shape, bool), None)
    region = mask.value
    for prim, params, _ in steps:
        region = prim.eager(region, **params)
    if not np.may_share_memory(region, mask.value) and region.size:
        raise AutogradError(
            f"in-place on a reshaped copy cannot be recorded; write to the base instead{here()}"
        )
    region[...] = True
    spread = new
    for prim, params, aval in reversed(steps):
        spread = prim.vjp[0](spread, None, Aval(aval.shape, new.dtype), **params)
    return apply(ew.WHERE, mask, spread, base)


def assign(x: Tensor, value: Any, op: str) -> Tensor:
    """x[...] = value: cast and broadcast `value` to x, then overwrite."""
    new = tensor_as(value, x.dtype, op)
    if new.shape != x.shape:
        lead = new.ndim - x.ndim
        if lead > 0 and all(n == 1 for n in new.shape[:lead]):
            new = movement.reshape_to(new, new.shape[lead:])
        padded = (1,) * (x.ndim - new.ndim) + new.shape
        if new.ndim <= x.ndim and all(n in (1, m) for n, m in zip(padded, x.shape, strict=False)):
            new = expand_to(new, x.shape)
    if new.shape != x.shape:
        raise ShapeError(
            f"{op}: output with shape {list(x.shape)} doesn't match the broadcast shape of the"
            f" value {new.aval}{here()}"
        )
    if new is value or local.c.interpreter is not None or np.may_share_memory(new.value, x.value):
        new = apply(movement.clone_p, new)
    return overwrite(x, new, op)


def _recorded(function: Any, x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """function(x, ...), whose rules may use the values that x has now although x is about to be
    overwritten: they see another Tensor over the same memory, which gets a copy if one kept it.
    """
    if x.view_of is not None:
        refresh(x)
    old = wrap(x.value, x.node)
    old.cell = version_cell(x)
    if local.c.saving is not None:  # it is packed at once
        _separate(old)
    args = tuple(old if a is x else a for a in args)
    new = function(old, *args, **kwargs)
    inputs = [a.node for a in (old, *args) if isinstance(a, Tensor) and a.node is not None]
    newest = max((node.seq for node in inputs), default=0)
    stack = [new.node]
    while stack:
        node = stack.pop()
        if node is None or node.seq <= newest:
            continue  # made before this call
        if isinstance(node, Node) and any(kept is old for kept in node.saved or ()):
            _separate(old)
            break
        stack.extend(node.edges)
    return new


def _separate(x: Tensor) -> None:
    """Give x memory of its own."""
    interpreter = local.c.interpreter
    x.value = x.value.copy() if interpreter is None else interpreter.snapshot(x.value)
    x.cell = None


def inplace(name: str, function: Any) -> Any:
    """The in-place method of an out-of-place function: same memory, same dtype, no broadcasting of
    the target.
    """

    def method(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if local.c.grad:
            new = _recorded(function, x, args, kwargs)
        else:
            new = function(x, *args, **kwargs)
            old, value = x.value, new.value
            if (
                local.c.interpreter is None
                and x.view_of is None
                and old.dtype is value.dtype
                and old.shape == value.shape
                and old.flags.writeable
            ):  # what optimizers do all the time
                old[...] = value
                bump(x)
                return x
        if new.shape != x.shape:
            raise ShapeError(
                f"{name}: output with shape {list(x.shape)} doesn't match the broadcast shape"
                f" {list(new.shape)}{here()}"
            )
        if new.dtype is not x.dtype:
            if new.dtype.category > x.dtype.category:
                raise DtypeError(
                    f"{name}: result type {new.dtype} can't be cast to the desired output type"
                    f" {x.dtype}{here()}"
                )
            new = cast(new, x.dtype)
        return overwrite(x, new, name)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = (
        f"{function.__name__} in place: writes the result into this tensor and returns it."
    )
    return method


def copy_(x: Tensor, source: Any, non_blocking: bool = False) -> Tensor:
    """Write the values of `source` into this tensor (cast and broadcast); the gradient goes to
    `source`.
    """
    return assign(x, source, "copy_")


def fill_(x: Tensor, value: Any) -> Tensor:
    """Write one number everywhere; the gradient of what was there is 0."""
    if isinstance(value, Tensor) and value.ndim:
        raise ShapeError(
            f"fill_: only supports 0-dimension value tensor but got tensor with {value.ndim}"
            f" dimensions: {value.aval}; copy_ takes it{here()}"
        )
    new = expand_to(tensor_as(value, x.dtype, "fill_"), x.shape)
    if x.node is not None and local.c.grad and type(x.node) is not Leaf:
        never = wrap(np.zeros(x.shape, bool), None)
        return overwrite(x, apply(ew.WHERE, never, x, new), "fill_")
    return overwrite(x, new, "fill_")


def zero_(x: Tensor) -> Tensor:
    """Write zeros."""
    return fill_(x, 0)


def setitem(x: Tensor, idx: Any, value: Any) -> None:
    """`x[idx] = value`, recorded like every other op.

    One number under a mask is `where`, whose result does not depend on how many elements it hits.
    """
    if (
        isinstance(idx, Tensor)
        and idx.dtype is bool_
        and 0 < idx.ndim <= x.ndim
        and idx.shape == x.shape[: idx.ndim]
        and not (isinstance(value, Tensor | np.ndarray) and value.ndim)
    ):
        mask = movement.reshape_to(idx, idx.shape + (1,) * (x.ndim - idx.ndim))
        new = tensor_as(value, x.dtype, "setitem")
        overwrite(x, ew.where(mask, new, x), "setitem")
        return
    entries = _entries(x, idx)
    part, tensors = basic(x, entries)
    if all(t is None for t in tensors):
        if part is x:
            part = apply_view(movement.reshape_p, x, {"shape": x.shape})
        assign(part, value, "setitem")
        return
    new = tensor_as(value, x.dtype, "setitem")
    written = setitem_value(part, tensors, new)
    if part is x:
        overwrite(x, written, "setitem")
    else:
        assign(part, written, "setitem")
