"""Mathematical functions on whole vectors, as LLVM IR: one function per name, element type and
number of lanes, called from the loops that need it.

exp, log, tanh, the sigmoid, erf, sin, cos and their kin are worked out here, at most 3 units in the
last place from the truth; nan, infinities, signed zeros and denormal numbers come out as in NumPy.
What is not among them calls the C library once per lane (the last place is right there, speed is
not). Argument reduction and polynomials are those of every textbook (Muller, Elementary Functions).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Sequence

from clearprop.jit.vectorbody import MANTISSA, Body, symbol
from clearprop.jit.vectorerf import erf, erfc
from clearprop.jit.writer import TYPES

# Names of the C library, by our names; those in TWO take two arguments.
LIBRARY = {
    "tan": "tan", "asin": "asin", "acos": "acos", "atan": "atan", "asinh": "asinh",
    "acosh": "acosh", "atanh": "atanh", "pow": "pow", "atan2": "atan2", "fmod": "fmod",
}  # fmt: skip
TWO = frozenset({"pow", "atan2", "fmod", "remainder", "floor_divide"})

LN2 = {  # in two parts, of which the first has few digits
    "f32": (0.693359375, -2.12194440e-4),
    "f64": (6.93147180369123816490e-01, 1.90821492927058770002e-10),
}
LOG10_2 = {  # the same of log10(2)
    "f32": (0.30102920532226562, 7.9034151668e-07),
    "f64": (3.01029995663611771306e-01, 3.69423907715893078616e-13),
}
HALF_PI = {  # in three parts: a fused multiply-add takes each away without loss
    "f32": (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
    "f64": (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591833e-33),
}
LARGEST_ANGLE = 1e5  # beyond it, sin and cos ask the C library


def _reduced(b: Body, x: str, low: float, high: float) -> tuple[str, str]:
    """k and r with x = k ln 2 + r, |r| <= ln(2)/2, for x between low and high."""
    x = b.choose(b.is_("olt", x, low), low, x)
    x = b.choose(b.is_("ogt", x, high), high, x)
    k, whole = b.nearest(b.mul(x, 1 / math.log(2)))
    hi, lo = LN2[b.d]
    return whole, b.fma(k, -lo, b.fma(k, -hi, x))


def _series(b: Body, r: str, first: int) -> str:
    """sum of r^(n-first) / n! from n = first on: what exp needs beyond its first terms."""
    last = {"f32": 7, "f64": 13}[b.d]
    return b.polynomial(r, [1 / math.factorial(n) for n in range(first, last + 1)])


def _exp(b: Body, x: str) -> str:
    """2^k e^r; 2^k in two factors, so that neither leaves the normal numbers."""
    low, high = {"f32": (-104.0, 89.0), "f64": (-746.0, 710.0)}[b.d]
    k, r = _reduced(b, x, low, high)
    value = b.add(b.fma(b.mul(r, r), _series(b, r, 2), r), 1.0)
    half = b.integer("ashr", k, 1)
    other = b.integer("sub", k, half)
    return b.mul(b.mul(value, b.power_of_two(half)), b.power_of_two(other))


def _expm1(b: Body, x: str) -> str:
    """2 (2^(k-1) (e^r - 1) + 2^(k-1) - 1/2), which neither cancels nor overflows too early."""
    low, high = {"f32": (-40.0, 89.0), "f64": (-60.0, 710.0)}[b.d]
    k, r = _reduced(b, x, low, high)
    p = b.fma(b.mul(r, r), _series(b, r, 2), r)
    half = b.power_of_two(b.integer("sub", k, 1))
    value = b.mul(b.fma(half, p, b.sub(half, 0.5)), 2.0)
    return b.choose(b.is_("oeq", x, 0.0), x, value)  # keeps the sign of zero


def _tanh(b: Body, x: str) -> str:
    """t / (t + 2) with t = e^(2|x|) - 1, which keeps all digits near 0."""
    limit = {"f32": 10.0, "f64": 22.0}[b.d]
    a = b.abs(x)
    a = b.choose(b.is_("ogt", a, limit), limit, a)
    t = b.call("expm1", b.add(a, a))
    return b.with_sign(b.div(t, b.add(t, 2.0)), x)


def _sigmoid(b: Body, x: str) -> str:
    """e / (1 + e) or 1 / (1 + e) with e = exp(-|x|), which cannot overflow."""
    e = b.call("exp", b.op("fneg", b.abs(x)))
    above = b.choose(b.is_("olt", x, 0.0), e, 1.0)
    return b.div(above, b.add(e, 1.0))


def _split(b: Body, x: str) -> tuple[str, str]:
    """k and m with x = 2^k m, m from sqrt(1/2) to sqrt(2); denormal numbers are scaled first."""
    smallest, up = {"f32": (2.0**-126, 25), "f64": (2.0**-1022, 54)}[b.d]
    tiny = b.is_("olt", x, smallest)
    x = b.choose(tiny, b.mul(x, 2.0**up), x)
    bits = b.bits(x)
    root = math.sqrt(0.5)
    base = (
        struct.unpack("<i", struct.pack("<f", root))[0]
        if b.d == "f32"
        else (struct.unpack("<q", struct.pack("<d", root))[0])
    )
    k = b.integer("ashr", b.integer("sub", bits, base), MANTISSA[b.d])
    m = b.from_bits(b.integer("sub", bits, b.integer("shl", k, MANTISSA[b.d])))
    k = b.integer("sub", k, b.choose(tiny, up, 0, d=b.whole))
    return b.from_integer(k), m


def _log(b: Body, x: str) -> str:
    """k ln 2 + log(m)."""
    k, m = _split(b, x)
    hi, lo = LN2[b.d]
    return _as_logarithm(b, x, _log_near_one(b, m, b.mul(k, lo), b.mul(k, hi)))


def _log_near_one(b: Body, m: str, low: str | float = 0.0, high: str | float = 0.0) -> str:
    """high + (log(m) + low): with f = m - 1 and s = f / (2 + f), log(1 + f) = 2 atanh(s) =
    2s + 2s^3/3 + ..., arranged so that the large parts, f and then `high`, are added last.
    """
    f = b.sub(m, 1.0)
    s = b.div(f, b.add(f, 2.0))
    z = b.mul(s, s)
    terms = {"f32": 5, "f64": 11}[b.d]
    rest = b.mul(z, b.polynomial(z, [2 / (2 * n + 1) for n in range(1, terms + 1)]))
    half = b.mul(b.mul(f, f), 0.5)
    small = b.fma(s, b.add(half, rest), low)
    value = b.sub(f, b.sub(half, small))
    return value if high == 0.0 else b.add(high, value)


def _as_logarithm(b: Body, x: str, value: str) -> str:
    """What a logarithm is at 0, below it, at inf and nan; else the value."""
    infinite = b.is_("oeq", x, math.inf)
    value = b.choose(infinite, math.inf, value)
    value = b.choose(b.is_("oeq", x, 0.0), -math.inf, value)
    value = b.choose(b.is_("olt", x, 0.0), math.nan, value)
    return b.choose(b.is_("uno", x, x), x, value)


def _log2(b: Body, x: str) -> str:
    """k + log(m) / ln 2."""
    k, m = _split(b, x)
    return _as_logarithm(b, x, b.fma(_log_near_one(b, m), 1 / math.log(2), k))


def _log10(b: Body, x: str) -> str:
    """k log10(2) + log(m) / ln 10, the first in two parts."""
    k, m = _split(b, x)
    hi, lo = LOG10_2[b.d]
    small = b.fma(_log_near_one(b, m), 1 / math.log(10), b.mul(k, lo))
    return _as_logarithm(b, x, b.fma(k, hi, small))


def _sinh(b: Body, x: str) -> str:
    """(t + t / (t + 1)) / 2 with t = e^|x| - 1; far out (e^(|x|/2))^2 / 2."""
    a = b.abs(x)
    t = b.call("expm1", a)
    near = b.mul(b.add(t, b.div(t, b.add(t, 1.0))), 0.5)
    return b.with_sign(_unless_far(b, a, near), x)


def _cosh(b: Body, x: str) -> str:
    """(e + 1 / e) / 2 with e = e^|x|; far out (e^(|x|/2))^2 / 2."""
    a = b.abs(x)
    e = b.call("exp", a)
    return _unless_far(b, a, b.mul(b.add(e, b.div(1.0, e)), 0.5))


def _unless_far(b: Body, a: str, near: str) -> str:
    root = b.call("exp", b.mul(a, 0.5))
    return b.choose(b.is_("ogt", a, 30.0), b.mul(b.mul(root, 0.5), root), near)


def _pow_by_log(b: Body, x: str, y: str) -> str:
    """e^(y log |x|) with the sign that x and y give; too few digits for the type itself, enough for
    one with half of them.
    """
    a = b.abs(x)
    value = b.call("exp", b.mul(b.call("log", a), y))
    one = b.op("or", b.is_("oeq", y, 0.0), b.is_("oeq", x, 1.0), d="bool")
    endless = b.op("and", b.is_("oeq", a, 1.0), b.is_("oeq", b.abs(y), math.inf), d="bool")
    value = b.choose(b.op("or", one, endless, d="bool"), 1.0, value)
    half = b.mul(y, 0.5)
    whole = b.is_("oeq", b.intrinsic("rint", y), y)
    odd = b.op("and", whole, b.is_("one", b.intrinsic("rint", half), half), d="bool")
    value = b.choose(odd, b.with_sign(value, x), value)
    between = b.op("and", b.is_("olt", x, 0.0), b.is_("ogt", x, -math.inf), d="bool")
    fraction = b.op("and", between, b.is_("one", b.intrinsic("rint", y), y), d="bool")
    return b.choose(fraction, math.nan, value)


def _log1p(b: Body, x: str) -> str:
    """log(u) for u = 1 + x rounded, and what the rounding has cost."""
    u = b.add(x, 1.0)
    lost = b.div(b.sub(x, b.sub(u, 1.0)), u)
    value = b.add(b.call("log", u), lost)
    plain = b.choose(b.is_("oeq", x, math.inf), x, value)
    plain = b.choose(b.is_("oeq", x, -1.0), -math.inf, plain)
    return b.choose(b.is_("oeq", x, 0.0), x, plain)


def _wave(b: Body, x: str, shift: int) -> str:
    """sin (shift 0) or cos (1) for angles that are not large: x = n pi/2 + r, and the polynomial of
    sin or cos by the quadrant.
    """
    n, whole = b.nearest(b.mul(x, 2 / math.pi))
    whole = b.integer("add", whole, shift)
    r = x
    for part in HALF_PI[b.d]:
        r = b.fma(n, -part, r, exact=True)
    z = b.mul(r, r)
    terms = {"f32": 4, "f64": 8}[b.d]
    sines = [(-1) ** i / math.factorial(2 * i + 1) for i in range(1, terms + 1)]
    cosines = [(-1) ** i / math.factorial(2 * i) for i in range(2, terms + 2)]
    sine = b.fma(b.mul(r, z), b.polynomial(z, sines), r)
    cosine = b.add(b.fma(b.mul(z, z), b.polynomial(z, cosines), b.mul(z, -0.5)), 1.0)
    odd = b.is_("ne", b.integer("and", whole, 1), 0, d=b.whole)
    value = b.choose(odd, cosine, sine)
    negative = b.is_("ne", b.integer("and", whole, 2), 0, d=b.whole)
    return b.choose(negative, b.op("fneg", value), value)


def _remainder(b: Body, x: str, y: str) -> str:
    """fmod, moved to the sign of y."""
    r = b.call("fmod", x, y)
    wrong = b.op("and", b.is_("one", r, 0.0), _differ(b, r, y), d="bool")
    moved = b.choose(wrong, b.add(r, y), r)
    return b.choose(b.is_("oeq", r, 0.0), b.with_sign(r, y), moved)


def _differ(b: Body, x: str, y: str) -> str:
    """Whether one is negative and the other is not."""
    return b.op("xor", b.is_("olt", x, 0.0), b.is_("olt", y, 0.0), d="bool")


def _floor_divide(b: Body, x: str, y: str) -> str:
    """(x - remainder) / y, rounded to the whole number that it nearly is; x / y for y = 0."""
    r = b.call("fmod", x, y)
    q = b.div(b.sub(x, r), y)
    wrong = b.op("and", b.is_("one", r, 0.0), _differ(b, r, y), d="bool")
    q = b.choose(wrong, b.sub(q, 1.0), q)
    down = b.intrinsic("floor", q)
    down = b.choose(b.is_("ogt", b.sub(q, down), 0.5), b.add(down, 1.0), down)
    quotient = b.div(x, y)
    down = b.choose(b.is_("oeq", q, 0.0), b.with_sign(b.operand(0.0), quotient), down)
    return b.choose(b.is_("oeq", y, 0.0), quotient, down)


FORMULAS: dict[str, Callable[..., str]] = {
    "exp": _exp, "expm1": _expm1, "tanh": _tanh, "sigmoid": _sigmoid, "log": _log,
    "log1p": _log1p, "log2": _log2, "log10": _log10, "sinh": _sinh, "cosh": _cosh,
    "erf": erf, "erfc": erfc, "remainder": _remainder, "floor_divide": _floor_divide,
    "pow by log": _pow_by_log,
}  # fmt: skip
DOUBLED = {"pow": "pow by log"}  # for float32, worked out in float64
FUNCTIONS = frozenset(FORMULAS) - {"pow by log"} | frozenset(LIBRARY) | {"sin", "cos"}


def definitions(wanted: Iterable[tuple[str, str, int]]) -> tuple[str, frozenset[str]]:
    """The text of every wanted (name, element type, lanes) and of what they use, and the
    declarations that it needs.
    """
    left, done = sorted(wanted, reverse=True), {}
    declares: set[str] = set()
    while left:
        key = left.pop()
        if key in done:
            continue
        text, needs, declared = _function(*key)
        done[key] = text
        declares |= declared
        left += sorted(needs)
    return "\n".join(done.values()), frozenset(declares)


def _function(name: str, d: str, lanes: int) -> tuple[str, set[tuple[str, str, int]], set[str]]:
    k = f"<{lanes} x {TYPES[d]}>"
    given = ["%x", "%y"] if name in TWO or name == "pow by log" else ["%x"]
    head = f"define internal {k} {symbol(name, d, lanes)}({', '.join(f'{k} {a}' for a in given)})"
    if name in ("sin", "cos"):
        return _trigonometric(head, name, d, lanes)
    b = Body(d, lanes)
    if d == "f32" and name in DOUBLED:
        value = _doubled(b, DOUBLED[name], given)
    elif name in FORMULAS:
        value = FORMULAS[name](b, *given)
    else:
        value = _per_lane(b, LIBRARY[name], given)
    text = "\n".join([f"{head} noinline #0 {{", *b.lines, f"  ret {k} {value}", "}"])
    return text, b.needs, b.declares


def _doubled(b: Body, name: str, given: Sequence[str]) -> str:
    """Another function in float64, rounded once."""
    wide = b.kind("f64")
    args = [b.let(f"fpext {b.kind()} {a} to {wide}") for a in given]
    b.needs.add((name, "f64", b.lanes))
    called = f"{symbol(name, 'f64', b.lanes)}({', '.join(f'{wide} {a}' for a in args)})"
    return b.let(f"fptrunc {wide} {b.let(f'call {wide} {called}')} to {b.kind()}")


def _per_lane(b: Body, function: str, given: Sequence[str]) -> str:
    """Call the C library for one lane after the other."""
    t = TYPES[b.d]
    called = f"@{function}{'f' if b.d == 'f32' else ''}"
    b.declares.add(f"declare {t} {called}({', '.join([t] * len(given))})")
    value = "poison"
    for i in range(b.lanes):
        lanes = [b.let(f"extractelement {b.kind()} {a}, i32 {i}") for a in given]
        one = b.let(f"call {t} {called}({', '.join(f'{t} {a}' for a in lanes)})")
        value = b.let(f"insertelement {b.kind()} {value}, {t} {one}, i32 {i}")
    return value


def _trigonometric(
    head: str, name: str, d: str, lanes: int
) -> tuple[str, set[tuple[str, str, int]], set[str]]:
    """sin or cos; large angles go to the C library."""
    b = Body(d, lanes)
    k = b.kind()
    far = b.op("fcmp uge", b.abs("%x"), LARGEST_ANGLE)
    reduce = f"@llvm.vector.reduce.or.v{lanes}i1"
    b.declares.add(f"declare i1 {reduce}(<{lanes} x i1>)")
    any_far = b.let(f"call i1 {reduce}(<{lanes} x i1> {far})")
    b.lines += [f"  br i1 {any_far}, label %far, label %near", "near:"]
    value = _wave(b, "%x", int(name == "cos"))
    if name == "sin":
        value = b.choose(b.is_("oeq", "%x", 0.0), "%x", value)
    b.lines += [f"  ret {k} {value}", "far:"]
    value = _per_lane(b, name, ["%x"])
    text = "\n".join([f"{head} noinline #0 {{", *b.lines, f"  ret {k} {value}", "}"])
    return text, b.needs, b.declares
