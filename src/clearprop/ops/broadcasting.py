"""The front door: Python numbers, arrays, mixed types and shapes come in; strict primitives are
called.

Equal shapes and dtypes take the direct path. Everything else becomes explicit `cast` and `expand`,
so that no derivative rule ever meets a broadcast: the sum over broadcast axes is the rule of
`expand`, written once. (A number beside a tensor stays 0-d in eager mode. It wants no gradient, so
its broadcast has no rule, and NumPy is quicker with one number than with a repeated one.)
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

import clearprop.ops.movement as movement
import clearprop.ops.out as out_
from clearprop.core import (
    DTYPES,
    Aval,
    Primitive,
    Tensor,
    apply1,
    apply2,
    as_dtype,
    bool_,
    dtype,
    from_numpy_dtype,
    get_default_dtype,
    promote,
    promote_scalar,
    wrap,
)
from clearprop.core import Number as Traced
from clearprop.core.apply import eager2
from clearprop.core.dtypes import BOOL, FLOAT, INTEGER
from clearprop.core.provenance import here as here
from clearprop.core.state import local
from clearprop.core.tensor import TENSORS
from clearprop.errors import DtypeError, ShapeError, UnsupportedDtypeError
from clearprop.flags import flags

F = TypeVar("F", bound=Callable[..., Any])
Number = int | float | bool | Traced
TensorLike = Any  # a Tensor, a Python number, or a NumPy array or scalar


# ---------------------------------------------------------------------- constants
_CONSTANTS: dict[tuple[Any, ...], Tensor] = {}
_MOST_CONSTANTS = 4096


def constant(number: Number, d: np.dtype, shape: tuple[int, ...]) -> Tensor:
    """A tensor of one repeated number: a read-only zero-stride view, kept for the next call."""
    key = (number, d.char, shape)
    try:
        found = _CONSTANTS.get(key)
    except TypeError:  # no number, but one that a trace must not freeze
        return number.spread(d, shape)  # type: ignore[union-attr]
    if found is None:
        cell = np.empty((), d)
        try:
            local.c.run(cell.__setitem__, (), number)
        except OverflowError:  # an integer out of range wraps, as in PyTorch
            cell[()] = np.array(int(number) & ((1 << 64) - 1), np.uint64).astype(d)
        value = cell if not shape else np.ndarray(shape, d, cell, 0, (0,) * len(shape))
        value.flags.writeable = False
        found = wrap(value, None)
        if number:  # 0.0 == -0.0, but they are not the same
            if len(_CONSTANTS) >= _MOST_CONSTANTS:
                _CONSTANTS.clear()
            _CONSTANTS[key] = found
    return found


def zeros_for(x: Tensor | Aval) -> Tensor:
    """Zeros with the shape and dtype of x, as a constant."""
    d = x.value.dtype if isinstance(x, Tensor) else x.dtype.np
    return constant(0, d, x.shape)


def is_one(x: Any) -> bool:
    """Whether a factor can be left out: a number that is 1, and always will be."""
    return x.__class__ is not Traced and bool(x == 1)


def as_tensor_or_number(x: TensorLike, op: str) -> Tensor | Number:
    """x as a Tensor, or as a plain Python number."""
    if isinstance(x, Tensor):
        return x
    if isinstance(x, bool | np.bool_):
        return bool(x)
    if isinstance(x, Traced):
        return x
    if isinstance(x, int | np.integer):
        return int(x)
    if isinstance(x, float | np.floating):
        return float(x)
    if isinstance(x, np.ndarray):
        from_numpy_dtype(x.dtype)
        return wrap(x, None)
    raise TypeError(
        f"{op}: argument must be a Tensor or a number, got {type(x).__name__}; make a tensor of it"
        " with clearprop.tensor(...)" + here()
    )


def need_tensors(op: str, *xs: Any) -> None:
    """TypeError where one of xs is no Tensor."""
    for x in xs:
        if x.__class__ not in TENSORS and not isinstance(x, Tensor):
            raise TypeError(
                f"{op}: argument must be Tensor, not {type(x).__name__}; clearprop.tensor(...)"
                f" makes one of an array or a list{here()}"
            )


def tensor_of(x: TensorLike, op: str) -> Tensor:
    """x as a Tensor; a number becomes a 0-d one of its default type."""
    x = as_tensor_or_number(x, op)
    if isinstance(x, Tensor):
        return x
    d = (
        as_dtype(bool)
        if isinstance(x, bool)
        else as_dtype(int)
        if isinstance(x, int)
        else get_default_dtype()
    )
    return constant(x, d.np, ())


def tensor_as(x: TensorLike, d: dtype, op: str) -> Tensor:
    """x as a Tensor of type d; a number is written in d at once, so that float64 keeps 0.1."""
    x = as_tensor_or_number(x, op)
    return cast(x, d) if isinstance(x, Tensor) else constant(x, d.np, ())


def cast(x: Tensor, d: dtype) -> Tensor:
    """x with elements of type d (x itself where it has that type)."""
    return x if x.value.dtype is d.np or x.dtype is d else movement.cast(x, d)


# ---------------------------------------------------------------------- shapes
def broadcast_shapes(op: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape by NumPy's rule; the error names the axis as PyTorch's does."""
    ndim = max(map(len, shapes))
    out = [1] * ndim
    for shape in shapes:
        offset = ndim - len(shape)
        for axis, size in enumerate(shape, offset):
            if size != 1 and out[axis] != size:
                if out[axis] != 1:
                    raise ShapeError(
                        f"{op}: The size of tensor a ({out[axis]}) must match the size of tensor b"
                        f" ({size}) at non-singleton dimension {axis}; the shapes are"
                        f" {' and '.join(str(list(s)) for s in shapes)}{here()}"
                    )
                out[axis] = size
    return tuple(out)


