"""More elementwise ops: parts and signs of numbers, units, whole-number and bit arithmetic, and
comparisons within a tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from clearprop.core import (
    Aval,
    Example,
    Opaque,
    Primitive,
    Tensor,
    apply1,
    apply2,
    bool_,
    float64,
    get_default_dtype,
    int32,
    int64,
    primitive,
)
from clearprop.errors import DtypeError, UnsupportedDtypeError
from clearprop.ops import elementwise as ew
from clearprop.ops import reductions
from clearprop.ops.broadcasting import (
    FLOATS,
    TensorLike,
    binary,
    cast,
    constant,
    here,
    match,
    need_tensors,
    scaled,
    tensor_of,
    zeros_for,
)
from clearprop.ops.elementwise import same, truth, where
from clearprop.ops.out import takes_out

_NUMPY = Opaque("a kernel of NumPy", elementwise=True)
_SHAPES = ((), (3,), (2, 3), (0, 2))


def _entry(
    name: str, doc: str, eager: Callable[..., Any], rules: Any, shape: Any = same, d: Any = float64
) -> Primitive:
    examples = tuple(Example((Aval(s, d),) * len(rules)) for s in _SHAPES)
    return primitive(name, doc=doc, eager=eager, shape=shape, vjp=rules, lower=_NUMPY, domain=(0.3, 2.0), examples=examples)  # fmt: skip


def _copysign_rule(g: Tensor, out: Tensor, x: Tensor, _y: Any) -> Tensor:
    return g * ew.sign(x) * ew.sign(out)  # 0 at 0


def _exponent(x: np.ndarray) -> np.ndarray:
    return np.frexp(x)[1].astype(np.int32)


# fmt: off
HYPOT = _entry("hypot", "sqrt(x^2 + y^2) without overflow.", np.hypot, (lambda g, out, x, _y: g * (x / out), lambda g, out, _x, y: g * (y / out)))
COPYSIGN = _entry("copysign", "|x| with the sign of y; the derivative at x = 0 is 0.", np.copysign, (_copysign_rule, lambda g, _out, _x, _y: zeros_for(g)))
SIGNBIT = _entry("signbit", "Whether the sign bit is set: below 0, or -0.0.", np.signbit, (None,), truth)
NEXTAFTER = _entry("nextafter", "The next representable number from x towards y.", np.nextafter, (None, None))
MANTISSA = _entry("mantissa", "m of x = m 2^e with 1/2 <= |m| < 1.", lambda x: np.frexp(x)[0], (lambda g, _out, x: g * ew.pow(2.0, cast(-apply1(EXPONENT, x), g.dtype)),))
EXPONENT = _entry("exponent", "e of x = m 2^e with 1/2 <= |m| < 1.", _exponent, (None,), lambda x: Aval(x.shape, int32))
GCD = _entry("gcd", "Greatest common divisor.", np.gcd, (None, None), d=int64)
LCM = _entry("lcm", "Least common multiple.", np.lcm, (None, None), d=int64)
LEFT_SHIFT = _entry("bitwise_left_shift", "x shifted left by y bits.", np.left_shift, (None, None), d=int64)
RIGHT_SHIFT = _entry("bitwise_right_shift", "x shifted right by y bits; the sign stays.", np.right_shift, (None, None), d=int64)
# fmt: on

copysign = binary(COPYSIGN, FLOATS)


def _needing(prim: Primitive, category: int) -> Callable[[TensorLike, TensorLike], Tensor]:
    """The function of an entry that takes floats only (category 2), or integers only (1)."""
    name = prim.name

    def op(x: TensorLike, y: TensorLike) -> Tensor:
        a, b = match(name, x, y)
        if a.dtype.category != category:
            raise UnsupportedDtypeError(
                f'{name}: "{name}_cpu" not implemented for {a.dtype!r}; it wants'
                f" {'floating-point' if category == 2 else 'integer'} tensors{here()}"
            )
        return apply2(prim, a, b)

    op.__name__ = op.__qualname__ = name
    op.__doc__ = prim.doc
    return takes_out(op)


hypot, nextafter = _needing(HYPOT, 2), _needing(NEXTAFTER, 2)
gcd, lcm = _needing(GCD, 1), _needing(LCM, 1)
bitwise_left_shift, bitwise_right_shift = _needing(LEFT_SHIFT, 1), _needing(RIGHT_SHIFT, 1)


# ---------------------------------------------------------------------- parts and signs
@takes_out
def frac(x: Tensor) -> Tensor:
    """The fractional part x - trunc(x), with the sign of x; the derivative is 1."""
    if not x.is_floating_point():
        raise UnsupportedDtypeError(f'frac: "frac_cpu" not implemented for {x.dtype!r}{here()}')
    return x - ew.trunc(x)


class Frexp(NamedTuple):
    """(mantissa, exponent), as `frexp` gives them."""

    mantissa: Tensor
    exponent: Tensor


@takes_out
def frexp(x: Tensor) -> Frexp:
    """x = mantissa * 2^exponent with 1/2 <= |mantissa| < 1; the exponents are int32."""
    if not x.is_floating_point():
        raise UnsupportedDtypeError(
            f"frexp: frexp() only supports floating-point dtypes, got {x.aval}{here()}"
        )
    return Frexp(apply1(MANTISSA, x), apply1(EXPONENT, x))


@takes_out
def ldexp(x: TensorLike, other: TensorLike) -> Tensor:
    """x * 2^other."""
    base: Any = 2.0
    if isinstance(x, Tensor) and x.is_floating_point():
        base = constant(2, x.value.dtype, ())
        if isinstance(other, Tensor) and not other.is_floating_point():
            other = cast(other, x.dtype)
    return ew.mul(x, ew.pow(base, other))


@takes_out
def sgn(x: TensorLike) -> Tensor:
    """-1, 0 or 1: the sign (of real numbers, the same as `sign`)."""
    return ew.sign(x)


@takes_out
def signbit(x: Tensor) -> Tensor:
    """Whether the sign bit is set: below 0, or -0.0."""
    return apply1(SIGNBIT, x) if x.is_floating_point() else ew.lt(x, 0)


@takes_out
def heaviside(x: TensorLike, values: TensorLike) -> Tensor:
    """0 below 0, 1 above, `values` at 0; nan gives 0."""
    need_tensors("heaviside", x, values)
    if x.dtype is not values.dtype:
        raise DtypeError(
            "heaviside: heaviside is not yet implemented for tensors with different dtypes, got"
            f" {x.aval} and {values.aval}{here()}"
        )
    x, values = match("heaviside", x.detach(), values)
    return where(x == 0, values, cast(x > 0, values.dtype))


@takes_out
def angle(x: TensorLike) -> Tensor:
    """0 for numbers from 0 on, pi below, nan for nan; the derivative is 0."""
    t = tensor_of(x, "angle")
    t = t if t.is_floating_point() else cast(t, get_default_dtype())
    below = where(t < 0, constant(math.pi, t.value.dtype, t.shape), zeros_for(t))
    return where(ew.isnan(t), t * 0, below)


def positive(x: Tensor) -> Tensor:
    """x itself."""
    if x.dtype is bool_:
        raise DtypeError(f"positive: The `+` operator, on a bool tensor is not supported.{here()}")
    return x


def real(x: Tensor) -> Tensor:
    """x itself: all tensors are real."""
    return x


def conj(x: Tensor) -> Tensor:
    """x itself: all tensors are real."""
    return x


# ---------------------------------------------------------------------- arithmetic
def _floating(x: TensorLike, op: str) -> Tensor:
    t = tensor_of(x, op)
    return t if t.is_floating_point() else cast(t, get_default_dtype())


@takes_out
def deg2rad(x: TensorLike) -> Tensor:
    """Degrees as radians: x pi / 180."""
    return _floating(x, "deg2rad") * (math.pi / 180)


@takes_out
def rad2deg(x: TensorLike) -> Tensor:
    """Radians as degrees: x 180 / pi."""
    return _floating(x, "rad2deg") * (180 / math.pi)


@takes_out
def float_power(x: TensorLike, exponent: TensorLike) -> Tensor:
    """x to the power `exponent`, in double precision."""
    a = cast(x, float64) if isinstance(x, Tensor) else float(x)
    b = cast(exponent, float64) if isinstance(exponent, Tensor) else float(exponent)
    if not isinstance(b, Tensor) and b == 2:
        return ew.pow(a, 2.0)
    return ew.pow(a, b)


def rsub(x: Tensor, other: TensorLike, *, alpha: float = 1) -> Tensor:
    """other - alpha * x."""
    return ew.sub(other, x if alpha == 1 else scaled("sub", other, x, alpha))


def _parted(name: str, doc: str, keeps: Any) -> Callable[[TensorLike, TensorLike], Tensor]:
    """fmax and fmin: maximum and minimum that prefer a number to nan."""

    def op(x: Tensor, y: Tensor) -> Tensor:
        need_tensors(name, x, y)
        a, b = match(name, x, y)
        first = keeps(a, b)
        return where(first | ew.isnan(b) if a.is_floating_point() else first, a, b)

    op.__name__ = op.__qualname__ = name
    op.__doc__ = doc
    return takes_out(op)


fmax = _parted("fmax", "The larger of x and y, the number where one is nan; x at a tie.", ew.ge)
fmin = _parted("fmin", "The smaller of x and y, the number where one is nan; x at a tie.", ew.le)


@takes_out
def clamp_min(x: Tensor, min: TensorLike) -> Tensor:
    """x limited from below: clamp(x, min=min)."""
    return ew.clamp(x, min)


@takes_out
def clamp_max(x: Tensor, max: TensorLike) -> Tensor:
    """x limited from above: clamp(x, max=max)."""
    return ew.clamp(x, None, max)


# ---------------------------------------------------------------------- comparisons
def isclose(
    x: Tensor, y: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Whether |x - y| <= atol + rtol |y|, elementwise; infinities are close if they are equal."""
    need_tensors("isclose", x, y)
    _one_type("isclose", x, y)
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise DtypeError(
                f"isclose: {name} must be greater than or equal to zero, but got {value}{here()}"
            )
    a, b = match("isclose", x.detach(), y.detach())
    close = ew.eq(a, b)
    if equal_nan and a.is_floating_point():
        close = close | (ew.isnan(a) & ew.isnan(b))
    if not rtol and not atol:
        return close
    if not a.is_floating_point():
        a, b = cast(a, float64), cast(b, float64)
    error = ew.abs(a - b)
    return close | (ew.isfinite(error) & ew.le(error, ew.abs(b) * rtol + atol))


