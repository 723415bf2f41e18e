"""Elementwise primitives as ONNX nodes, read from the formula of their entry: a new one needs
nothing here.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from clearprop.core import bool_, dtype, int8, int16, int32, int64, uint8
from clearprop.graph.formula import fold, formula_of
from clearprop.onnx.library import ExportError
from clearprop.onnx.sizes import Step
from clearprop.onnx.writer import Writer

SMALL = (int8, int16, uint8)  # few runtimes have kernels for these: computed as int32


class Part(NamedTuple):
    """A value on the way: the name of an array, or a number that has no type yet."""

    name: str
    dtype: Any
    number: Any = None


def elementwise(w: Writer, step: Step, names: list[str]) -> str:
    """The nodes of an elementwise step."""
    out = step.outputs[0].dtype
    parts = [Part(n, v.dtype) for n, v in zip(names, step.inputs, strict=True)]
    if step.prim.name == "cast":
        return _cast(w, parts[0], step.params["to"]).name
    if step.prim.name in ONE:
        narrow = parts[0].dtype in SMALL
        if not narrow and parts[0].dtype.is_floating_point:
            return w.op(ONE[step.prim.name], parts[0].name)  # type: ignore[no-any-return]
    parts = [_cast(w, p, int32) if p.dtype in SMALL else p for p in parts]
    kind = parts[-1].dtype
    result = fold(
        formula_of(step.prim, step.params),
        parts,
        lambda value: Part("", None, value),
        lambda name, args: call(w, name, args, kind),
    )
    return _cast(w, _typed(w, result, out), out).name


ONE = {"relu": "Relu", "reciprocal": "Reciprocal", "clone": "Identity"}


def _typed(w: Writer, part: Part, kind: dtype) -> Part:
    if part.name:
        return part
    return Part(w.constant(np.asarray(part.number).astype(kind.np)), kind)


def _cast(w: Writer, part: Part, kind: dtype) -> Part:
    return part if part.dtype is kind else Part(w.cast(part.name, kind), kind)


def call(w: Writer, name: str, args: list[Part], kind: dtype) -> Part:
    """One function of a formula. `kind`: the type of numbers where no array says it."""
    if not any(a.name for a in args):
        return Part("", None, ON_NUMBERS[name](*(a.number for a in args)))
    of = next(a.dtype for a in (args[1:] if name == "select" else args) + args[:1] if a.name)
    if name == "select":
        of = kind if not (args[1].name or args[2].name) else of
        c, a, b = args[0], _typed(w, args[1], of), _typed(w, args[2], of)
        return Part(w.op("Where", c.name, a.name, b.name), of)
    xs = [_typed(w, a, of) for a in args]
    n = [x.name for x in xs]
    if name in COMPARE:
        if of is bool_ and name != "eq":
            n = [w.cast(x, int32) for x in n]
        return Part(w.op(COMPARE[name], *n), bool_)
    if name == "ne":
        return Part(w.op("Not", w.op("Equal", *n)), bool_)
    if of is bool_ and name in OF_BOOLS:
        return Part(w.op(OF_BOOLS[name], *n), bool_)
    if name in BITS:
        if w.opset < 18:
            raise ExportError(f"{BITS[name]} of integers is new in opset 18")
        return Part(w.op(BITS[name], *n), of)
    if not of.is_floating_point and name in ("floor", "ceil", "rint", "trunc"):
        return xs[0]
    if name in DIRECT:
        return Part(w.op(DIRECT[name], *n), of)
    return Part(FORMS[name](w, of, *n), of)


ON_NUMBERS: dict[str, Callable[..., Any]] = {
    "neg": operator.neg, "add": operator.add, "sub": operator.sub, "mul": operator.mul,
    "div": operator.truediv,
}  # fmt: skip
COMPARE = {
    "eq": "Equal",
    "lt": "Less",
    "le": "LessOrEqual",
    "gt": "Greater",
    "ge": "GreaterOrEqual",
}
OF_BOOLS = {
    "and": "And", "or": "Or", "xor": "Xor", "not": "Not", "add": "Or", "mul": "And", "max": "Or",
    "min": "And",
}  # fmt: skip
BITS = {"and": "BitwiseAnd", "or": "BitwiseOr", "xor": "BitwiseXor", "not": "BitwiseNot"}
DIRECT = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "neg": "Neg", "abs": "Abs",
    "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "sin": "Sin", "cos": "Cos", "tan": "Tan",
    "asin": "Asin", "acos": "Acos", "atan": "Atan", "sinh": "Sinh", "cosh": "Cosh",
    "asinh": "Asinh", "acosh": "Acosh", "atanh": "Atanh", "tanh": "Tanh", "sigmoid": "Sigmoid",
    "erf": "Erf", "floor": "Floor", "ceil": "Ceil", "rint": "Round", "pow": "Pow", "max": "Max",
    "min": "Min",
}  # fmt: skip


def _n(w: Writer, of: dtype, value: float) -> str:
    return w.constant(np.asarray(value).astype(of.np))


def _expm1(w: Writer, of: dtype, x: str) -> str:
    """e^x - 1 = tanh(x / 2) (e^x + 1), without cancellation near 0."""
    half = w.op("Tanh", w.op("Mul", x, _n(w, of, 0.5)))
    return w.op("Mul", half, w.op("Add", w.op("Exp", x), _n(w, of, 1)))  # type: ignore[no-any-return]


def _log1p(w: Writer, of: dtype, x: str) -> str:
    """log(u) x / (u - 1) with u = 1 + x rounded; x where u is 1; u where u is inf."""
    one = _n(w, of, 1)
    u = w.op("Add", x, one)
    less = w.op("Sub", u, one)
    tiny = w.op("Equal", less, _n(w, of, 0))
    quotient = w.op("Div", x, w.op("Where", tiny, one, less))
    inside = w.op("Where", tiny, x, w.op("Mul", w.op("Log", u), quotient))
    return w.op("Where", w.op("Equal", u, _n(w, of, math.inf)), u, inside)  # type: ignore[no-any-return]


def _log_base(base: float) -> Callable[..., str]:
    return lambda w, of, x: w.op("Mul", w.op("Log", x), _n(w, of, 1 / math.log(base)))


def _trunc(w: Writer, of: dtype, x: str) -> str:
    below = w.op("Less", x, _n(w, of, 0))
    return w.op("Where", below, w.op("Ceil", x), w.op("Floor", x))  # type: ignore[no-any-return]


def negative(w: Writer, of: dtype, x: str) -> str:
    """Whether the sign bit is set (but for nan): x < 0, or 1 / x < 0."""
    zero = _n(w, of, 0)
    below = w.op("Less", x, zero)
    return w.op("Or", below, w.op("Less", w.op("Div", _n(w, of, 1), x), zero))  # type: ignore[no-any-return]


def _signed(w: Writer, of: dtype, size: str, sign: str) -> str:
    return w.op("Where", negative(w, of, sign), w.op("Neg", size), size)  # type: ignore[no-any-return]


def _atan2(w: Writer, of: dtype, y: str, x: str) -> str:
    """atan(|y / x|) or its supplement, with the sign of y."""
    angle = w.op("Atan", w.op("Abs", w.op("Div", y, x)))
    both = w.op("And", w.op("Equal", y, _n(w, of, 0)), w.op("Equal", x, _n(w, of, 0)))
    angle = w.op("Where", both, _n(w, of, 0), angle)
    supplement = w.op("Sub", _n(w, of, math.pi), angle)
    return _signed(w, of, w.op("Where", negative(w, of, x), supplement, angle), y)


def _fmod(w: Writer, of: dtype, x: str, y: str) -> str:
    return w.op("Mod", x, y, fmod=1)  # type: ignore[no-any-return]


def _remainder(w: Writer, of: dtype, x: str, y: str) -> str:
    """fmod, moved by y where its sign is not that of y."""
    r, zero = _fmod(w, of, x, y), _n(w, of, 0)
    differs = w.op("Xor", w.op("Less", r, zero), w.op("Less", y, zero))
    moves = w.op("And", differs, w.op("Not", w.op("Equal", r, zero)))
    return w.op("Where", moves, w.op("Add", r, y), r)  # type: ignore[no-any-return]


def _floor_divide(w: Writer, of: dtype, x: str, y: str) -> str:
    whole = w.op("Div", w.op("Sub", x, _remainder(w, of, x, y)), y)
    return w.op("Round", whole) if of.is_floating_point else whole


def _erfc(w: Writer, of: dtype, x: str) -> str:
    return w.op("Sub", _n(w, of, 1), w.op("Erf", x))  # type: ignore[no-any-return]


FORMS: dict[str, Callable[..., str]] = {
    "expm1": _expm1, "log1p": _log1p, "log2": _log_base(2), "log10": _log_base(10),
    "trunc": _trunc, "atan2": _atan2, "fmod": _fmod, "remainder": _remainder,
    "floor_divide": _floor_divide, "erfc": _erfc,
}  # fmt: skip


# ---------------------------------------------------------------------- kernels without a formula
def copysign(w: Writer, step: Step, names: list[str]) -> str:
    """|x| with the sign of y."""
    of = step.inputs[0].dtype
    return _signed(w, of, w.op("Abs", names[0]), names[1])


def signbit(w: Writer, step: Step, names: list[str]) -> str:
    """Whether the sign bit is set."""
    return negative(w, step.inputs[0].dtype, names[0])


def hypot(w: Writer, step: Step, names: list[str]) -> str:
    """sqrt(x^2 + y^2) by the larger of both, so that squares do not overflow."""
    of = step.inputs[0].dtype
    x, y = (w.op("Abs", n) for n in names)
    most, least = w.op("Max", x, y), w.op("Min", x, y)
    none = w.op("Equal", most, _n(w, of, 0))
    ratio = w.op("Div", least, w.op("Where", none, _n(w, of, 1), most))
    scale = w.op("Sqrt", w.op("Add", w.op("Mul", ratio, ratio), _n(w, of, 1)))
    return w.op("Mul", most, scale)  # type: ignore[no-any-return]


def logical_count(w: Writer, truth: str, axes: list[int], keepdims: bool) -> str:
    """How many of the bools along axes are true."""
    n = w.cast(truth, int64)
    return w.op("ReduceSum", n, w.ints(axes), keepdims=int(keepdims))  # type: ignore[no-any-return]
