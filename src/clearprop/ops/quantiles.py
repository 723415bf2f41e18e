"""Quantile functions of distributions, from which samples are made: a uniform number goes in, so
what is random stays an input of the graph, and the derivative of a sample for a parameter is that
of its quantile (implicit reparameterisation, Figurnov et al. 2018).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from clearprop.core import LEADING, Aval, Example, Opaque, Tensor, apply, float64, primitive
from clearprop.core.deferred import special
from clearprop.errors import AutogradError
from clearprop.ops import elementwise as ew
from clearprop.ops.broadcasting import here
from clearprop.ops.special import digamma, polygamma

_LIBRARY = Opaque("calls SciPy")
_DIGITS = 1e-16


# ---------------------------------------------------------------------- the gamma distribution
def _gamma_quantile(a: np.ndarray, u: np.ndarray) -> np.ndarray:
    wide, p = a.astype(np.float64), u.astype(np.float64)
    out = np.empty(wide.shape)
    low = p < 0.5
    with np.errstate(all="ignore"):
        out[low] = special.gammaincinv(wide[low], p[low])
        out[~low] = special.gammainccinv(wide[~low], 1 - p[~low])  # more digits above the median
    return out.astype(a.dtype)


def _slope(a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dx/da at a fixed P(a, x), in float64."""
    a, x = np.broadcast_arrays(a.astype(np.float64), x.astype(np.float64))
    out = np.empty(a.shape)
    with np.errstate(all="ignore"):
        far = a > 200
        below = ~far & (x <= a + 1)
        above = ~far & ~below
        for mask, f in ((below, _by_series), (above, _by_fraction), (far, _by_differences)):
            if mask.any():
                out[mask] = f(a[mask], x[mask])
    return out