def _one_type(op: str, x: Tensor, y: Tensor) -> None:
    if x.dtype is not y.dtype:
        raise DtypeError(
            f"{op}: {x.dtype.name.capitalize()} did not match {y.dtype.name.capitalize()}: x is"
            f" {x.aval}, y is {y.aval}; convert one with .to(...){here()}"
        )


def allclose(
    x: Tensor, y: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether |x - y| <= atol + rtol |y| everywhere."""
    return bool(reductions.all(isclose(x, y, rtol, atol, equal_nan)))


def equal(x: Tensor, y: Tensor) -> bool:
    """Whether x and y have the same shape and elements (nan equals nothing)."""
    need_tensors("equal", x, y)
    return x.shape == y.shape and bool(
        np.array_equal(x.detach().array("equal()"), y.detach().array("equal()"))
    )


@takes_out
def isposinf(x: TensorLike) -> Tensor:
    """Whether each element is inf."""
    t = tensor_of(x, "isposinf")
    return ew.eq(t, math.inf) if t.is_floating_point() else ew.ne(t, t)


@takes_out
def isneginf(x: TensorLike) -> Tensor:
    """Whether each element is -inf."""
    t = tensor_of(x, "isneginf")
    return ew.eq(t, -math.inf) if t.is_floating_point() else ew.ne(t, t)


def isreal(x: Tensor) -> Tensor:
    """True everywhere: all tensors are real."""
    return constant(True, bool_.np, x.shape)


__all__ = [
    "allclose", "angle", "bitwise_left_shift", "bitwise_right_shift", "clamp_max", "clamp_min",
    "conj", "copysign", "deg2rad", "equal", "float_power", "fmax", "fmin", "frac", "frexp", "gcd",
    "heaviside", "hypot", "isclose", "isneginf", "isposinf", "isreal", "lcm", "ldexp",
    "nextafter", "positive", "rad2deg", "real", "rsub", "sgn", "signbit",
]  # fmt: skip
