"""What each ONNX operator computes, in clearprop's ops.

An operator is called as `f(node, *inputs)`; inputs are Tensors, or arrays where the value is known
when the file is read (sizes, axes); one that is left out is None. It gives one value or a tuple.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearprop import linalg, ops
from clearprop.core import Tensor, bool_, float64, from_numpy_dtype, wrap
from clearprop.core.tensor import known
from clearprop.nn import functional as F
from clearprop.onnx.library import ImportRefused, helper

MOST_ELEMENTS = 2**26  # of one value


@dataclass(frozen=True)
class Node:
    """One node of a file: `since` is the version of its operator."""

    kind: str
    name: str
    since: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)

    def refuse(self, why: str) -> ImportRefused:
        """The error that names this node."""
        return ImportRefused(f"onnx: {self.kind} {self.name!r}: {why}")


OPERATORS: dict[str, Callable[..., Any]] = {}


def operator(*names: str) -> Callable[[Any], Any]:
    """Enter a function under the operators' names."""

    def enter(f: Any) -> Any:
        OPERATORS.update(dict.fromkeys(names, f))
        return f

    return enter


def tensor(x: Any) -> Any:
    """x as a Tensor."""
    return wrap(x, None) if isinstance(x, np.ndarray) else x


def static(node: Node, x: Any) -> np.ndarray:
    """The value of an input that decides on sizes."""
    found = x if isinstance(x, np.ndarray) else known(x)
    if found is None:
        raise node.refuse("a size that is computed from the inputs cannot be traced")
    return found


def ints(node: Node, x: Any) -> list[int]:
    """A list of integers from an input."""
    return [int(n) for n in static(node, x).reshape(-1)]


def guard(node: Node, shape: Any) -> list[int]:
    """The shape, if it is of a value that is not too large."""
    sizes = [int(n) for n in shape]
    if any(n < 0 for n in sizes) or math.prod(sizes) > MOST_ELEMENTS:
        raise node.refuse(f"a value of shape {sizes} is not allowed ({MOST_ELEMENTS} elements)")
    return sizes


def given(node: Node, args: tuple[Any, ...], i: int, name: str, default: Any = None) -> Any:
    """A list of ints that older versions have as an attribute, newer ones as input i."""
    if i < len(args) and args[i] is not None:
        return ints(node, args[i])
    found = node.get(name, default)
    return [int(found)] if isinstance(found, int) else found


def dtype_of(node: Node, number: int) -> Any:
    """Our element type of ONNX's number."""
    try:
        return from_numpy_dtype(np.dtype(helper.tensor_dtype_to_np_dtype(number)))
    except (TypeError, KeyError, ValueError) as error:
        raise node.refuse(f"element type {number} is not supported") from error


# ---------------------------------------------------------------------- elementwise
UNARY: dict[str, Callable[[Tensor], Any]] = {
    "Abs": ops.abs, "Neg": ops.neg, "Exp": ops.exp, "Log": ops.log, "Sqrt": ops.sqrt,
    "Sin": ops.sin,
    "Cos": ops.cos, "Tan": ops.tan, "Asin": ops.asin, "Acos": ops.acos, "Atan": ops.atan,
    "Sinh": ops.sinh, "Cosh": ops.cosh, "Asinh": ops.asinh, "Acosh": ops.acosh, "Atanh": ops.atanh,
    "Tanh": ops.tanh, "Sigmoid": ops.sigmoid, "Erf": ops.erf, "Floor": ops.floor, "Ceil": ops.ceil,
    "Round": ops.round, "Reciprocal": ops.reciprocal, "Sign": ops.sign, "Relu": ops.relu,
    "Identity": lambda x: x, "Not": ops.logical_not, "IsNaN": ops.isnan, "Softplus": F.softplus,
    "Softsign": F.softsign, "Mish": F.mish, "HardSwish": F.hardswish, "Det": linalg.det,
    "BitwiseNot": ops.bitwise_not, "GlobalAveragePool": lambda x: _over_places(x, "mean"),
    "GlobalMaxPool": lambda x: _over_places(x, "amax"),
}  # fmt: skip
BINARY: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "Add": ops.add, "Sub": ops.sub, "Mul": ops.mul, "Equal": ops.eq, "Less": ops.lt,
    "Greater": ops.gt,
    "LessOrEqual": ops.le, "GreaterOrEqual": ops.ge, "And": ops.logical_and, "Or": ops.logical_or,
    "Xor": ops.logical_xor, "BitwiseAnd": ops.bitwise_and, "BitwiseOr": ops.bitwise_or,
    "BitwiseXor": ops.bitwise_xor, "MatMul": ops.matmul,
}  # fmt: skip


def _over_places(x: Tensor, how: str) -> Tensor:
    return getattr(x, how)(tuple(range(2, x.ndim)), keepdim=True)  # type: ignore[no-any-return]


def _unary(f: Callable[[Tensor], Any]) -> Callable[..., Any]:
    return lambda node, x: f(tensor(x))


def fits(node: Node, *xs: Tensor) -> None:
    """Refuse what would grow too large by broadcasting."""
    try:
        guard(node, np.broadcast_shapes(*(x.shape for x in xs)))
    except ValueError as error:
        raise node.refuse(str(error)) from error


