"""Special functions: gamma and its logarithmic derivatives, the error functions and the normal
distribution, Bessel functions, and logarithms that neither overflow nor lose digits.

Kernels are SciPy's, imported when one of them is first used.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from clearprop.core import Aval, Example, Map, Opaque, Primitive, Tensor, apply, float64, primitive
from clearprop.core.deferred import special
from clearprop.errors import DtypeError, ShapeError
from clearprop.ops.broadcasting import (
    FLOATS,
    TensorLike,
    binary,
    cast,
    constant,
    get_default_dtype,
    here,
    match,
    tensor_of,
    unary,
    zeros_for,
)
from clearprop.ops.elementwise import (
    clamp,
    cos,
    exp,
    log,
    same,
    sigmoid,
    sign,
    sin,
    where,
)

_SQRT_PI = math.sqrt(math.pi)
_LIBRARY = Opaque("a kernel of SciPy", elementwise=True)


def _scipy(name: str) -> Callable[..., np.ndarray]:
    def kernel(*xs: np.ndarray) -> np.ndarray:
        return np.asarray(getattr(special, name)(*xs)).astype(xs[0].dtype, copy=False)

    return kernel


def _shapes(inputs: int, **params: Any) -> tuple[Example, ...]:
    return tuple(
        Example((Aval(shape, float64),) * inputs, params) for shape in ((), (3,), (2, 3), (0, 2))
    )


def _u(
    name: str,
    doc: str,
    eager: Callable[..., Any],
    rule: Any,
    domain: tuple[float, float] = (-2.0, 2.0),
    kinks: tuple[float, ...] = (),
    lower: Any = _LIBRARY,
) -> Primitive:
    return primitive(name, doc=doc, eager=eager, shape=same, vjp=(rule,), lower=lower, domain=domain, kinks=kinks, examples=_shapes(1))  # fmt: skip


def _b(
    name: str,
    doc: str,
    eager: Callable[..., Any],
    rules: Any,
    domain: tuple[float, float] = (-2.0, 2.0),
    lower: Any = _LIBRARY,
) -> Primitive:
    return primitive(name, doc=doc, eager=eager, shape=same, vjp=rules, lower=lower, domain=domain, examples=_shapes(2))  # fmt: skip


def _guarded(x: Tensor, bad: Tensor, f: Callable[[Tensor], Tensor], there: float) -> Tensor:
    """f(x), and a number where `bad` holds; f sees 1 there, so that no nan comes back from it."""
    one = constant(1, x.value.dtype, x.shape)
    value = f(where(bad, one, x))
    return where(bad, constant(there, x.value.dtype, x.shape), value)


def _i1_rule(g: Tensor, out: Tensor, x: Tensor) -> Tensor:
    """I1' = I0 - I1 / x, which is 1/2 at 0."""
    return g * (i0(x) - _guarded(x, x == 0, lambda x: out / x, 0.5))


def _i1e_rule(g: Tensor, out: Tensor, x: Tensor) -> Tensor:
    return g * (i0e(x) - out * sign(x) - _guarded(x, x == 0, lambda x: out / x, 0.5))


def _sinc_rule(g: Tensor, _out: Any, x: Tensor) -> Tensor:
    """(pi x cos(pi x) - sin(pi x)) / (pi x^2), which is 0 at 0."""

    def slope(x: Tensor) -> Tensor:
        angle = x * math.pi
        return (angle * cos(angle) - sin(angle)) / (angle * x)

    return g * _guarded(x, x == 0, slope, 0.0)


def _logit_rule(g: Tensor, _out: Any, x: Tensor) -> Tensor:
    outside = (x < 0) | (x > 1)
    return where(outside, constant(math.nan, x.value.dtype, x.shape), g / (x * (1 - x)))


def _polygamma(x: np.ndarray, *, n: int) -> np.ndarray:
    return np.asarray(special.polygamma(n, x)).astype(x.dtype, copy=False)


def _lgamma(x: np.ndarray) -> np.ndarray:
    y = np.asarray(special.gammaln(x))
    return np.where(x == -np.inf, np.inf, y).astype(x.dtype, copy=False)


def _sinc(x: np.ndarray) -> np.ndarray:
    return np.sinc(x) if x.dtype.itemsize > 2 else np.sinc(x.astype(np.float32)).astype(x.dtype)


def _digamma(x: np.ndarray) -> np.ndarray:
    y = np.asarray(special.digamma(x))
    return np.where(x == 0, np.copysign(np.inf, -x), y).astype(x.dtype, copy=False)


