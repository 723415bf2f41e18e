"""Instructions on whole vectors, as the body of a function."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from clearprop.jit.writer import TYPES, splat

MANTISSA = {"f32": 23, "f64": 52}


def symbol(name: str, d: str, lanes: int) -> str:
    """The name of a function in IR."""
    return f"@cp.{name.replace(' ', '.')}.{d}x{lanes}"


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