def _binary(f: Callable[[Tensor, Tensor], Any]) -> Callable[..., Any]:
    def run(node: Node, x: Any, y: Any) -> Any:
        x, y = tensor(x), tensor(y)
        if node.kind != "MatMul":
            fits(node, x, y)
        return f(x, y)

    return run


OPERATORS.update({name: _unary(f) for name, f in UNARY.items()})
OPERATORS.update({name: _binary(f) for name, f in BINARY.items()})


@operator("Div")
def _div(node: Node, x: Any, y: Any) -> Any:
    x, y = tensor(x), tensor(y)
    fits(node, x, y)
    if x.is_floating_point():
        return x / y
    if not static(node, y).all():
        raise node.refuse("an integer is divided by zero")
    return ops.div(x, y, rounding_mode="trunc")


@operator("Mod")
def _mod(node: Node, x: Any, y: Any) -> Any:
    x, y = tensor(x), tensor(y)
    fits(node, x, y)
    if not x.is_floating_point() and not static(node, y).all():
        raise node.refuse("an integer is divided by zero")
    return ops.fmod(x, y) if node.get("fmod", 0) else ops.remainder(x, y)


@operator("Pow")
def _pow(node: Node, x: Any, y: Any) -> Any:
    x, y = tensor(x), tensor(y)
    fits(node, x, y)
    if x.dtype is y.dtype:
        return x**y
    if x.is_floating_point():
        return x ** y.to(x.dtype)
    wide = x.to(float64) ** y.to(float64)
    return wide.to(x.dtype)


def _fold(f: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Any]:
    def run(node: Node, *xs: Any) -> Any:
        out = tensor(xs[0])
        for x in xs[1:]:
            fits(node, out, tensor(x))
            out = f(out, tensor(x))
        return out

    return run


OPERATORS["Max"], OPERATORS["Min"], OPERATORS["Sum"] = map(
    _fold, (ops.maximum, ops.minimum, ops.add)
)
OPERATORS["Mean"] = lambda node, *xs: OPERATORS["Sum"](node, *xs) / len(xs)


@operator("PRelu")
def _prelu(node: Node, x: Any, slope: Any) -> Any:
    x, slope = tensor(x), tensor(slope)
    fits(node, x, slope)
    return ops.where(x < 0, slope * x, x)


@operator("Where")
def _where(node: Node, c: Any, x: Any, y: Any) -> Any:
    c, x, y = tensor(c), tensor(x), tensor(y)
    fits(node, c, x, y)
    return ops.where(c, x, y)


@operator("IsInf")
def _isinf(node: Node, x: Any) -> Any:
    x = tensor(x)
    above = (x == math.inf) if node.get("detect_positive", 1) else ops.zeros_like(x, dtype=bool_)
    below = (x == -math.inf) if node.get("detect_negative", 1) else ops.zeros_like(x, dtype=bool_)
    return above | below


# name: (function of x and attributes, attributes with their defaults)
SHAPED: dict[str, tuple[Callable[..., Any], dict[str, float]]] = {
    "LeakyRelu": (lambda x, alpha: F.leaky_relu(x, alpha), {"alpha": 0.01}),
    "Elu": (lambda x, alpha: F.elu(x, alpha), {"alpha": 1.0}),
    "Celu": (lambda x, alpha: F.celu(x, alpha), {"alpha": 1.0}),
    "Selu": (
        lambda x, alpha, gamma: (
            gamma * ops.where(x > 0, x, alpha * ops.expm1(ops.minimum(x, x * 0)))
        ),
        {"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875},
    ),
    "HardSigmoid": (
        lambda x, alpha, beta: (alpha * x + beta).clamp(0, 1),
        {"alpha": 0.2, "beta": 0.5},
    ),
    "ThresholdedRelu": (lambda x, alpha: ops.where(x > alpha, x, x * 0), {"alpha": 1.0}),
    "Shrink": (
        lambda x, lambd, bias: ops.where(
            x < -lambd, x + bias, ops.where(x > lambd, x - bias, ops.zeros_like(x))
        ),
        {"lambd": 0.5, "bias": 0.0},
    ),
}
for _name, (_f, _defaults) in SHAPED.items():
    OPERATORS[_name] = lambda node, x, f=_f, d=_defaults: f(
        tensor(x), **{k: node.get(k, v) for k, v in d.items()}
    )


@operator("Gelu")
def _gelu(node: Node, x: Any) -> Any:
    return F.gelu(tensor(x), approximate=_text(node.get("approximate", "none")))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@operator("Clip")
def _clip(node: Node, x: Any, low: Any = None, high: Any = None) -> Any:
    x = tensor(x)
    low, high = (node.get(name) if v is None else v for name, v in (("min", low), ("max", high)))
    for f, bound in ((ops.maximum, low), (ops.minimum, high)):
        if bound is not None:
            b = tensor(bound) if not isinstance(bound, float) else ops.tensor(bound, dtype=x.dtype)
            x = f(x, b)
    return x


@operator("Cast")
def _cast(node: Node, x: Any) -> Any:
    return tensor(x).to(dtype_of(node, node.get("to")))


@operator("CastLike")
def _cast_like(node: Node, x: Any, like: Any) -> Any:
    return tensor(x).to(tensor(like).dtype)


@operator("Dropout")
def _dropout(node: Node, x: Any, ratio: Any = None, training: Any = None) -> Any:
    if training is not None and static(node, training).any():
        raise node.refuse("training mode draws random numbers")
    x = tensor(x)
    return x, ops.ones_like(x, dtype=bool_)


def _softmax(f: Callable[..., Tensor]) -> Callable[..., Any]:
    def run(node: Node, x: Any) -> Any:
        x = tensor(x)
        axis = node.get("axis", -1 if node.since >= 13 else 1)
        if node.since >= 13:
            return f(x, axis)
        axis %= max(x.ndim, 1)
        flat = x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))
        return f(flat, 1).reshape(x.shape)

    return run


