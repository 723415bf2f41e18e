"""What an elementwise primitive computes, read from the formula of its entry.

A formula is a Python expression of one element: inputs are `x` and `y` (`c`, `x`, `y` where there
three), params stand under their names, and `a if condition else b` chooses. `formula_of` gives
a tree of Call, Input and Constant; a compiler writes instructions for it, `fold` works it out.

A bound that is None is left out: `max(x, lo)` with lo=None is x.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from clearprop.core import Map, Primitive

T = TypeVar("T")

NAMES = {1: ("x",), 2: ("x", "y"), 3: ("c", "x", "y")}

FUNCTIONS = frozenset(
    """
    abs exp expm1 log log2 log10 log1p sqrt sin cos tan asin acos atan sinh cosh asinh acosh atanh
    tanh sigmoid erf erfc floor ceil rint trunc pow max min atan2 fmod remainder floor_divide cast
    """.split()
)
_BINARY: dict[type, str] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div",
    ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor",
}  # fmt: skip
_COMPARE: dict[type, str] = {
    ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge",
}  # fmt: skip
_UNARY: dict[type, str] = {ast.USub: "neg", ast.Invert: "not"}


@dataclass(frozen=True, slots=True)
class Input:
    """The element of input `index`."""

    index: int


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, or a dtype as the target of a cast."""

    value: Any


@dataclass(frozen=True, slots=True)
class Call:
    """A function or operator of other nodes; `select(condition, a, b)` chooses."""

    name: str
    args: tuple[Input | Constant | Call, ...]


Tree = Input | Constant | Call


def formula_of(prim: Primitive, params: dict[str, Any]) -> Tree:
    """The tree of an elementwise primitive with these params.

    Errors: TypeError for a primitive of another kind; ValueError for a formula that is none.

    >>> from clearprop.core import TABLE
    >>> formula_of(TABLE["mul"], {})
    Call(name='mul', args=(Input(index=0), Input(index=1)))
    """
    if not isinstance(prim.lower, Map):
        raise TypeError(f"formula_of: {prim.name} is no elementwise primitive: {prim.lower}")
    names = NAMES[prim.arity]
    return _read(_parsed(prim.lower.formula), names, params)


@cache
def _parsed(formula: str) -> ast.expr:
    try:
        return ast.parse(formula, mode="eval").body
    except SyntaxError as e:
        raise ValueError(f"formula {formula!r} is no expression: {e.msg}") from None


def _read(node: ast.expr, names: tuple[str, ...], params: dict[str, Any]) -> Tree:
    def read(part: ast.expr) -> Tree:
        return _read(part, names, params)

    match node:
        case ast.Constant(value=int() | float() as value):
            return Constant(value)
        case ast.Name(id=name) if name in names:
            return Input(names.index(name))
        case ast.Name(id=name) if name in params:
            return Constant(params[name])
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return Call(_UNARY[type(op)], (read(operand),))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return Call(_BINARY[type(op)], (read(left), read(right)))
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
            return Call(_COMPARE[type(op)], (read(left), read(right)))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return Call("select", (read(test), read(body), read(orelse)))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            given = tuple(a for a in map(read, args) if a != Constant(None))
            return given[0] if name in ("max", "min") and len(given) == 1 else Call(name, given)
    raise ValueError(f"formula: {ast.unparse(node)!r} has no meaning here")


def fold(
    tree: Tree,
    inputs: list[T],
    constant: Callable[[Any], T],
    call: Callable[[str, list[T]], T],
) -> T:
    """Work a tree out from its leaves: `call(name, values)` for every function, `constant(number)`
    for every number. The dtype of a cast reaches `call` as a constant.
    """
    if isinstance(tree, Input):
        return inputs[tree.index]
    if isinstance(tree, Constant):
        return constant(tree.value)
    return call(tree.name, [fold(a, inputs, constant, call) for a in tree.args])
