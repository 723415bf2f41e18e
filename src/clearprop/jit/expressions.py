"""Formulas of elementwise primitives as vector instructions.

`why_not` says whether there are instructions for a formula on these types; `Vectors` writes them. A
value is a name with its element type; a number of the formula takes the type of what it meets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clearprop.core import dtype
from clearprop.graph.formula import Call, Constant, Tree, fold
from clearprop.jit.vectormath import FUNCTIONS as MATH
from clearprop.jit.vectormath import symbol
from clearprop.jit.writer import SIZES, Writer, splat, vector

FLOATS = ("f32", "f64")
SIGNED = ("i64", "i32", "i16", "i8")
INTEGERS = (*SIGNED, "u8")

INTRINSICS = {
    "sqrt": "llvm.sqrt", "floor": "llvm.floor", "ceil": "llvm.ceil", "rint": "llvm.rint",
    "trunc": "llvm.trunc",
}  # fmt: skip
FLOAT_OPS = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
INTEGER_OPS = {"add": "add", "sub": "sub", "mul": "mul"}
LOGIC = {"and": "and", "or": "or", "xor": "xor"}
COMPARE = {
    "eq": ("oeq", "eq", "eq"), "ne": ("une", "ne", "ne"), "lt": ("olt", "slt", "ult"),
    "le": ("ole", "sle", "ule"), "gt": ("ogt", "sgt", "ugt"), "ge": ("oge", "sge", "uge"),
}  # fmt: skip
FAST = "contract"  # a * b + c may be rounded once; nothing else may change


@dataclass(frozen=True)
class Value:
    """A vector in a register."""

    name: str
    dtype: str


Operand = Value | Constant


class NoInstruction(Exception):
    """There is no code for this function on these types."""


def _kind(args: Sequence[Operand]) -> str:
    for a in args:
        if isinstance(a, Value):
            return a.dtype
    raise NoInstruction("a formula of numbers alone")


def result_dtype(tree: Tree, dtypes: Sequence[str], out: str) -> str:
    """The element type that a formula gives; NoInstruction where there is no code for it."""
    vectors = Vectors(Writer(), 1)
    found = vectors.formula(tree, [Value("%x", d) for d in dtypes], out)
    return found.dtype


def why_not(tree: Tree, dtypes: Sequence[str], out: str) -> str | None:
    """The reason why a formula has no code on these types; None if it has."""
    if "f16" in (*dtypes, out) and not (isinstance(tree, Call) and tree.name == "cast"):
        return "float16 is a type for storage"
    if out == "f16" and "f64" in dtypes:  # LLVM would call a function of a library that is absent
        return "there is no instruction from float64 to float16"
    try:
        got = result_dtype(tree, dtypes, out)
    except NoInstruction as reason:
        return str(reason)
    return None if got == out else f"the formula gives {got} where {out} is wanted"


class Vectors:
    """Writes instructions on vectors of `lanes` elements."""

    def __init__(self, writer: Writer, lanes: int) -> None:
        self.w = writer
        self.lanes = lanes
        self.math: set[tuple[str, str, int]] = set()

    # ------------------------------------------------------------------ formulas
    def formula(self, tree: Tree, inputs: Sequence[Value], out: str) -> Value:
        """The value of a formula on these inputs; a bare number becomes one of type `out`."""
        found: Operand = fold(tree, list(inputs), Constant, self._call)  # type: ignore[arg-type]
        return self.typed(found, out)

    def typed(self, x: Operand, d: str) -> Value:
        return x if isinstance(x, Value) else Value(splat(x.value, d, self.lanes), d)

    def kind(self, d: str) -> str:
        return vector(d, self.lanes)

    def _call(self, name: str, args: list[Operand]) -> Operand:
        if name == "cast":
            (x, to) = args
            assert isinstance(to, Constant)
            target: dtype = to.value
            return self.cast(self.typed(x, _kind(args)), target.short)
        if name == "neg" and isinstance(args[0], Constant):
            return Constant(-args[0].value)
        if name == "select":
            c, a, b = args
            if not isinstance(a, Value) and not isinstance(b, Value):
                d = self._other
                return self.select(self.typed(c, "bool"), self.typed(a, d), self.typed(b, d))
            d = _kind((a, b))
            return self.select(self.typed(c, "bool"), self.typed(a, d), self.typed(b, d))
        d = _kind(args)
        self._other = d
        values = [self.typed(a, d) for a in args]
        if len({v.dtype for v in values}) > 1:
            raise NoInstruction(f"{name} of mixed types")
        return self.apply(name, values)

    _other = "f32"  # the type that numbers take where a formula chooses between two of them

    def apply(self, name: str, args: Sequence[Value]) -> Value:
        """A function or operator of the formulas on values of one type."""
        d = args[0].dtype
        names = [a.name for a in args]
        kind = self.kind(d)
        if name in COMPARE:
            if d == "f16":
                raise NoInstruction("float16 is a type for storage")
            which = 0 if d in FLOATS else 2 if d in ("u8", "bool") else 1
            word = "fcmp" if d in FLOATS else "icmp"
            made = self.w.emit(f"{word} {COMPARE[name][which]} {kind} {', '.join(names)}", "c")
            return Value(made, "bool")
        if name in ("max", "min"):
            return self._extreme(name, *args)
        if d in FLOATS:
            return self._float(name, d, kind, names)
        if d == "bool":
            return self._bool(name, kind, names)
        if d in INTEGERS:
            return self._integer(name, d, kind, names)
        raise NoInstruction(f"{name} of {d}")

    def _float(self, name: str, d: str, kind: str, names: list[str]) -> Value:
        if name in FLOAT_OPS:
            return Value(self.w.emit(f"{FLOAT_OPS[name]} {FAST} {kind} {', '.join(names)}"), d)
        if name == "neg":
            return Value(self.w.emit(f"fneg {kind} {names[0]}"), d)
        if name == "abs":
            return self.intrinsic("llvm.fabs", d, names[0])
        if name in INTRINSICS:
            return self.intrinsic(INTRINSICS[name], d, names[0])
        if name in MATH:
            return self.outlined(name, d, names)
        raise NoInstruction(f"{name} of {d}")

    def _bool(self, name: str, kind: str, names: list[str]) -> Value:
        logic = LOGIC.get(name) or {"add": "or", "mul": "and"}.get(name)
        if logic:
            return Value(self.w.emit(f"{logic} {kind} {', '.join(names)}", "c"), "bool")
        if name == "not":
            ones = splat(True, "bool", self.lanes)
            return Value(self.w.emit(f"xor {kind} {names[0]}, {ones}", "c"), "bool")
        if name == "abs":
            return Value(names[0], "bool")
        raise NoInstruction(f"{name} of bool")

    def _integer(self, name: str, d: str, kind: str, names: list[str]) -> Value:
        word = INTEGER_OPS.get(name) or LOGIC.get(name)
        if word:
            return Value(self.w.emit(f"{word} {kind} {', '.join(names)}"), d)
        if name == "neg":
            return Value(self.w.emit(f"sub {kind} {splat(0, d, self.lanes)}, {names[0]}"), d)
        if name == "not":
            return Value(self.w.emit(f"xor {kind} {names[0]}, {splat(-1, d, self.lanes)}"), d)
        if name == "abs":
            if d == "u8":
                return Value(names[0], d)
            negative = self.apply("lt", [Value(names[0], d), self.constant(0, d)])
            return self.select(negative, self.apply("neg", [Value(names[0], d)]),
                               Value(names[0], d))  # fmt: skip
        if name in ("floor", "ceil", "rint", "trunc"):
            return Value(names[0], d)
        raise NoInstruction(f"{name} of integers")

    def _extreme(self, name: str, a: Value, b: Value) -> Value:
        """The larger or smaller one; nan if either is."""
        if a.dtype == "f16":
            raise NoInstruction("float16 is a type for storage")
        takes_a = self.apply("gt" if name == "max" else "lt", [a, b])
        if a.dtype in FLOATS:
            broken = self.w.emit(f"fcmp uno {self.kind(a.dtype)} {a.name}, {a.name}", "c")
            takes_a = self.apply("or", [takes_a, Value(broken, "bool")])
        return self.select(takes_a, a, b)

    # ------------------------------------------------------------------ single instructions
    def constant(self, x: Any, d: str) -> Value:
        return Value(splat(x, d, self.lanes), d)

    def select(self, c: Value, a: Value, b: Value) -> Value:
        if a.dtype != b.dtype:
            raise NoInstruction(f"a choice between {a.dtype} and {b.dtype}")
        if c.dtype != "bool":
            c = self.apply("ne", [c, self.constant(0, c.dtype)])
        kind = self.kind(a.dtype)
        text = f"select {self.kind('bool')} {c.name}, {kind} {a.name}, {kind} {b.name}"
        return Value(self.w.emit(text), a.dtype)

    def intrinsic(self, name: str, d: str, x: str) -> Value:
        short = {"f32": "f32", "f64": "f64"}[d]
        kind = self.kind(d)
        return Value(self.w.call(kind, f"@{name}.v{self.lanes}{short}", f"{kind} {x}"), d)

    def outlined(self, name: str, d: str, names: list[str]) -> Value:
        from_math = (name, d, self.lanes)
        self.math.add(from_math)
        kind = self.kind(d)
        args = ", ".join(f"{kind} {x}" for x in names)
        return Value(self.w.emit(f"call {kind} {symbol(*from_math)}({args})"), d)

    def cast(self, x: Value, to: str) -> Value:
        """Another element type: as NumPy casts."""
        d = x.dtype
        if d == to:
            return x
        kind, new = self.kind(d), self.kind(to)
        if to == "bool":
            return self.apply("ne", [x, self.constant(0, d)])
        if d == "bool":
            if to in ("f32", "f64", "f16"):
                return Value(self.w.emit(f"uitofp {kind} {x.name} to {new}"), to)
            return Value(self.w.emit(f"zext {kind} {x.name} to {new}"), to)
        if {d, to} <= {"f16", "f32", "f64"}:
            word = "fpext" if SIZES[to] > SIZES[d] else "fptrunc"
            return Value(self.w.emit(f"{word} {kind} {x.name} to {new}"), to)
        if d in INTEGERS and to in INTEGERS:
            return self._resize(x, to)
        if d in INTEGERS:
            word = "uitofp" if d == "u8" else "sitofp"
            return Value(self.w.emit(f"{word} {kind} {x.name} to {new}"), to)
        if d == "f16":
            return self.cast(self.cast(x, "f32"), to)
        return self._truncate(x, to)

    def _resize(self, x: Value, to: str) -> Value:
        kind, new = self.kind(x.dtype), self.kind(to)
        if SIZES[x.dtype] == SIZES[to]:
            return Value(x.name, to)
        word = "trunc" if SIZES[to] < SIZES[x.dtype] else "zext" if x.dtype == "u8" else "sext"
        return Value(self.w.emit(f"{word} {kind} {x.name} to {new}"), to)

    def _truncate(self, x: Value, to: str) -> Value:
        """Float to integer, toward zero; what does not fit, and nan, becomes the smallest integer,
        as the processor's instruction has it. Small types go through 32 bits.
        """
        wide = "i64" if to == "i64" else "i32"
        limit = 2.0**63 if wide == "i64" else 2.0**31
        low = self.apply("ge", [x, self.constant(-limit, x.dtype)])
        high = self.apply("lt", [x, self.constant(limit, x.dtype)])
        fits = self.apply("and", [low, high])
        safe = self.select(fits, x, self.constant(0, x.dtype))
        made = self.w.emit(f"fptosi {self.kind(x.dtype)} {safe.name} to {self.kind(wide)}")
        smallest = self.constant(-int(limit), wide)
        return self._resize(self.select(fits, Value(made, wide), smallest), to)