OPERATORS["Softmax"], OPERATORS["LogSoftmax"] = map(_softmax, (F.softmax, F.log_softmax))


# ---------------------------------------------------------------------- reductions
REDUCTIONS: dict[str, Callable[[Tensor, tuple[int, ...], bool], Any]] = {
    "ReduceSum": lambda x, d, k: x.sum(d, keepdim=k).to(x.dtype),
    "ReduceMean": lambda x, d, k: x.mean(d, keepdim=k),
    "ReduceMax": lambda x, d, k: x.amax(d, keepdim=k),
    "ReduceMin": lambda x, d, k: x.amin(d, keepdim=k),
    "ReduceProd": lambda x, d, k: _prod(x, d, k),
    "ReduceL1": lambda x, d, k: x.abs().sum(d, keepdim=k).to(x.dtype),
    "ReduceL2": lambda x, d, k: (x * x).sum(d, keepdim=k).sqrt().to(x.dtype),
    "ReduceLogSum": lambda x, d, k: x.sum(d, keepdim=k).log(),
    "ReduceLogSumExp": lambda x, d, k: ops.logsumexp(x, d, keepdim=k),
    "ReduceSumSquare": lambda x, d, k: (x * x).sum(d, keepdim=k).to(x.dtype),
}


def _prod(x: Tensor, dims: tuple[int, ...], keep: bool) -> Tensor:
    kind = x.dtype
    for d in sorted(dims, reverse=True):
        x = x.prod(d, keepdim=keep)
    return x.to(kind)


def _reduction(f: Callable[..., Any]) -> Callable[..., Any]:
    def run(node: Node, x: Any, axes: Any = None) -> Any:
        x, keep = tensor(x), bool(node.get("keepdims", 1))
        dims = given(node, (x, axes), 1, "axes", [])
        if not dims:
            if node.get("noop_with_empty_axes", 0):
                if node.kind in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"):
                    return x
                return f(x.unsqueeze(0), (0,), False)
            dims = range(x.ndim)
        dims = tuple(sorted({d % max(x.ndim, 1) for d in dims}))
        return f(x, dims, keep) if dims else f(x.reshape(1), (0,), False)

    return run


OPERATORS.update({name: _reduction(f) for name, f in REDUCTIONS.items()})


@operator("ArgMax", "ArgMin")
def _arg(node: Node, x: Any) -> Any:
    x, f = tensor(x), ops.argmax if node.kind == "ArgMax" else ops.argmin
    axis = node.get("axis", 0) % x.ndim
    keep = bool(node.get("keepdims", 1))
    if not node.get("select_last_index", 0):
        return f(x, axis, keepdim=keep)
    return x.shape[axis] - 1 - f(x.flip(axis), axis, keepdim=keep)


@operator("CumSum")
def _cumsum(node: Node, x: Any, axis: Any) -> Any:
    x, (d,) = tensor(x), ints(node, axis)
    if node.get("reverse", 0):
        x = x.flip(d)
    y = x.cumsum(d).to(x.dtype)
    if node.get("exclusive", 0):
        y = y - x
    return y.flip(d) if node.get("reverse", 0) else y


@operator("TopK")
def _top_k(node: Node, x: Any, k: Any = None) -> Any:
    x = tensor(x)
    (n,) = given(node, (x, k), 1, "k")
    axis, largest = node.get("axis", -1), bool(node.get("largest", 1))
    order = ops.argsort(x, axis, descending=largest, stable=True)
    index = order.narrow(axis, 0, n)
    return ops.gather(x, axis, index), index


@operator("Einsum")
def _einsum(node: Node, *xs: Any) -> Any:
    return ops.einsum(_text(node.get("equation")), *map(tensor, xs))


@operator("Gemm")
def _gemm(node: Node, a: Any, b: Any, c: Any = None) -> Any:
    a, b = tensor(a), tensor(b)
    a, b = (a.mT if node.get("transA", 0) else a), (b.mT if node.get("transB", 0) else b)
    y = a @ b
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    y = y if alpha == 1 else y * alpha
    if c is None:
        return y
    c = tensor(c)
    return y + (c if beta == 1 else c * beta)