# fmt: off
LGAMMA = _u("lgamma", "log |Gamma(x)|; inf at 0, -1, -2, ...", _lgamma, lambda g, _out, x: g * digamma(x), (0.3, 3.0))
DIGAMMA = _u("digamma", "The derivative of log Gamma(x).", _digamma, lambda g, _out, x: g * polygamma(1, x), (0.3, 3.0))
POLYGAMMA = primitive("polygamma", doc="The derivative of order n of digamma(x).", eager=_polygamma, shape=same, vjp=(lambda g, _out, x, *, n: g * polygamma(n + 1, x),),
                      lower=_LIBRARY, domain=(0.5, 3.0), examples=_shapes(1, n=1) + _shapes(1, n=3)[:2])
ERFC = _u("erfc", "1 - erf(x) without cancellation for large x.", _scipy("erfc"), lambda g, _out, x: g * (-2 / _SQRT_PI) * exp(-(x * x)), lower=Map("erfc(x)"))
ERFCX = _u("erfcx", "e^(x^2) erfc(x), which does not underflow for large x.", _scipy("erfcx"), lambda g, out, x: g * (2 * x * out - 2 / _SQRT_PI))
ERFINV = _u("erfinv", "The inverse of erf on (-1, 1); inf at the ends.", _scipy("erfinv"), lambda g, out, _x: g * (_SQRT_PI / 2) * exp(out * out), (-0.8, 0.8))
NDTRI = _u("ndtri", "The quantile of the standard normal distribution: the inverse of ndtr.", _scipy("ndtri"), lambda g, out, _x: g * math.sqrt(2 * math.pi) * exp(out * out * 0.5), (0.1, 0.9))
LOG_NDTR = _u("log_ndtr", "Logarithm of the standard normal distribution function, exact far below 0.", _scipy("log_ndtr"), lambda g, _out, x: g * math.sqrt(2 / math.pi) / erfcx(x * -math.sqrt(0.5)))
I0 = _u("i0", "Modified Bessel function of the first kind, order 0.", _scipy("i0"), lambda g, _out, x: g * i1(x))
I0E = _u("i0e", "e^-|x| I0(x).", _scipy("i0e"), lambda g, out, x: g * (i1e(x) - sign(x) * out), kinks=(0.0,))
I1 = _u("i1", "Modified Bessel function of the first kind, order 1.", _scipy("i1"), _i1_rule, kinks=(0.0,))
I1E = _u("i1e", "e^-|x| I1(x).", _scipy("i1e"), _i1e_rule, kinks=(0.0,))
SINC = _u("sinc", "sin(pi x) / (pi x), and 1 at 0.", _sinc, _sinc_rule, kinks=(0.0,), lower=Opaque("a kernel of NumPy", elementwise=True))
LOGIT = _u("logit", "log(x / (1 - x)), the inverse of the sigmoid.", lambda x: np.log(x / (1 - x)), _logit_rule, (0.1, 0.9), lower=Map("log(x / (1 - x))"))
ENTR = _u("entr", "-x log x; 0 at 0 and -inf below.", _scipy("entr"), lambda g, _out, x: -g * (1 + log(x)), (0.2, 3.0),
          lower=Map("-x * log(x) if x > 0 else (1 / (max(x, -1) * 0) if x < 0 else x * 0)"))

XLOGY = _b("xlogy", "x log(y), and 0 where x is 0 (unless y is nan).", _scipy("xlogy"),
           (lambda g, _out, x, y: where((x == 0) & (y <= 0), zeros_for(g), xlogy(g, y)), lambda g, _out, x, y: g * x / y), (0.3, 2.0),
           lower=Map("y if y != y else (0 if x == 0 else x * log(y))"))
XLOG1PY = _b("xlog1py", "x log(1 + y), and 0 where x is 0 (unless y is nan).", _scipy("xlog1py"),
             (lambda g, _out, x, y: where((x == 0) & (y <= -1), zeros_for(g), xlog1py(g, y)), lambda g, _out, x, y: g * x / (y + 1)), (0.3, 2.0),
             lower=Map("y if y != y else (0 if x == 0 else x * log1p(y))"))
LOGADDEXP = _b("logaddexp", "log(e^x + e^y) without overflow.", np.logaddexp,
               (lambda g, _out, x, y: g * sigmoid(x - y), lambda g, _out, x, y: g * sigmoid(y - x)),
               lower=Map("x + 0.6931471805599453 if x == y else max(x, y) + log1p(exp(-abs(x - y)))"))
LOGADDEXP2 = _b("logaddexp2", "log2(2^x + 2^y) without overflow.", np.logaddexp2,
                (lambda g, _out, x, y: g * sigmoid((x - y) * math.log(2)), lambda g, _out, x, y: g * sigmoid((y - x) * math.log(2))),
                lower=Map("x + 1 if x == y else max(x, y) + log1p(pow(2, -abs(x - y))) * 1.4426950408889634"))
