"""Mathematical functions on whole vectors, as LLVM IR: one function per name, element type and
number of lanes, called from the loops that need it.

exp, log, tanh, the sigmoid, sin, cos and their kin are worked out here, at most 3 units in the last
place from the truth; nan, infinities, signed zeros and denormal numbers come out as in NumPy. What
is not among them calls the C library once per lane (the last place is right there, speed is not).
Argument reduction and polynomials are those of every textbook (Muller, Elementary Functions).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Sequence

from clearprop.jit.writer import TYPES, splat

# Names of the C library, by our names; those in TWO take two arguments.
LIBRARY = {
    "log2": "log2", "log10": "log10", "tan": "tan", "asin": "asin", "acos": "acos",
    "atan": "atan", "sinh": "sinh", "cosh": "cosh", "asinh": "asinh", "acosh": "acosh",
    "atanh": "atanh", "erf": "erf", "pow": "pow", "atan2": "atan2", "fmod": "fmod",
}  # fmt: skip
TWO = frozenset({"pow", "atan2", "fmod", "remainder", "floor_divide"})

LN2 = {  # in two parts, of which the first has few digits
    "f32": (0.693359375, -2.12194440e-4),
    "f64": (6.93147180369123816490e-01, 1.90821492927058770002e-10),
}
HALF_PI = {  # in three parts: a fused multiply-add takes each away without loss
    "f32": (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
    "f64": (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591833e-33),
}
MANTISSA = {"f32": 23, "f64": 52}
LARGEST_ANGLE = 1e5  # beyond it, sin and cos ask the C library


def symbol(name: str, d: str, lanes: int) -> str:
    """The name of a function in IR."""
    return f"@cp.{name}.{d}x{lanes}"


class Body:
    """The instructions of one function; operands are names or numbers."""

    def __init__(self, d: str, lanes: int) -> None:
        self.d, self.lanes = d, lanes
        self.lines: list[str] = []
        self.declares: set[str] = set()
        self.needs: set[tuple[str, str, int]] = set()
        self.n = 0
        self.whole = {"f32": "i32", "f64": "i64"}[d]

    def kind(self, d: str | None = None) -> str:
        return f"<{self.lanes} x {TYPES[d or self.d]}>"

    def let(self, text: str) -> str:
        self.n += 1
        self.lines.append(f"  %v{self.n} = {text}")
        return f"%v{self.n}"

    def operand(self, x: str | float, d: str | None = None) -> str:
        return x if isinstance(x, str) else splat(x, d or self.d, self.lanes)

    def op(self, word: str, *args: str | float, d: str | None = None) -> str:
        parts = ", ".join(self.operand(a, d) for a in args)
        return self.let(f"{word} {self.kind(d)} {parts}")

    def add(self, a: str | float, b: str | float) -> str:
        return self.op("fadd", a, b)

    def sub(self, a: str | float, b: str | float) -> str:
        return self.op("fsub", a, b)

    def mul(self, a: str | float, b: str | float) -> str:
        return self.op("fmul", a, b)

    def div(self, a: str | float, b: str | float) -> str:
        return self.op("fdiv", a, b)

    def is_(self, how: str, a: str | float, b: str | float, d: str | None = None) -> str:
        word = "fcmp" if (d or self.d) in ("f32", "f64") else "icmp"
        return self.op(f"{word} {how}", a, b, d=d)

    def choose(self, c: str, a: str | float, b: str | float, d: str | None = None) -> str:
        k = self.kind(d)
        return self.let(
            f"select <{self.lanes} x i1> {c}, {k} {self.operand(a, d)}, {k} {self.operand(b, d)}"
        )

    def intrinsic(self, name: str, *args: str | float) -> str:
        function = f"@llvm.{name}.v{self.lanes}{self.d}"
        k = self.kind()
        self.declares.add(f"declare {k} {function}({', '.join([k] * len(args))})")
        given = ", ".join(f"{k} {self.operand(a)}" for a in args)
        return self.let(f"call {k} {function}({given})")

    def fma(self, a: str | float, b: str | float, c: str | float, *, exact: bool = False) -> str:
        """a * b + c, rounded once where the processor can; always with `exact`."""
        return self.intrinsic("fma" if exact else "fmuladd", a, b, c)

    def abs(self, x: str) -> str:
        return self.intrinsic("fabs", x)

    def with_sign(self, x: str, sign: str) -> str:
        return self.intrinsic("copysign", x, sign)

    def bits(self, x: str) -> str:
        return self.let(f"bitcast {self.kind()} {x} to {self.kind(self.whole)}")

    def from_bits(self, x: str) -> str:
        return self.let(f"bitcast {self.kind(self.whole)} {x} to {self.kind()}")

    def integer(self, word: str, a: str | float, b: str | float) -> str:
        return self.op(word, a, b, d=self.whole)

    def from_integer(self, x: str) -> str:
        return self.let(f"sitofp {self.kind(self.whole)} {x} to {self.kind()}")

    def call(self, name: str, *args: str) -> str:
        self.needs.add((name, self.d, self.lanes))
        given = ", ".join(f"{self.kind()} {a}" for a in args)
        return self.let(f"call {self.kind()} {symbol(name, self.d, self.lanes)}({given})")

    def polynomial(self, x: str, coefficients: Sequence[float]) -> str:
        """c0 + c1 x + c2 x^2 + ..."""
        *rest, last = coefficients
        value: str | float = last
        for c in reversed(rest):
            value = self.fma(value, x, c)
        assert isinstance(value, str)
        return value

    def nearest(self, x: str) -> tuple[str, str]:
        """The nearest whole number, as a float and as an integer: by adding a number so large that
        what is behind the point is rounded away. No conversion, which nan would not survive.
        """
        magic = 1.5 * 2.0 ** MANTISSA[self.d]
        shifted = self.add(x, magic)
        code = (
            struct.unpack("<i", struct.pack("<f", magic))[0]
            if self.d == "f32"
            else (struct.unpack("<q", struct.pack("<d", magic))[0])
        )
        return self.sub(shifted, magic), self.integer("sub", self.bits(shifted), code)

    def power_of_two(self, k: str) -> str:
        """2**k for an exponent that a normal number has."""
        bias = {"f32": 127, "f64": 1023}[self.d]
        shifted = self.integer("shl", self.integer("add", k, bias), MANTISSA[self.d])
        return self.from_bits(shifted)


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
    """k ln 2 + log(1 + f): with s = f / (2 + f), log(1 + f) = 2 atanh(s) = 2s + 2s^3/3 + ...,
    arranged so that the large part, f, is added last.
    """
    k, m = _split(b, x)
    f = b.sub(m, 1.0)
    s = b.div(f, b.add(f, 2.0))
    z = b.mul(s, s)
    terms = {"f32": 5, "f64": 11}[b.d]
    rest = b.mul(z, b.polynomial(z, [2 / (2 * n + 1) for n in range(1, terms + 1)]))
    half = b.mul(b.mul(f, f), 0.5)
    hi, lo = LN2[b.d]
    small = b.fma(s, b.add(half, rest), b.mul(k, lo))
    value = b.add(b.mul(k, hi), b.sub(f, b.sub(half, small)))
    infinite = b.is_("oeq", x, math.inf)
    value = b.choose(infinite, math.inf, value)
    value = b.choose(b.is_("oeq", x, 0.0), -math.inf, value)
    value = b.choose(b.is_("olt", x, 0.0), math.nan, value)
    return b.choose(b.is_("uno", x, x), x, value)


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
    "log1p": _log1p, "remainder": _remainder, "floor_divide": _floor_divide,
}  # fmt: skip
FUNCTIONS = frozenset(FORMULAS) | frozenset(LIBRARY) | {"sin", "cos"}


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
    given = ["%x", "%y"] if name in TWO else ["%x"]
    head = f"define internal {k} {symbol(name, d, lanes)}({', '.join(f'{k} {a}' for a in given)})"
    if name in ("sin", "cos"):
        return _trigonometric(head, name, d, lanes)
    b = Body(d, lanes)
    if name in FORMULAS:
        value = FORMULAS[name](b, *given)
    else:
        value = _per_lane(b, LIBRARY[name], given)
    text = "\n".join([f"{head} noinline #0 {{", *b.lines, f"  ret {k} {value}", "}"])
    return text, b.needs, b.declares


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
