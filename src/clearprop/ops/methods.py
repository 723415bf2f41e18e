"""Operators and methods of Tensor, attached from this table: a method is the function of the same
name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from clearprop.core import (
    Number,
    Tensor,
    apply1,
    as_dtype,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
)
from clearprop.core import device as Device
from clearprop.core.dtypes import TENSOR_TYPES
from clearprop.core.tensor import TENSORS
from clearprop.errors import DtypeError
from clearprop.ops import (
    arithmetic,
    arrange,
    contract,
    counting,
    create,
    cumulative,
    diagonals,
    elementwise,
    index,
    inplace,
    older_names,
    products,
    queries,
    reductions,
    reshaping,
    scattering,
    shapes,
    sorting,
    special,
    statistics,
    windows,
)
from clearprop.ops import random as random_ops
from clearprop.ops.broadcasting import cast, direct, here, is_one, reflected, scaled
from clearprop.ops.names import ALIASES, INPLACE

# NumPy's functions of an array and a tensor (array on the left) that mean an operator
_UFUNCS = {
    "add": elementwise.add, "subtract": elementwise.sub, "multiply": elementwise.mul,
    "divide": elementwise.div, "true_divide": elementwise.div,
    "floor_divide": elementwise.floor_divide, "remainder": elementwise.remainder,
    "power": elementwise.pow, "matmul": contract.matmul, "equal": elementwise.eq,
    "not_equal": elementwise.ne, "less": elementwise.lt, "less_equal": elementwise.le,
    "greater": elementwise.gt, "greater_equal": elementwise.ge,
    "bitwise_and": elementwise.bitwise_and, "bitwise_or": elementwise.bitwise_or,
    "bitwise_xor": elementwise.bitwise_xor,
}  # fmt: skip


def _array_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    operator = _UFUNCS.get(ufunc.__name__)
    if (
        method == "__call__"
        and operator is not None
        and not kwargs
        and not isinstance(inputs[0], Tensor)
    ):
        left = inputs[0]
        return operator(
            create.from_numpy(np.asarray(left)) if isinstance(left, np.ndarray) else left, inputs[1]
        )
    same = {
        "arcsin": "asin",
        "arccos": "acos",
        "arctan": "atan",
        "absolute": "abs",
        "arctan2": "atan2",
    }.get(ufunc.__name__, ufunc.__name__)
    known = hasattr(reductions, same) or hasattr(elementwise, same)
    instead = f"clearprop.{same}(x)" if known else "the clearprop function, or an operator"
    raise TypeError(
        f"np.{ufunc.__name__} of a Tensor would drop its gradient: use {instead}, or"
        f" np.{ufunc.__name__}(x.detach().numpy()) for the plain values{here()}"
    )


def _exchanged(f: Any) -> Any:
    """f with its operands exchanged."""

    def operator(x: Tensor, other: Any) -> Any:
        return f(other, x)

    return operator


_OPERANDS = (int, float, Tensor, np.ndarray, np.generic, Number)


def _operator(f: Any) -> Any:
    """f as an operator: NotImplemented for what it cannot take, so that Python asks the other
    operand.
    """

    def operator(x: Tensor, other: Any) -> Any:
        if other.__class__ in TENSORS or isinstance(other, _OPERANDS):
            return f(x, other)
        return NotImplemented

    return operator


_power = _operator(elementwise.pow)


def power(x: Tensor, other: Any) -> Any:
    """x ** other; squares take a short way."""
    if other.__class__ is int and other == 2 and x.value.dtype.kind == "f":
        return apply1(elementwise.SQUARE, x)
    return _power(x, other)


def add_method(x: Tensor, other: Any, *, alpha: float = 1) -> Tensor:
    """x + alpha * other."""
    return elementwise.add(x, other if is_one(alpha) else scaled("add", x, other, alpha))


def sub_method(x: Tensor, other: Any, *, alpha: float = 1) -> Tensor:
    """x - alpha * other."""
    return elementwise.sub(x, other if is_one(alpha) else scaled("sub", x, other, alpha))


def addcmul(x: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """x + value * tensor1 * tensor2."""
    product = elementwise.mul(tensor1, tensor2)
    return elementwise.add(x, product if is_one(value) else product * value)


def addcdiv(x: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """x + value * tensor1 / tensor2."""
    if tensor1.dtype.category < 2 and tensor2.dtype.category < 2:
        raise DtypeError(
            "addcdiv: Integer division with addcdiv is no longer supported; use"
            f" (x + value * tensor1 / tensor2).to(...); got {tensor1.aval},"
            f" {tensor2.aval}{here()}"
        )
    quotient = elementwise.div(tensor1, tensor2)
    return elementwise.add(x, quotient if is_one(value) else quotient * value)


_DEVICES = ("cpu", "cuda", "mps", "xpu", "meta")


def to(
    x: Tensor,
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
) -> Tensor:
    """x in another dtype (`to(float64)`, `to(other)`); the device is always the CPU."""
    for arg in args:
        if arg is True or arg is False:  # non_blocking
            continue
        if isinstance(arg, Tensor):
            dtype = arg.dtype
        elif isinstance(arg, Device | int) or (isinstance(arg, str) and arg.startswith(_DEVICES)):
            device = arg
        else:
            dtype = arg
    create._cpu(device)
    y = x if dtype is None else cast(x, as_dtype(dtype))
    return arrange.clone(y) if copy and y is x else y


def type_as(x: Tensor, other: Tensor) -> Tensor:
    """x in the dtype of another tensor."""
    return cast(x, other.dtype)


def _caster(name: str, d: Any) -> Any:
    def method(x: Tensor) -> Tensor:
        return cast(x, d)

    method.__name__ = name
    method.__doc__ = f"x with elements of type {d.name}."
    return method


def _type(x: Tensor, dtype: Any = None) -> Any:
    """The name of the type ("torch.FloatTensor"), or x cast to a dtype."""
    return f"torch.{TENSOR_TYPES[x.dtype]}" if dtype is None else cast(x, as_dtype(dtype))


def _eq(x: Tensor, other: Any) -> Any:
    return False if other is None or isinstance(other, str) else elementwise.eq(x, other)


def _ne(x: Tensor, other: Any) -> Any:
    return True if other is None or isinstance(other, str) else elementwise.ne(x, other)


def _new(make: Any) -> Any:
    def method(x: Tensor, *size: Any, dtype: Any = None, **kwargs: Any) -> Tensor:
        return make(*size, dtype=x.dtype if dtype is None else dtype, **kwargs)

    return method


def cpu(x: Tensor) -> Tensor:
    """x itself: everything lives on the CPU."""
    return x


_float_power = inplace.inplace("float_power_", arithmetic.float_power)


def float_power_(x: Tensor, exponent: Any) -> Tensor:
    """float_power in place, for float64."""
    if x.dtype is not float64:
        raise DtypeError(
            f"float_power_: the base has dtype {x.dtype} but the operation's result requires dtype"
            f" {float64}{here()}"
        )
    return _float_power(x, exponent)  # type: ignore[no-any-return]


def cuda(x: Tensor, device: Any = None) -> Tensor:
    """Fails: everything lives on the CPU."""
    create._cpu("cuda" if device is None else device)
    return x


def share_memory_(x: Tensor) -> Tensor:
    """x itself: threads share memory anyway, and clearprop starts no processes."""
    return x


def iterate(x: Tensor) -> Any:
    if not x.ndim:
        raise TypeError("iteration over a 0-d tensor")
    return iter(shapes.unbind(x, 0))


def contains(x: Tensor, item: Any) -> bool:
    return bool(reductions.any(elementwise.eq(x, item)))


MODULES = (
    arithmetic, arrange, contract, counting, create, cumulative, diagonals, elementwise, index,
    older_names, products, queries, reductions, scattering, shapes, sorting, special, statistics,
)  # fmt: skip
BY_NAME = {name: getattr(module, name) for module in MODULES for name in module.__all__}

# Functions whose first argument is the tensor, under their own names.
METHODS = """
    abs acos acosh addbmm addmm addmv addr adjoint all allclose amax amin aminmax angle any argmax
    argmin argsort argwhere asin asinh atan atan2 atanh baddbmm bernoulli bincount bitwise_and
    bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor bmm broadcast_to ceil
    cholesky cholesky_inverse cholesky_solve chunk clamp clamp_max clamp_min clone conj contiguous
    copysign corrcoef cos cosh count_nonzero cov cross cummax cummin cumprod cumsum deg2rad det diag
    diag_embed diagflat diagonal diagonal_scatter diff digamma dist div dot dsplit eq equal erf erfc
    erfinv exp exp2 expand expand_as expm1 flatten flip fliplr flipud float_power floor floor_divide
    fmax fmin fmod frac frexp gather gcd ge ger gt heaviside histc histogram hsplit hypot i0 igamma
    igammac index_add index_copy index_fill index_put index_reduce index_select inner inverse
    is_nonzero is_same_size is_signed isclose isfinite isinf isnan isneginf isposinf isreal kron
    kthvalue lcm ldexp le lerp lgamma log log10 log1p log2 log_softmax logaddexp logaddexp2
    logcumsumexp logdet logical_and logical_not logical_or logical_xor logit logsumexp lt lu_solve
    masked_fill masked_scatter masked_select matmul matrix_exp matrix_power max maximum mean median
    min minimum mm mode movedim msort mul multinomial mv mvlgamma nan_to_num nanmean nanmedian
    nanquantile nansum narrow narrow_copy ne neg nextafter nonzero norm orgqr outer permute pinverse
    polygamma positive pow prod put qr quantile rad2deg reciprocal relu remainder repeat
    repeat_interleave reshape roll rot90 round rsqrt scatter scatter_add scatter_reduce select
    select_scatter sgn sigmoid sign signbit sin sinc sinh slice_scatter slogdet softmax sort split
    split_with_sizes sqrt square squeeze std sum sum_to_size svd t take take_along_dim tan tanh
    tensor_split tile topk trace transpose tril triu trunc unbind unflatten unique
    unique_consecutive unsqueeze var vdot view vsplit xlogy