def _by_series(a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """-P_a / p from P = sum of x^(a+n) e^-x / Gamma(a+n+1): all terms of one sign for x <= a."""
    logarithm, psi = np.log(x), special.digamma(a + 1)
    term = x / a
    total = term * (psi - logarithm)
    n = 0
    while n < 10_000:
        n += 1
        psi = psi + 1 / (a + n)
        term = term * x / (a + n)
        step = term * (psi - logarithm)
        total += step
        if not (np.abs(step) > _DIGITS * np.abs(total)).any():
            break
    return np.where(x > 0, total, 0.0)


def _by_fraction(a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Q_a / p from Legendre's continued fraction of Q / p / x, and its derivative for a (Lentz)."""
    b = x + 1 - a
    tiny = 1e-300
    # value and derivative for a of c, d and of the fraction h
    c, dc = np.full_like(x, 1 / tiny), np.zeros_like(x)
    d = 1 / b
    dd = d * d  # d(1/b)/da with db/da = -1
    h, dh = d.copy(), dd.copy()
    for i in range(1, 10_000):
        k, dk = -i * (i - a), float(i)
        b = b + 2
        low, dlow = k * d + b, dk * d + k * dd - 1
        c, dc = b + k / c, dk / c - k * dc / (c * c) - 1
        d = 1 / low
        dd = -d * d * dlow
        step, dstep = c * d, dc * d + c * dd
        dh = dh * step + h * dstep
        h = h * step
        if (
            not (np.abs(step - 1) > _DIGITS * 4).any()
            and not (np.abs(h * dstep) > 1e-15 * np.abs(dh)).any()
        ):
            break
    return x * (h * (np.log(x) - special.digamma(a)) + dh)


def _by_differences(a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Central differences of order four of the quantile itself, which is smooth for large a."""
    lower, upper = special.gammainc(a, x), special.gammaincc(a, x)
    left = lower < upper

    def at(t: np.ndarray) -> np.ndarray:
        return np.where(left, special.gammaincinv(t, lower), special.gammainccinv(t, upper))

    h = 3e-4 * a
    near, away = at(a + h) - at(a - h), at(a + 2 * h) - at(a - 2 * h)
    found = (8 * near - away) / (12 * h)
    # so far out that P or Q underflows: x grows like its standard score does
    z = (x - a) / np.sqrt(a)
    return np.where(np.isfinite(found) & (found > 0), found, 1 + z / (2 * np.sqrt(a)))


def _slope_of_order(a: np.ndarray, x: np.ndarray, *, order: int) -> np.ndarray:
    """d^order/da^order of the slope at a fixed x: central differences of order four."""
    if not order:
        return _slope(a, x).astype(a.dtype)
    if order > 2:
        raise AutogradError(
            "gamma_quantile: a gamma sample has three derivatives for its concentration, a fourth"
            f" one was asked for{here()}"
        )
    wide, y = a.astype(np.float64), x.astype(np.float64)
    h = (2e-3 if order == 1 else 6e-3) * np.minimum(wide, 1 + np.sqrt(wide))
    low, high = _slope(wide - h, y), _slope(wide + h, y)
    lower, higher = _slope(wide - 2 * h, y), _slope(wide + 2 * h, y)
    if order == 1:
        found = (8 * (high - low) - (higher - lower)) / (12 * h)
    else:
        middle = _slope(wide, y)
        found = (16 * (high + low) - (higher + lower) - 30 * middle) / (12 * h * h)
    return found.astype(a.dtype)


def _slope_for_x(g: Tensor, out: Tensor, a: Tensor, x: Tensor, *, order: int) -> Tensor:
    """From d(slope)/dx = digamma(a) - log(x) - slope ((a - 1) / x - 1), differentiated for a."""
    start = polygamma(order, a) if order else digamma(a) - ew.log(x)
    found = start - out * ((a - 1) / x - 1)
    if order:
        found = found - order * apply(GAMMA_SLOPE, a, x, order=order - 1) / x
    return g * found


GAMMA_SLOPE = primitive(
    "gamma_slope",
    doc="dx/da of a gamma quantile x(a, u) at a fixed u, from a and x; or derivatives of it for a.",
    eager=_slope_of_order,
    shape=lambda a, x, *, order: a,
    vjp=(
        lambda g, _out, a, x, *, order: g * apply(GAMMA_SLOPE, a, x, order=order + 1),
        _slope_for_x,
    ),
    lower=_LIBRARY,
    batch=LEADING,
    domain=(0.4, 3.0),
    examples=(Example((Aval((2, 3), float64), Aval((2, 3), float64)), {"order": 0}),),
)

GAMMA_QUANTILE = primitive(
    "gamma_quantile",
    doc="The x below which a gamma variable of shape a and rate 1 is with probability u.",
    eager=_gamma_quantile,
    shape=lambda a, u: a,
    vjp=(lambda g, out, a, _u: g * apply(GAMMA_SLOPE, a, out, order=0), None),
    lower=_LIBRARY,
    batch=LEADING,
    domain=(0.5, 4.0),
    examples=(
        Example((Aval((4,), float64),) * 2, {}, (None, np.array([0.1, 0.4, 0.7, 0.95]))),
        Example((Aval((2, 1), float64),) * 2, {}, (None, np.array([[0.3], [0.6]]))),
    ),
)


# ---------------------------------------------------------------------- discrete ones
_SMALL = 50.0  # expected counts up to here are found by adding up probabilities


def _corrected(k: np.ndarray, u: np.ndarray, below: Any) -> np.ndarray:
    """The least integer whose distribution function reaches u, near k (which is rounded)."""
    k = np.ceil(k)
    less = np.maximum(k - 1, 0)
    k = np.where(below(less) >= u, less, k)
    return np.where(below(k) < u, k + 1, k)


def _counted(first: np.ndarray, u: np.ndarray, most: float, ratio: Any) -> np.ndarray:
    """The least k at which the probabilities first, first * ratio(0), ... add up to u."""
    p, total, k = first, first.copy(), np.zeros(u.shape)
    for i in range(int(most + 12 * np.sqrt(most) + 30)):
        short = total < u
        if not short.any():
            break
        k += short
        p = p * ratio(i)
        total = total + p
    return k


def _poisson_quantile(rate: np.ndarray, u: np.ndarray) -> np.ndarray:
    m, p = np.broadcast_arrays(rate.astype(np.float64), u.astype(np.float64))
    out = np.empty(m.shape)
    few = m <= _SMALL
    with np.errstate(all="ignore"):
        if few.any():
            n = m[few]
            out[few] = _counted(np.exp(-n), p[few], n.max(), lambda i: n / (i + 1))
        if not few.all():
            n, v = m[~few], p[~few]
            out[~few] = _corrected(special.pdtrik(v, n), v, lambda k: special.pdtr(k, n))
    return np.maximum(out, 0).astype(rate.dtype)


def _binomial_quantile(n: np.ndarray, p: np.ndarray, u: np.ndarray) -> np.ndarray:
    count, chance, level = np.broadcast_arrays(n.astype(np.int64), p, u)
    chance, level = chance.astype(np.float64), level.astype(np.float64)
    often = chance > 0.5  # count what comes seldom
    q, v = np.where(often, 1 - chance, chance), np.where(often, 1 - level, level)
    out = np.empty(q.shape)
    few = count <= 4 * _SMALL
    with np.errstate(all="ignore"):
        if few.any():
            c, odds = count[few], q[few] / (1 - q[few])
            start = (1 - q[few]) ** c
            most = float((c * q[few]).max())
            out[few] = _counted(start, v[few], most, lambda i: (c - i) / (i + 1) * odds)
        if not few.all():
            c, r, w = count[~few], q[~few], v[~few]
            k = special.bdtrik(w, c.astype(np.float64), r)
            k = np.where(np.isfinite(k), k, 0)
            below = lambda k: np.where(k >= c, 1, special.bdtr(k, c, r))
            out[~few] = _corrected(k, w, below)
    out = np.clip(out, 0, count)
    return np.where(often, count - out, out).astype(n.dtype)


POISSON_QUANTILE = primitive(
    "poisson_quantile",
    doc="The least count that a Poisson variable of this rate does not exceed with probability u.",
    eager=_poisson_quantile,
    shape=lambda rate, u: rate,
    vjp=(None, None),
    lower=_LIBRARY,
    batch=LEADING,
    domain=(0.1, 0.9),
    examples=(Example((Aval((2, 3), float64), Aval((2, 3), float64))),),
)

BINOMIAL_QUANTILE = primitive(
    "binomial_quantile",
    doc="The number of successes of n trials that a uniform number u stands for.",
    eager=_binomial_quantile,
    shape=lambda n, p, u: n,
    vjp=(None, None, None),
    lower=_LIBRARY,
    batch=LEADING,
    domain=(0.1, 0.9),
    examples=(Example((Aval((3,), float64),) * 3, {}, (np.array([1.0, 5, 40]), None, None)),),
)
