"""`out=`: a result written into a tensor that is there already.

The tape does not follow such a write, so neither the inputs nor `out` may want a gradient.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

import clearprop.ops.broadcasting as broadcasting
import clearprop.ops.movement as movement
from clearprop.core import Tensor, bump, local, version_cell
from clearprop.errors import AutogradError, DtypeError, ShapeError

F = TypeVar("F", bound=Callable[..., Any])

NO_GRADIENT = (
    "{op}(): functions with out=... arguments don't support automatic differentiation, but one of"
    " the arguments requires grad. Leave out=, or call it inside `with no_grad():`{here}"
)
RESIZED = (
    "{op}: An output with one or more elements was resized since it had shape {old}, which does not"
    " match the required output shape {new}; give out= a tensor of that shape, or an empty one"
)


def into(out: Any, result: Any, op: str) -> Any:
    """`result` (a tensor, or a tuple of them) written into `out`, which is returned."""
    if isinstance(result, Tensor):
        return _write(out, result, op)
    if not isinstance(out, tuple | list) or len(out) != len(result):
        raise TypeError(
            f"{op}(): out must be a tuple of {len(result)} tensors, got"
            f" {type(out).__name__}{broadcasting.here()}"
        )
    written = [_write(o, r, op) for o, r in zip(out, result, strict=True)]
    return type(result)(*written) if hasattr(result, "_fields") else tuple(written)


def _write(out: Any, result: Tensor, op: str) -> Tensor:
    if not isinstance(out, Tensor):
        raise TypeError(
            f"{op}(): argument 'out' must be Tensor, not {type(out).__name__}{broadcasting.here()}"
        )
    if local.c.grad and (result.requires_grad or out.requires_grad):
        raise AutogradError(NO_GRADIENT.format(op=op, here=broadcasting.here()))
    if result.dtype.category > out.dtype.category:
        raise DtypeError(
            f"{op}: result type {result.dtype} can't be cast to the desired output type"
            f" {out.dtype}{broadcasting.here()}"
        )
    result = movement.cast(result, out.dtype)
    interpreter = local.c.interpreter
    if out.shape != result.shape:
        if interpreter is not None and interpreter.traces:
            interpreter.refuse(f"{op}: resizing out= {out.aval}", "a trace has fixed shapes")
        if out.numel():
            text = RESIZED.format(op=op, old=list(out.shape), new=list(result.shape))
            warnings.warn(text, stacklevel=3)
        out.value, out.view_of = np.array(result.value, order="C"), None
    elif interpreter is None:
        check_writable(out.value, op)
        np.copyto(out.value, result.value)
    else:
        interpreter.write(out, result)
    version_cell(out)
    bump(out)
    return out


def check_writable(target: np.ndarray, op: str) -> None:
    """ShapeError where several elements of the target are one place in memory."""
    if not target.flags.writeable or (
        target.size > 1 and 0 in target.strides and _overlaps(target)
    ):
        raise ShapeError(
            f"{op}: unsupported operation: more than one element of the written-to tensor refers to"
            " a single memory location. Please clone() the tensor before performing the"
            f" operation.{broadcasting.here()}"
        )


def _overlaps(a: np.ndarray) -> bool:
    return any(s == 0 and n > 1 for s, n in zip(a.strides, a.shape, strict=True))


def takes_out(f: F) -> F:
    """Let `f` be called with `out=`, and with `input=` for its first argument."""
    first = next(iter(inspect.signature(f).parameters), "input")

    @functools.wraps(f)
    def op(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        if "input" in kwargs and not args:
            kwargs[first] = kwargs.pop("input")
        result = f(*args, **kwargs)
        return result if out is None else into(out, result, f.__name__)

    return op  # type: ignore[return-value]