""".split()

NAMED = {name: BY_NAME[name] for name in METHODS}
NAMED |= {f.__name__: f for f in (addcmul, addcdiv, windows.unfold, to, type_as, cpu)}
NAMED |= {"add": add_method, "sub": sub_method}
NAMED |= {alias: NAMED[name] for alias, name in ALIASES.items()}
NAMED |= {
    "view_as": lambda x, other: shapes.view(x, other.shape),
    "reshape_as": lambda x, other: shapes.reshape(x, other.shape),
    "where": lambda x, condition, other: elementwise.where(condition, x, other),
}

_CASTS = {
    "float": float32,
    "double": float64,
    "half": float16,
    "long": int64,
    "int": int32,
    "short": int16,
    "char": int8,
    "byte": uint8,
    "bool": bool_,
}

_OPERATORS = {
    "add": elementwise.add, "sub": elementwise.sub, "mul": elementwise.mul,
    "truediv": elementwise.div, "pow": elementwise.pow, "floordiv": elementwise.floor_divide,
    "mod": elementwise.remainder, "matmul": contract.matmul, "and": elementwise.bitwise_and,
    "or": elementwise.bitwise_or, "xor": elementwise.bitwise_xor,
    "lshift": arithmetic.bitwise_left_shift, "rshift": arithmetic.bitwise_right_shift,
}  # fmt: skip

# Operators that are one primitive whatever the options.
_DIRECT = {
    "add": elementwise.ADD,
    "sub": elementwise.SUB,
    "mul": elementwise.MUL,
    "truediv": elementwise.DIV,
}


def _invert(x: Tensor) -> Tensor:
    if x.is_floating_point():
        raise TypeError(f"~: wants an integer or bool tensor, got {x.aval}{here()}")
    return elementwise.bitwise_not(x)


def attach() -> None:
    """Give Tensor its operators and methods."""
    for name, f in NAMED.items():
        setattr(Tensor, name, f)
    for name in (*INPLACE, *(alias for alias, own in ALIASES.items() if own in INPLACE)):
        setattr(Tensor, f"{name}_", inplace.inplace(f"{name}_", NAMED[name]))
    for name in reshaping.__all__:
        setattr(Tensor, name, getattr(reshaping, name))
    for name, d in _CASTS.items():
        setattr(Tensor, name, _caster(name, d))
    for name, f in _OPERATORS.items():
        prim = _DIRECT.get(name)
        operator = _operator(f)
        if prim is None:
            setattr(Tensor, f"__{name}__", operator)
            setattr(Tensor, f"__r{name}__", _exchanged(f))
        else:
            setattr(Tensor, f"__{name}__", direct(prim, operator))
            setattr(Tensor, f"__r{name}__", reflected(prim, f))
        if name != "matmul":
            method = inplace.inplace(f"__i{name}__", f)
            setattr(Tensor, f"__i{name}__", method)
    for prim in (elementwise.LT, elementwise.LE, elementwise.GT, elementwise.GE):
        operator = _operator(getattr(elementwise, prim.name))
        setattr(Tensor, f"__{prim.name}__", direct(prim, operator))
    for name in ("copy_", "fill_", "zero_"):
        setattr(Tensor, name, getattr(inplace, name))
    for name in random_ops.__all__:
        setattr(Tensor, name, getattr(random_ops, name))
    for name in ("zeros", "ones", "empty", "full", "tensor"):
        setattr(Tensor, f"new_{name}", _new(getattr(create, name)))
    others: dict[str, Any] = {
        "__pow__": power,
        "__eq__": _eq,
        "__ne__": _ne,
        "__neg__": elementwise.neg,
        "__pos__": lambda x: x,
        "__abs__": elementwise.abs,
        "__invert__": _invert,
        "__getitem__": index.getitem,
        "__setitem__": inplace.setitem,
        "__iter__": iterate,
        "__contains__": contains,
        "__array_ufunc__": _array_ufunc,
        "type": _type,
        "T": property(
            lambda x: (
                shapes.permute(x, tuple(reversed(range(x.ndim)))) if x.ndim != 2 else shapes.t(x)
            )
        ),
        "mT": property(shapes.mT),
        "mH": property(shapes.mT),
        "real": property(arithmetic.real),
        "__reversed__": lambda x: shapes.flip(x, tuple(range(x.ndim))),
        "apply_": queries.apply_,
        "cuda": cuda,
        "float_power_": float_power_,
        "fill_diagonal_": diagonals.fill_diagonal_,
        "map_": queries.map_,
        "get_device": lambda x: -1,
        "is_cpu": property(lambda x: True),
        "is_pinned": lambda x: False,
        "is_sparse": property(lambda x: False),
        "ndimension": Tensor.dim,
        "pin_memory": cpu,
        "share_memory_": share_memory_,
        "is_shared": lambda x: False,
    }
    for name, f in others.items():
        setattr(Tensor, name, f)


attach()
__all__ = ["addcdiv", "addcmul"]
