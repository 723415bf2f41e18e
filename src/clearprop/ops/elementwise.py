"""Elementwise ops: each entry reads as its formula. `g` is the cotangent of the result, `out` the
result.

Forms are chosen to keep digits: (1+y)(1-y) rather than 1-y*y. Values at kinks are PyTorch's
(relu'(0) = 0, abs'(0) = 0).
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from clearprop.core import (
    Aval,
    Example,
    Map,
    Primitive,
    Tensor,
    apply,
    apply1,
    apply2,
    as_dtype,
    bool_,
    float64,
    int64,
    primitive,
    wrap,
)
from clearprop.core.deferred import special
from clearprop.errors import DtypeError, UnsupportedDtypeError
from clearprop.ops.broadcasting import (
    ANY,
    BITS,
    EACH_NUMBERS,
    FLOATS,
    NUMBERS,
    TensorLike,
    binary,
    broadcast_shapes,
    cast,
    expand_to,
    here,
    match,
    result_type,
    tensor_of,
    unary,
    zeros_for,
)
from clearprop.ops.out import into


def same(x: Aval, *_: Aval, **__: Any) -> Aval:
    return x


def truth(x: Aval, *_: Aval, **__: Any) -> Aval:
    return Aval(x.shape, bool_)


def _zero(g: Tensor, _out: Any, _x: Any) -> Tensor:
    return zeros_for(g)


def _u(
    name: str,
    doc: str,
    eager: Callable[..., Any],
    rule: Any,
    formula: str,
    domain: tuple[float, float] = (-2.0, 2.0),
    kinks: tuple[float, ...] = (),
) -> Primitive:
    return primitive(name, doc=doc, eager=eager, shape=same, vjp=(rule,), lower=Map(formula), domain=domain, kinks=kinks)  # fmt: skip


def _sigmoid(x: np.ndarray) -> np.ndarray:
    y = np.exp(np.negative(x))  # inf for large -x: the quotient is 0 then
    y += 1
    return np.reciprocal(y)


def _erf(x: np.ndarray) -> np.ndarray:
    return special.erf(x).astype(x.dtype, copy=False)  # type: ignore[no-any-return]


def _round(x: np.ndarray) -> np.ndarray:
    return np.rint(x) if x.dtype.kind == "f" else x.copy()  # NumPy makes floats of integers


# fmt: off
NEG = _u("neg", "-x, elementwise.", np.negative, lambda g, _out, _x: -g, "-x")
ABS = _u("abs", "|x|, elementwise; the derivative at 0 is 0.", np.abs, lambda g, _out, x: g * sign(x), "abs(x)", kinks=(0.0,))
SIGN = _u("sign", "-1, 0 or 1, elementwise (0 for nan); derivative 0.", lambda x: (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype), _zero, "1 if x > 0 else -1 if x < 0 else 0", kinks=(0.0,))
EXP = _u("exp", "e^x, elementwise.", np.exp, lambda g, out, _x: g * out, "exp(x)")
EXPM1 = _u("expm1", "e^x - 1 without cancellation near 0.", np.expm1, lambda g, out, _x: g * (out + 1), "expm1(x)")
LOG = _u("log", "Natural logarithm; -inf at 0, nan below.", np.log, lambda g, _out, x: g / x, "log(x)", (0.2, 3.0))
LOG2 = _u("log2", "Logarithm to base 2.", np.log2, lambda g, _out, x: g / (x * math.log(2)), "log2(x)", (0.2, 3.0))
LOG10 = _u("log10", "Logarithm to base 10.", np.log10, lambda g, _out, x: g / (x * math.log(10)), "log10(x)", (0.2, 3.0))
LOG1P = _u("log1p", "log(1 + x) without cancellation near 0.", np.log1p, lambda g, _out, x: g / (x + 1), "log1p(x)", (-0.8, 3.0))
SQRT = _u("sqrt", "Square root; the derivative 1/(2 sqrt x) is inf at 0.", np.sqrt, lambda g, out, _x: g / (2 * out), "sqrt(x)", (0.2, 3.0))
RSQRT = _u("rsqrt", "1 / sqrt(x); the derivative is -inf at 0.", lambda x: 1 / np.sqrt(x), lambda g, out, _x: g * (-0.5 * out * out * out), "1 / sqrt(x)", (0.2, 3.0))
RECIPROCAL = _u("reciprocal", "1 / x; the derivative is -inf at 0.", np.reciprocal, lambda g, out, _x: -g * out * out, "1 / x", (0.3, 3.0))
SIN = _u("sin", "Sine of radians.", np.sin, lambda g, _out, x: g * cos(x), "sin(x)")
COS = _u("cos", "Cosine of radians.", np.cos, lambda g, _out, x: -g * sin(x), "cos(x)")
TAN = _u("tan", "Tangent of radians.", np.tan, lambda g, out, _x: g * (1 + out * out), "tan(x)", (-1.2, 1.2))
ASIN = _u("asin", "Inverse sine; the derivative is inf at -1 and 1.", np.arcsin, lambda g, _out, x: g * rsqrt(1 - x * x), "asin(x)", (-0.8, 0.8))
ACOS = _u("acos", "Inverse cosine; the derivative is -inf at -1 and 1.", np.arccos, lambda g, _out, x: -g * rsqrt(1 - x * x), "acos(x)", (-0.8, 0.8))
ATAN = _u("atan", "Inverse tangent.", np.arctan, lambda g, _out, x: g / (1 + x * x), "atan(x)")
SINH = _u("sinh", "Hyperbolic sine.", np.sinh, lambda g, _out, x: g * cosh(x), "sinh(x)")
COSH = _u("cosh", "Hyperbolic cosine.", np.cosh, lambda g, _out, x: g * sinh(x), "cosh(x)")
ASINH = _u("asinh", "Inverse hyperbolic sine.", np.arcsinh, lambda g, _out, x: g * rsqrt(x * x + 1), "asinh(x)")
ACOSH = _u("acosh", "Inverse hyperbolic cosine, for x >= 1.", np.arccosh, lambda g, _out, x: g * rsqrt(x * x - 1), "acosh(x)", (1.3, 3.0))
ATANH = _u("atanh", "Inverse hyperbolic tangent, for |x| < 1.", np.arctanh, lambda g, _out, x: g / (1 - x * x), "atanh(x)", (-0.8, 0.8))
TANH = _u("tanh", "Hyperbolic tangent; the derivative is (1+y)(1-y).", np.tanh, lambda g, out, _x: g * (1 + out) * (1 - out), "tanh(x)", (-3.0, 3.0))
SIGMOID = _u("sigmoid", "1 / (1 + e^-x); the derivative is y (1-y) <= 1/4.", _sigmoid, lambda g, out, _x: g * out * (1 - out), "sigmoid(x)", (-3.0, 3.0))
ERF = _u("erf", "Error function 2/sqrt(pi) * integral of e^(-t^2) from 0 to x.", _erf, lambda g, _out, x: g * (2 / math.sqrt(math.pi)) * exp(-(x * x)), "erf(x)")
SQUARE = _u("square", "x * x, elementwise.", np.square, lambda g, _out, x: g * (x + x), "x * x")
RELU = _u("relu", "max(x, 0); the derivative at 0 is 0, nan stays nan.", lambda x: np.maximum(x, 0), lambda g, out, _x: where(out <= 0, zeros_for(g), g), "0 if x <= 0 else x", kinks=(0.0,))
FLOOR = _u("floor", "Largest integer not above x; derivative 0.", np.floor, _zero, "floor(x)", (0.1, 0.9))
CEIL = _u("ceil", "Smallest integer not below x; derivative 0.", np.ceil, _zero, "ceil(x)", (0.1, 0.9))
ROUND = _u("round", "Nearest integer, halves to even; derivative 0.", _round, _zero, "rint(x)", (0.1, 0.4))
TRUNC = _u("trunc", "Integer part; derivative 0.", np.trunc, _zero, "trunc(x)", (0.1, 0.9))

neg = unary(NEG, NUMBERS)
abs = unary(ABS, ANY)
_sign = unary(SIGN, NUMBERS)
exp, expm1 = unary(EXP), unary(EXPM1)
log, log2, log10, log1p = unary(LOG), unary(LOG2), unary(LOG10), unary(LOG1P)
sqrt, rsqrt, reciprocal = unary(SQRT), unary(RSQRT), unary(RECIPROCAL)
sin, cos, tan, asin, acos, atan = map(unary, (SIN, COS, TAN, ASIN, ACOS, ATAN))
sinh, cosh, asinh, acosh, atanh = map(unary, (SINH, COSH, ASINH, ACOSH, ATANH))
tanh, sigmoid, erf = unary(TANH), unary(SIGMOID), unary(ERF)
relu = unary(RELU, NUMBERS)
floor, ceil, trunc, _round_ = (unary(p, NUMBERS) for p in (FLOOR, CEIL, TRUNC, ROUND))
# fmt: on


def _b(
    name: str,
    doc: str,
    eager: Callable[..., Any],
    rules: Any,
    formula: str,
    domain: tuple[float, float] = (-2.0, 2.0),
    shape: Any = same,
) -> Primitive:
    return primitive(name, doc=doc, eager=eager, shape=shape, vjp=rules, lower=Map(formula), domain=domain)  # fmt: skip


def _tie(g: Tensor, wins: Tensor, ties: Tensor) -> Tensor:
    """g where this side wins, g/2 at a tie, 0 where it loses (nan counts as winning on both sides,
    as in PyTorch).
    """
    return where(wins, zeros_for(g), where(ties, g * 0.5, g))


def _pow_exponent(g: Tensor, out: Tensor, x: Tensor, y: Tensor) -> Tensor:
    still = (x == 0) & (y >= 0)  # 0**y stays 0 as y moves
    return where(still, zeros_for(g), g * out * log(where(still, zeros_for(x) + 1, x)))


def _inverse_square(y: Tensor, x: Tensor) -> Tensor:
    """1 / (x^2 + y^2), and 0 at the origin, where an angle has no derivative."""
    square = x * x + y * y
    return where(square == 0, zeros_for(square), reciprocal(square))


# fmt: off
ADD = _b("add", "x + y, elementwise.", np.add, (lambda g, _out, _x, _y: g, lambda g, _out, _x, _y: g), "x + y")
SUB = _b("sub", "x - y, elementwise.", np.subtract, (lambda g, _out, _x, _y: g, lambda g, _out, _x, _y: -g), "x - y")
MUL = _b("mul", "x * y, elementwise.", np.multiply, (lambda g, _out, _x, y: g * y, lambda g, _out, x, _y: g * x), "x * y")
DIV = _b("div", "x / y, elementwise.", np.true_divide, (lambda g, _out, _x, y: g / y, lambda g, out, _x, y: -g * out / y), "x / y", (0.3, 2.0))
POW = _b("pow", "x to the power y, elementwise.", np.power,
         (lambda g, _out, x, y: where(y == 0, zeros_for(g), g * y * pow(x, y - 1)), _pow_exponent), "pow(x, y)", (0.3, 2.0))
MAXIMUM = _b("maximum", "The larger of x and y; nan where either is; a tie shares the gradient half and half.", np.maximum,
             (lambda g, _out, x, y: _tie(g, x < y, x == y), lambda g, _out, x, y: _tie(g, x > y, x == y)), "max(x, y)")
MINIMUM = _b("minimum", "The smaller of x and y; nan where either is; a tie shares the gradient half and half.", np.minimum,
             (lambda g, _out, x, y: _tie(g, x > y, x == y), lambda g, _out, x, y: _tie(g, x < y, x == y)), "min(x, y)")
ATAN2 = _b("atan2", "Angle of the point (y, x): atan2(y, x), in radians.", np.arctan2,
           (lambda g, _out, y, x: g * x * _inverse_square(y, x), lambda g, _out, y, x: -g * y * _inverse_square(y, x)), "atan2(x, y)", (0.3, 2.0))
FMOD = _b("fmod", "Remainder of x / y with the sign of x.", np.fmod, (lambda g, _out, _x, _y: g, lambda g, _out, x, y: -g * trunc(x / y)), "fmod(x, y)", (0.3, 2.0))
REMAINDER = _b("remainder", "x - y * floor(x / y): remainder with the sign of y.", np.remainder, (lambda g, _out, _x, _y: g, lambda g, _out, x, y: -g * floor(x / y)), "remainder(x, y)", (0.3, 2.0))
FLOOR_DIVIDE = _b("floor_divide", "floor(x / y).", np.floor_divide, (lambda g, _out, _x, _y: zeros_for(g), lambda g, _out, _x, _y: zeros_for(g)), "floor_divide(x, y)", (0.3, 2.0))

EQ = _b("eq", "x == y, elementwise.", np.equal, (None, None), "x == y", shape=truth)
NE = _b("ne", "x != y, elementwise.", np.not_equal, (None, None), "x != y", shape=truth)
LT = _b("lt", "x < y, elementwise.", np.less, (None, None), "x < y", shape=truth)
LE = _b("le", "x <= y, elementwise.", np.less_equal, (None, None), "x <= y", shape=truth)
GT = _b("gt", "x > y, elementwise.", np.greater, (None, None), "x > y", shape=truth)
GE = _b("ge", "x >= y, elementwise.", np.greater_equal, (None, None), "x >= y", shape=truth)

_BITS = (Example((Aval((3,), bool_), Aval((3,), bool_))), Example((Aval((2, 3), int64), Aval((2, 3), int64))))
AND = primitive("bitwise_and", doc="x & y of integers or bools.", eager=np.bitwise_and, shape=same, vjp=(None, None), lower=Map("x & y"), examples=_BITS)
OR = primitive("bitwise_or", doc="x | y of integers or bools.", eager=np.bitwise_or, shape=same, vjp=(None, None), lower=Map("x | y"), examples=_BITS)
XOR = primitive("bitwise_xor", doc="x ^ y of integers or bools.", eager=np.bitwise_xor, shape=same, vjp=(None, None), lower=Map("x ^ y"), examples=_BITS)
NOT = primitive("bitwise_not", doc="~x of an integer or bool tensor.", eager=np.invert, shape=same, vjp=(None,), lower=Map("~x"), examples=(Example((Aval((3,), bool_),)), Example((Aval((3,), int64),))))

sub, mul = binary(SUB, EACH_NUMBERS), binary(MUL)
_add, _div = binary(ADD), binary(DIV, FLOATS)
maximum, minimum = binary(MAXIMUM), binary(MINIMUM)
atan2, _fmod = binary(ATAN2, FLOATS), binary(FMOD, NUMBERS)
eq, ne, lt, le, gt, ge = map(binary, (EQ, NE, LT, LE, GT, GE))
bitwise_and, bitwise_or, bitwise_xor, bitwise_not = binary(AND, BITS), binary(OR, BITS), binary(XOR, BITS), unary(NOT, BITS)
_remainder, _floor_divide = binary(REMAINDER, NUMBERS), binary(FLOOR_DIVIDE, NUMBERS)
# fmt: on
add = _add

POW_SCALAR = primitive(
    "pow_scalar",
    doc="x to the power of a fixed number; x**0 is 1 with gradient 0 everywhere.",
    eager=lambda x, *, exponent: np.power(x, np.asarray(exponent, x.dtype)),
    shape=same,
    vjp=(
        lambda g, _out, x, *, exponent: (
            zeros_for(g)
            if exponent == 0
            else g
            if exponent == 1
            else g * (exponent * pow(x, exponent - 1))
        ),
    ),
    lower=Map("pow(x, exponent)"),
    domain=(0.3, 2.0),
    examples=tuple(Example((Aval((3,), float64),), {"exponent": e}) for e in (2, 3, 0, 0.5, -1)),
)

MANY = 4096  # elements from which on a mask is better multiplied than branched on


def _where(c: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """np.where; large arrays as integers with the same bits, since a branch per element costs ten
    times as much where the condition is hard to foresee.
    """
    if c.size < MANY or x.dtype.itemsize == 1 or not x.shape == y.shape == c.shape:
        return np.where(c, x, y)
    bits = np.dtype(f"i{x.dtype.itemsize}")
    a, b = x.view(bits), y.view(bits)
    if not any(a.strides) and not a[(0,) * a.ndim]:
        return np.multiply(b, ~c).view(x.dtype)
    if not any(b.strides) and not b[(0,) * b.ndim]:
        return np.multiply(a, c).view(x.dtype)
    out = np.subtract(a, b)  # (a - b) c + b, which wraps around to a or b
    np.multiply(out, c, out=out)
    return np.add(out, b, out=out).view(x.dtype)


WHERE = primitive(
    "where",
    doc="x where the condition holds, else y.",
    eager=_where,
    shape=lambda c, x, y: x,
    vjp=(
        None,
        lambda g, _out, c, _x, _y: where(c, g, zeros_for(g)),
        lambda g, _out, c, _x, _y: where(c, zeros_for(g), g),
    ),
    lower=Map("x if c else y"),
    examples=(Example((Aval((2, 3), bool_), Aval((2, 3), float64), Aval((2, 3), float64))),),
)

CLAMP = primitive(
    "clamp",
    doc=(
        "x limited to [lo, hi]; the derivative is 1 inside and at both bounds, 0 outside and at"
        " nan."
    ),
    eager=lambda x, *, lo, hi: _clamp(x, lo, hi),
    shape=same,
    vjp=(lambda g, _out, x, *, lo, hi: where(_inside(x, lo, hi), g, zeros_for(g)),),
    lower=Map("min(max(x, lo), hi)"),
    kinks=(-1.0, 1.0),
    examples=(
        Example((Aval((5,), float64),), {"lo": -1.0, "hi": 1.0}),
        Example((Aval((5,), float64),), {"lo": None, "hi": 1.0}),
    ),
)


def _clamp(x: np.ndarray, lo: Any, hi: Any) -> np.ndarray:
    if lo is not None:
        x = np.maximum(x, np.asarray(lo).astype(x.dtype))
    return x if hi is None else np.minimum(x, np.asarray(hi).astype(x.dtype))


def _inside(x: Tensor, lo: Any, hi: Any) -> Tensor:
    above = None if lo is None else x >= lo
    below = None if hi is None else x <= hi
    return below if above is None else above if below is None else above & below  # type: ignore[return-value]


def pow(x: TensorLike, exponent: TensorLike, *, out: Any = None) -> Tensor:
    """x to the power `exponent`. A Python number takes the direct path; integers to negative integer
    powers raise.

    >>> import clearprop as cp
    >>> cp.pow(cp.tensor([1.0, 2.0, 3.0]), 2)
    tensor([1., 4., 9.])
    """
    if out is not None:
        return into(out, pow(x, exponent), "pow")  # type: ignore[no-any-return]
    if (
        isinstance(x, Tensor)
        and isinstance(exponent, int | float)
        and not isinstance(exponent, bool)
    ):
        if exponent == 2 and x.value.dtype.kind == "f":
            return apply1(SQUARE, x)
        d = result_type("pow", x, exponent)
        if d.category != 2 and exponent < 0:
            raise DtypeError(f"pow: Integers to negative integer powers are not allowed.{here()}")
        return apply(POW_SCALAR, cast(x, d), exponent=exponent)
    a, b = match("pow", x, exponent)
    if a.dtype is bool_:
        raise UnsupportedDtypeError(f'pow: "pow" not implemented for {a.aval}{here()}')
    if a.dtype.category != 2:
        negative = b < 0
        safe = apply2(POW, a, where(negative, zeros_for(b), b))
        by_one = where(a == 1, a, where(a == -1, where(b % 2 == 0, a * a, a), zeros_for(a)))
        return where(negative, by_one, safe)  # 2 ** -1 is 0 for integers
    return apply2(POW, a, b)


def round(x: TensorLike, *, decimals: int = 0, out: Any = None) -> Tensor:
    """The nearest integer, halves to even, or the nearest number with so many decimals; derivative
    0.
    """
    if out is not None:
        return into(out, round(x, decimals=decimals), "round")  # type: ignore[no-any-return]
    if not decimals:
        return _round_(x)
    t = tensor_of(x, "round")
    if t.dtype.category != 2:
        raise UnsupportedDtypeError(
            f'round: "round_cpu" with decimals not implemented for {t.dtype!r}{here()}'
        )
    scale = 10.0 ** builtins.abs(decimals)
    return _round_(t * scale) / scale if decimals > 0 else _round_(t / scale) * scale


def sign(x: TensorLike, *, out: Any = None) -> Tensor:
    """-1, 0 or 1, elementwise (0 for nan); a bool stays what it is. The derivative is 0."""
    t = tensor_of(x, "sign")
    y = t if t.dtype is bool_ else _sign(t)
    return y if out is None else into(out, y, "sign")  # type: ignore[no-any-return]


def square(x: TensorLike) -> Tensor:
    """x * x, elementwise; a bool tensor gives integers."""
    t = tensor_of(x, "square")
    return apply1(SQUARE, cast(t, as_dtype(int)) if t.dtype is bool_ else t)


def div(
    x: TensorLike, y: TensorLike, *, rounding_mode: str | None = None, out: Any = None
) -> Tensor:
    """x / y; integers give floats. `rounding_mode`: None, 'trunc' (toward zero) or 'floor'."""
    if out is not None:
        return into(out, div(x, y, rounding_mode=rounding_mode), "div")  # type: ignore[no-any-return]
    if rounding_mode is None:
        return _div(x, y)
    if rounding_mode == "floor":
        return floor_divide(x, y)
    if rounding_mode != "trunc":
        raise DtypeError(
            "div: expected rounding_mode to be one of None, 'trunc', or 'floor' but found"
            f" {rounding_mode!r}{here()}"
        )
    a, b = match("div", x, y)
    if a.dtype.category == 2:
        return trunc(_div(a, b))
    _no_zero("div", b)
    return (a - fmod(a, b)) // b


def _no_zero(op: str, y: Tensor) -> None:
    if y.dtype.category != 2 and y.value.__class__ is np.ndarray and not y.value.all():
        raise DtypeError(f"{op}: ZeroDivisionError: integer division by zero{here()}")


def fmod(x: TensorLike, y: TensorLike) -> Tensor:
    """Remainder of x / y with the sign of x; division by an integer zero raises."""
    a, b = match("fmod", x, y)
    _no_zero("fmod", b)
    return _fmod(a, b)


def floor_divide(x: TensorLike, y: TensorLike) -> Tensor:
    """floor(x / y); integers stay integers, division by an integer zero raises."""
    a, b = match("floor_divide", x, y)
    _no_zero("floor_divide", b)
    return _floor_divide(a, b)


def remainder(x: TensorLike, y: TensorLike) -> Tensor:
    """Remainder of x / y with the sign of y (Python's %)."""
    a, b = match("remainder", x, y)
    _no_zero("remainder", b)
    return _remainder(a, b)


_NONE: Any = object()


def where(
    condition: Tensor, input: TensorLike = _NONE, other: TensorLike = _NONE, *, out: Any = None
) -> Any:
    """input where the condition holds, else other. The gradient of the branch not taken is 0, so a nan that
    arises *inside* that branch's own derivative still spoils it (0 * nan): sanitise the input of
    the branch too.

    >>> import clearprop as cp
    >>> cp.where(cp.tensor([True, False]), cp.tensor([1.0, 2.0]), 0.0)
    tensor([1., 0.])

    Of the condition alone: where it holds, as one index vector per axis.
    """
    if out is not None:
        return into(out, where(condition, input, other), "where")
    if other is _NONE:
        if input is not _NONE:
            raise TypeError(f"where() takes a condition, or a condition and two values{here()}")
        found = np.nonzero(np.atleast_1d(tensor_of(condition, "where").detach().array("where()")))
        return tuple(wrap(i, None) for i in found)
    c = tensor_of(condition, "where")
    if c.dtype is not bool_:
        raise DtypeError(
            f"where: expected condition to be a boolean tensor, but got {c.aval}{here()}"
        )
    a, b = match("where", input, other)
    shape = broadcast_shapes("where", c.value.shape, a.value.shape)
    return apply(WHERE, expand_to(c, shape), expand_to(a, shape), expand_to(b, shape))


def clamp(
    x: TensorLike,
    min: TensorLike | None = None,
    max: TensorLike | None = None,
    *,
    out: Any = None,
) -> Tensor:
    """x limited to [min, max]. The derivative is 0 outside: nothing flows back through a clamped
    value.

    At a bound given as a number the derivative is 1 (PyTorch 2.13.0); with tensor bounds x gets 1
    at equality, the bound 0.
    """
    if out is not None:
        return into(out, clamp(x, min, max), "clamp")  # type: ignore[no-any-return]
    x = tensor_of(x, "clamp")
    if min is None and max is None:
        raise DtypeError(f"clamp: At least one of 'min' or 'max' must not be None{here()}")
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        if min is not None:  # a bound that is nan gives nan
            x, low = match("clamp", x, min)
            x = where(logical_or(x < low, low != low), low, x)
        if max is not None:
            x, high = match("clamp", x, max)
            x = where(logical_or(x > high, high != high), high, x)
        return x
    d = x.dtype
    for bound in (min, max):
        if bound is not None:
            d = result_type("clamp", cast(x, d), bound)
    lo, hi = (None if b is None else float(b) if d.category == 2 else int(b) for b in (min, max))
    return apply(CLAMP, cast(x, d), lo=lo, hi=hi)


def logical_not(x: TensorLike) -> Tensor:
    """Whether each element is 0 or False."""
    t = tensor_of(x, "logical_not")
    return eq(t, False if t.dtype is bool_ else 0)


def _as_bool(x: TensorLike, op: str) -> Tensor:
    t = tensor_of(x, op)
    return t if t.dtype is bool_ else ne(t, 0)


def logical_and(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether both elements are non-zero."""
    return bitwise_and(_as_bool(x, "logical_and"), _as_bool(y, "logical_and"))


def logical_or(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether either element is non-zero."""
    return bitwise_or(_as_bool(x, "logical_or"), _as_bool(y, "logical_or"))


def logical_xor(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether exactly one element is non-zero."""
    return bitwise_xor(_as_bool(x, "logical_xor"), _as_bool(y, "logical_xor"))


def isnan(x: TensorLike) -> Tensor:
    """Whether each element is nan."""
    t = tensor_of(x, "isnan")
    return ne(t, t)


def isinf(x: TensorLike) -> Tensor:
    """Whether each element is inf or -inf."""
    t = tensor_of(x, "isinf")
    return eq(abs(t), math.inf) if t.dtype.category == 2 else ne(t, t)


def isfinite(x: TensorLike) -> Tensor:
    """Whether each element is neither nan nor infinite."""
    t = tensor_of(x, "isfinite")
    return lt(abs(t), math.inf) if t.dtype.category == 2 else eq(t, t)


def lerp(start: TensorLike, end: TensorLike, weight: TensorLike) -> Tensor:
    """start + weight * (end - start)."""
    return start + weight * (end - start)


def nan_to_num(
    x: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """x with nan, inf and -inf replaced (by 0 and the dtype's largest and smallest number); the
    derivative there is 0.
    """
    if not x.is_floating_point():
        return +x
    info = np.finfo(x.value.dtype)
    high = float(info.max) if posinf is None else posinf
    low = float(info.min) if neginf is None else neginf
    x = where(isnan(x), nan, x)
    return where(x == math.inf, high, where(x == -math.inf, low, x))


__all__ = [
    "abs",
    "acos",
    "acosh",
    "add",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "ceil",
    "clamp",
    "cos",
    "cosh",
    "div",
    "eq",
    "erf",
    "exp",
    "expm1",
    "floor",
    "floor_divide",
    "fmod",
    "ge",
    "gt",
    "isfinite",
    "isinf",
    "isnan",
    "le",
    "lerp",
    "log",
    "log1p",
    "log2",
    "log10",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "maximum",
    "minimum",
    "mul",
    "nan_to_num",
    "ne",
    "neg",
    "pow",
    "reciprocal",
    "relu",
    "remainder",
    "round",
    "rsqrt",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "sub",
    "tan",
    "tanh",
    "trunc",
    "where",
]