def expand_to(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    return x if x.value.shape == shape else movement.expand(x, shape)


def broadcast(op: str, *xs: Tensor) -> tuple[Tensor, ...]:
    """All of xs at their common shape."""
    shapes = [x.value.shape for x in xs]
    shape = broadcast_shapes(op, *shapes)
    if flags.strict:
        ranks = {len(s) for s in shapes if s}
        if len(ranks) > 1:
            raise ShapeError(
                f"{op}: STRICT forbids broadcasting between ranks:"
                f" {', '.join(str(x.aval) for x in xs)}; add the axes yourself: x[None] or"
                f" x.unsqueeze(0){here()}"
            )
    return tuple(expand_to(x, shape) for x in xs)


# ---------------------------------------------------------------------- types
def result_type(op: str, x: Tensor | Number, y: Tensor | Number) -> dtype:
    """PyTorch's result type of two operands, at least one of which is a tensor."""
    if not isinstance(x, Tensor):
        x, y = y, x
    assert isinstance(x, Tensor)
    if not isinstance(y, Tensor):
        return promote_scalar(x.dtype, y)
    d = promote(x.dtype, x.ndim == 0, y.dtype, y.ndim == 0)
    if flags.strict and x.dtype is not y.dtype:
        raise DtypeError(
            f"{op}: STRICT forbids implicit promotion: {x.aval} and {y.aval} would give {d}; "
            f"convert one yourself: x.to({d}){here()}"
        )
    return d


def promote_types_of(xs: Sequence[Tensor]) -> dtype:
    """Result type of joining tensors: PyTorch's promotion over all of them."""
    d, is_0d = xs[0].dtype, xs[0].ndim == 0
    for x in xs[1:]:
        d, is_0d = promote(d, is_0d, x.dtype, x.ndim == 0), is_0d and x.ndim == 0
    return d


def match(op: str, x: TensorLike, y: TensorLike, floating: bool = False) -> tuple[Tensor, Tensor]:
    """x and y at their common shape and type; `floating` turns integer results into the default
    dtype.
    """
    a, b = as_tensor_or_number(x, op), as_tensor_or_number(y, op)
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        a = tensor_of(a, op)
    d = result_type(op, a, b)
    if floating and d.category != FLOAT:
        d = get_default_dtype()
    shape = broadcast_shapes(op, *(t.value.shape for t in (a, b) if isinstance(t, Tensor)))
    if isinstance(a, Tensor) and isinstance(b, Tensor) and flags.strict:
        broadcast(op, a, b)
    left = expand_to(cast(a, d), shape) if isinstance(a, Tensor) else constant(a, d.np, shape)
    right = expand_to(cast(b, d), shape) if isinstance(b, Tensor) else constant(b, d.np, shape)
    return left, right


# ---------------------------------------------------------------------- functions from entries
FLOATS, NUMBERS, ANY, BITS = "floats", "numbers", "any", "bits"
EACH_NUMBERS = "each numbers"  # no operand may be bool, whatever the result is
_REFUSED = {
    FLOATS: (),
    NUMBERS: (BOOL,),
    EACH_NUMBERS: (BOOL,),
    ANY: (),
    BITS: (FLOAT,),
}


_F32, _F64 = np.dtype(np.float32), np.dtype(np.float64)
_NUMBERS: dict[np.dtype, dict[Number, Tensor]] = {_F32: {}, _F64: {}}


def _new_number(number: int | float, d: np.dtype) -> Tensor:
    """constant(number, d, ()), kept where the operators find it with one look."""
    found = constant(number, d, ())
    if number:
        if len(_NUMBERS[d]) >= _MOST_CONSTANTS:
            _NUMBERS[d].clear()
        _NUMBERS[d][number] = found
    return found


def unary(prim: Primitive, kind: str = FLOATS) -> Callable[[TensorLike], Tensor]:
    """The public function of an elementwise entry with one input. `kind` FLOATS: integers become
    float32 first.
    """

    def op(input: TensorLike, *, out: Any = None) -> Tensor:
        if out is not None:
            return out_.into(out, op(input), prim.name)  # type: ignore[no-any-return]
        if input.__class__ in TENSORS:
            d = input.value.dtype
            if (d is _F32 or d is _F64) and kind is not BITS:
                return apply1(prim, input)
        t = tensor_of(input, prim.name)
        category = t.dtype.category
        if kind == FLOATS and category != FLOAT:
            t = cast(t, get_default_dtype())
        elif category in _REFUSED[kind]:
            raise _refusal(prim.name, t.dtype)
        return apply1(prim, t)

    return _named(op, prim)


def binary(prim: Primitive, kind: str = ANY) -> Callable[[TensorLike, TensorLike], Tensor]:
    """The public function of an elementwise entry with two inputs. `kind` FLOATS: integers become
    float32 first.
    """

    def general(input: TensorLike, other: TensorLike, *, out: Any = None) -> Tensor:
        if out is not None:
            return out_.into(out, general(input, other), prim.name)  # type: ignore[no-any-return]
        a, b = match(prim.name, input, other, kind is FLOATS)
        if a.dtype.category in _REFUSED[kind]:
            raise _refusal(prim.name, a.dtype)
        if kind is EACH_NUMBERS and any(_is_bool(operand) for operand in (input, other)):
            raise _refusal(prim.name, bool_)
        return apply2(prim, a, b)

    op = _named(general if kind is BITS else direct(prim, general), prim)
    if prim.name not in ("add", "sub"):  # the others take no alpha
        vars(op)["__signature__"] = inspect.signature(general)
    return op


_loose = True  # False while the STRICT flag is set


def _watch_strict() -> None:
    global _loose
    _loose = not flags.strict


flags.watch(_watch_strict)


def direct(
    prim: Primitive, general: Callable[[TensorLike, TensorLike], Any]
) -> Callable[[TensorLike, TensorLike], Any]:
    """`general`, after the short ways for what most programs do most of the time: floating-point
    tensors of one dtype, or a tensor and a number.

    Where nothing is recorded, NumPy may do the broadcasting; what it refuses goes to `general`,
    whose error is better.
    """

    def op(input: TensorLike, other: TensorLike, *, alpha: Any = None, out: Any = None) -> Any:
        if alpha is not None or out is not None:
            return _with_options(prim, op, input, other, alpha, out)
        if input.__class__ is not Tensor and input.__class__ not in TENSORS:
            return general(input, other)
        vx = input.value
        d = vx.dtype
        if d is not _F32 and d is not _F64:
            return general(input, other)
        kind = other.__class__
        c = local.c
        if kind is Tensor or kind in TENSORS:
            vy = other.value
            if vy.dtype is not d:
                return general(input, other)
            if vx.shape != vy.shape:
                recording = c.grad and (input.node is not None or other.node is not None)
                if recording or c.interpreter is not None or not _loose:
                    return general(input, other)
                try:
                    return eager2(c, prim, input, other, 2)
                except ValueError:
                    return general(input, other)
        elif kind is float or kind is int:
            if c.interpreter is not None:
                return apply2(prim, input, constant(other, d, vx.shape))
            number = _NUMBERS[d].get(other)
            other = _new_number(other, d) if number is None else number
        else:
            return general(input, other)
        return (
            eager2(c, prim, input, other, 2)
            if c.interpreter is None
            else apply2(prim, input, other)
        )

    return op


def reflected(
    prim: Primitive, general: Callable[[TensorLike, TensorLike], Any]
) -> Callable[[Tensor, TensorLike], Any]:
    """`direct` with its operands exchanged: what Python calls for `2 * y`."""

    def op(y: Tensor, x: TensorLike) -> Any:
        d = y.value.dtype
        if (x.__class__ is not float and x.__class__ is not int) or (
            d is not _F32 and d is not _F64
        ):
            return general(x, y)
        c = local.c
        if c.interpreter is not None:
            return apply2(prim, constant(x, d, y.value.shape), y)
        number = _NUMBERS[d].get(x)
        return eager2(c, prim, _new_number(x, d) if number is None else number, y, 2)

    return op


def _with_options(prim: Primitive, op: Any, x: Any, y: Any, alpha: Any, out: Any) -> Any:
    """op(x, alpha * y), written into `out` if there is one."""
    if alpha is not None:
        if prim.name not in ("add", "sub"):
            raise TypeError(f"{prim.name}() got an unexpected keyword argument 'alpha'{here()}")
        y = y if is_one(alpha) else scaled(prim.name, x, y, alpha)
    result = op(x, y)
    return result if out is None else out_.into(out, result, prim.name)


def scaled(op: str, x: Any, y: Any, alpha: Any) -> Any:
    """alpha * y, to be added to x or subtracted from it."""
    if isinstance(alpha, float) and not any(
        isinstance(t, float) or getattr(getattr(t, "dtype", None), "category", 0) == FLOAT
        for t in (x, y)
    ):
        raise DtypeError(
            f"{op}: For integral input tensors, argument alpha must not be a floating point"
            f" number, got {alpha}{here()}"
        )
    if op == "sub" and (_is_bool(x) or _is_bool(y)):
        raise _refusal(op, bool_)
    return y * alpha


def _is_bool(x: TensorLike) -> bool:
    return isinstance(x, bool | np.bool_) or getattr(x, "dtype", None) in (bool_, np.bool_)


def _refusal(name: str, d: dtype) -> Exception:
    if d.category == BOOL:
        return UnsupportedDtypeError(
            f"{name}: the operation is not supported for bool tensors (Subtraction, the `-`"
            " operator, with a bool tensor is not supported); use ~x or logical_not() to invert a"
            f" mask, x ^ y for the difference of two{here()}"
        )
    wanted = "integer or bool tensors" if d.category == FLOAT else "floating-point tensors"
    return UnsupportedDtypeError(
        f'{name}: "{name}_cpu" not implemented for {d!r}; it wants {wanted}{here()}'
    )


def _named(op: Callable[..., Tensor], prim: Primitive) -> Callable[..., Tensor]:
    op.__name__ = op.__qualname__ = prim.name
    op.__doc__ = prim.doc
    op.__annotations__["return"] = "Tensor"  # `direct` serves operators, too, which give Any
    return op


# ---------------------------------------------------------------------- dims
def normal_dim(op: str, dim: Any, ndim: int) -> int:
    """A dimension as a number from 0; IndexError in PyTorch's words."""
    try:
        d = dim.__index__()
    except AttributeError:
        raise TypeError(f"{op}: dim must be an integer, got {dim!r}{here()}") from None
    room = max(ndim, 1)
    if not -room <= d < room:
        raise IndexError(
            f"{op}: Dimension out of range (expected to be in range of [{-room}, {room - 1}], but"
            f" got {d}){here()}"
        )
    return int(d % room)


def normal_dims(op: str, dim: Any, ndim: int) -> tuple[int, ...]:
    """None, a number or several as sorted distinct dimensions."""
    if dim is None or (isinstance(dim, tuple | list) and not dim):
        return tuple(range(ndim))
    if isinstance(dim, tuple | list):
        dims = [normal_dim(op, d, ndim) for d in dim]
        if len(set(dims)) != len(dims):
            twice = next(d for d in dims if dims.count(d) > 1)
            raise ShapeError(
                f"{op}: dim {twice} appears multiple times in the list of dims{here()}"
            )
        return tuple(sorted(dims)) if ndim else ()
    d = normal_dim(op, dim, ndim)
    return (d,) if ndim else ()


_ALIASES = {"axis": "dim", "keepdims": "keepdim"}


def dims_by_any_name(f: F) -> F:
    """Let `f` be called with NumPy's `axis` and `keepdims`, too, with `input=` for its first
    argument, `dims=` for its dim, and `out=`.
    """
    parameters = inspect.signature(f).parameters
    names = list(parameters)
    several = "dim" in names and parameters["dim"].kind is inspect.Parameter.VAR_POSITIONAL
    aliases = _ALIASES | ({"dims": "dim"} if "dim" in names and "dims" not in names else {})
    if "input" not in names:
        aliases["input"] = names[0]

    @functools.wraps(f)
    def named(*args: Any, **kwargs: Any) -> Any:
        if not kwargs:
            return f(*args)
        out = kwargs.pop("out", None)
        if not kwargs.keys().isdisjoint(aliases):
            for alias, name in aliases.items():
                if alias in kwargs:
                    if name in kwargs:
                        raise TypeError(
                            f"{f.__name__}: got both {name}= and {alias}=; they mean the"
                            f" same{here()}"
                        )
                    kwargs[name] = kwargs.pop(alias)
        if several and "dim" in kwargs:  # f(x, *dim)
            args = (kwargs.pop(names[0]), *args) if names[0] in kwargs else args
            args = (*args, kwargs.pop("dim"))
        result = f(*args, **kwargs)
        return result if out is None else out_.into(out, result, f.__name__)

    return named  # type: ignore[return-value]


def finite_scalar(op: str, name: str, value: Any) -> float:
    """A number option as a float; TypeError for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{op}: {name} must be a number, got {value!r}{here()}") from None
    if math.isnan(number):
        raise ValueError(f"{op}: {name} is nan{here()}")
    return number


__all__ = [
    "ANY", "BITS", "DTYPES", "EACH_NUMBERS", "FLOATS", "INTEGER", "NUMBERS", "Number", "TensorLike",
    "as_tensor_or_number", "binary", "broadcast", "broadcast_shapes", "cast", "constant",
    "dims_by_any_name", "expand_to", "finite_scalar", "here", "match", "need_tensors", "normal_dim",
    "normal_dims", "promote_types_of", "result_type", "tensor_as", "tensor_of", "unary",
    "zeros_for",
]  # fmt: skip