EXP2 = _u("exp2", "2^x, elementwise.", np.exp2, lambda g, out, _x: g * out * math.log(2), lower=Map("pow(2, x)"))
ZETA = _b("zeta", "Hurwitz zeta function: the sum of (q + k)^-x over k = 0, 1, ...", _scipy("zeta"), (None, lambda g, _out, x, q: g * -x * zeta(x + 1, q)), (1.5, 3.0))
GAMMAINC = _b("gammainc", "Regularised lower incomplete gamma function P(a, x); its derivative is that for x.", _scipy("gammainc"),
              (None, lambda g, _out, a, x: g * _gamma_density(a, x)), (0.5, 2.5))
GAMMAINCC = _b("gammaincc", "Regularised upper incomplete gamma function Q(a, x) = 1 - P(a, x); its derivative is that for x.", _scipy("gammaincc"),
               (None, lambda g, _out, a, x: -g * _gamma_density(a, x)), (0.5, 2.5))

lgamma, digamma, erfc, erfcx, erfinv, ndtri, log_ndtr = map(unary, (LGAMMA, DIGAMMA, ERFC, ERFCX, ERFINV, NDTRI, LOG_NDTR))
i0, i0e, i1, i1e, sinc, entr, exp2 = map(unary, (I0, I0E, I1, I1E, SINC, ENTR, EXP2))
xlogy, xlog1py = binary(XLOGY, FLOATS), binary(XLOG1PY, FLOATS)
_logaddexp, _logaddexp2, _logit = binary(LOGADDEXP), binary(LOGADDEXP2), unary(LOGIT)
# fmt: on


def _of_second(prim: Primitive) -> Callable[[TensorLike, TensorLike], Tensor]:
    """The function of an entry that has a rule for its second input only."""

    def op(x: TensorLike, y: TensorLike) -> Tensor:
        return apply(prim, *match(prim.name, x, y, floating=True))

    op.__name__ = op.__qualname__ = prim.name
    op.__doc__ = prim.doc
    return op


zeta, gammainc, gammaincc = map(_of_second, (ZETA, GAMMAINC, GAMMAINCC))
igamma, igammac = gammainc, gammaincc


def _gamma_density(a: Tensor, x: Tensor) -> Tensor:
    """x^(a-1) e^-x / Gamma(a)."""
    return exp(xlogy(a - 1, x) - x - lgamma(a))


def _of_floats(name: str, op: Callable[..., Tensor]) -> Callable[[TensorLike, TensorLike], Tensor]:
    def checked(x: TensorLike, y: TensorLike) -> Tensor:
        a, b = match(name, x, y)
        if not a.is_floating_point():
            raise NotImplementedError(
                f'{name}: "{name}_cpu" not implemented for {a.dtype!r}; use x.float(){here()}'
            )
        return op(a, b)

    checked.__name__ = checked.__qualname__ = name
    checked.__doc__ = op.__doc__
    return checked


logaddexp = _of_floats("logaddexp", _logaddexp)
logaddexp2 = _of_floats("logaddexp2", _logaddexp2)


def polygamma(n: int, x: TensorLike) -> Tensor:
    """The derivative of order n of digamma(x); n = 0 is digamma itself.

    >>> import clearprop as cp
    >>> cp.polygamma(1, cp.tensor([1.0]))
    tensor([1.6449])
    """
    if isinstance(n, Tensor):  # the method: x.polygamma(n)
        n, x = x, n
    if n < 0:
        raise DtypeError(f"polygamma: polygamma(n, x) does not support negative n, got {n}{here()}")
    t = tensor_of(x, "polygamma")
    t = t if t.is_floating_point() else cast(t, get_default_dtype())
    return digamma(t) if n == 0 else apply(POLYGAMMA, t, n=int(n))


def mvlgamma(x: Tensor, p: int) -> Tensor:
    """Logarithm of the multivariate gamma function of dimension p, for x > (p - 1) / 2."""
    if p < 1:
        raise ShapeError(f"mvlgamma: p has to be greater than or equal to 1, got {p}{here()}")
    t = tensor_of(x, "mvlgamma")
    t = t if t.is_floating_point() else cast(t, get_default_dtype())
    total: Tensor | float = p * (p - 1) / 4 * math.log(math.pi)
    for j in range(p):
        total = lgamma(t - j / 2) + total
    assert isinstance(total, Tensor)
    return total


def logit(x: TensorLike, eps: float | None = None) -> Tensor:
    """log(x / (1 - x)), the inverse of the sigmoid; `eps` limits x to [eps, 1 - eps] first."""
    return _logit(x) if eps is None else _logit(clamp(x, eps, 1 - eps))


def ndtr(x: TensorLike) -> Tensor:
    """The standard normal distribution function: (1 + erf(x / sqrt 2)) / 2, exact far below 0."""
    return erfc(tensor_of(x, "ndtr") * -math.sqrt(0.5)) * 0.5


__all__ = [
    "digamma", "erfc", "erfinv", "exp2", "i0", "igamma", "igammac", "lgamma", "logaddexp", "logaddexp2", "logit",
    "mvlgamma", "polygamma", "sinc", "xlogy",
]  # fmt: skip
