"""erf and erfc on vectors, at most 3 units in the last place off.

Near 0 the series of erf; beyond, erfc(x) = e^(-x^2) c(x), where (1 + 2x) c(x) changes so little
from x = 1/2 to infinity that it is a polynomial of (x - k) / (x + k). Its coefficients are those of
its interpolation at Chebyshev's points.
"""

from __future__ import annotations

import math

from clearprop.jit.vectorbody import Body

NEAR = 0.65  # below, the series
MIDDLE = {"f32": 2.0, "f64": 4.0}  # k
LIMIT = {"f32": 10.5, "f64": 28.0}  # erfc is 0 from here on
TERMS = {"f32": 9, "f64": 16}  # of the series

# fmt: off
SCALED = {
    "f32": (
        1.2769783853841046, -0.0927637742376829, -0.166030866213278, 0.16404907687180137,
        -0.054210678741565946, -0.008008683739866419, 0.008656598605392234,
        0.0011565466210759112, -0.0012620418752922096, -0.00023680550600600972,
    ),
    "f64": (
        1.2329951186255526, -0.1396211168405617, 0.015379652102613774, 0.06809705425458933,
        -0.10103906603592769, 0.09373283500222312, -0.06633036582140676, 0.037167515470726,
        -0.016197733944029166, 0.005031970612411554, -0.000757774099651955,
        -0.00019926033302651136, 0.0001506252219869447, -2.4386066266774298e-05,
        -1.1231777929204e-05, 5.67948456652355e-06, 3.10526911424026e-07, -7.821396517616574e-07,
        5.759411534736255e-08, 7.427081288975042e-08, -8.785954885552924e-09,
    ),
}
# log(erfc(x)) from 0.6 to 4, by least squares of erfc's error: for float32, where erf needs no more
LOGARITHM = (
    7.743605597987369e-05, -1.1289909293464098, -0.6345296622690808, -0.10683298511826231,
    0.024084529231479575, -0.0037390073191874065, 0.0003370564018306158, -1.1952867454473868e-05,
)
# fmt: on


def erf(b: Body, x: str) -> str:
    """The series near 0, 1 - erfc(|x|) with the sign of x beyond."""
    a = b.abs(x)
    if b.d == "f32":  # no divisions
        a = b.choose(b.is_("ogt", a, 4.0), 4.0, a)
        rest = b.call("exp", b.polynomial(a, LOGARITHM))
    else:
        rest = _tail(b, a)
    far = b.with_sign(b.sub(1.0, rest), x)
    return b.choose(b.is_("olt", a, NEAR), _series(b, x), far)


def erfc(b: Body, x: str) -> str:
    """1 - erf(x) near 0, 2 - erfc(-x) below."""
    a = b.abs(x)
    far = _tail(b, a)
    far = b.choose(b.is_("olt", x, 0.0), b.sub(2.0, far), far)
    return b.choose(b.is_("olt", a, 0.5), b.sub(1.0, _series(b, x)), far)


def _series(b: Body, x: str) -> str:
    """2/sqrt(pi) sum of (-1)^n x^(2n+1) / (n! (2n+1))."""
    scale = 2 / math.sqrt(math.pi)
    terms = range(1, TERMS[b.d])
    rest = [scale * (-1) ** n / (math.factorial(n) * (2 * n + 1)) for n in terms]
    z = b.mul(x, x)
    # x + x (scale - 1 + ...): the large part is exact
    return b.fma(x, b.fma(z, b.polynomial(z, rest), scale - 1), x)


def _tail(b: Body, a: str) -> str:
    """erfc for a from 1/2 on. What rounding takes away on the way is put back."""
    a = b.choose(b.is_("ogt", a, LIMIT[b.d]), LIMIT[b.d], a)
    k = MIDDLE[b.d]
    first, *rest = SCALED[b.d]
    u = b.div(b.sub(a, k), b.add(a, k))
    change = b.mul(u, b.polynomial(u, rest))
    value = b.add(change, first)
    missing = b.sub(change, b.sub(value, first))
    twice = b.add(a, a)
    below = b.add(twice, 1.0)
    more = b.sub(1.0, b.sub(below, twice))
    quotient = b.div(value, below)
    left = b.fma(b.op("fneg", quotient), below, value, exact=True)
    left = b.div(b.sub(b.add(left, missing), b.mul(quotient, more)), below)
    square = b.mul(a, a)
    lost = b.fma(a, a, b.op("fneg", square), exact=True)
    left = b.sub(left, b.mul(quotient, lost))
    e = b.call("exp", b.op("fneg", square))
    return b.abs(b.fma(e, left, b.mul(e, quotient)))  # where it underflows, -0 else
