"""Formulas of single numbers, through SymPy: what a value is in terms of earlier ones, read from
the formulas of the table, and its derivatives.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from clearprop.core import Contract, Map, Reduce, Tensor
from clearprop.errors import optional_import
from clearprop.explanation.names import literal_operand
from clearprop.explanation.paths import edges_of, moves_only, op_of
from clearprop.graph.formula import fold, formula_of
from clearprop.ops.contract import LINEAR

LARGE = 300  # operations in a formula beyond which nothing is simplified


class NoFormula(Exception):
    """An op whose value is no formula of single numbers."""


@dataclass
class Algebra:
    """Symbols by node; `element[node]` is the flat index of the element that is looked at,
    `values` the numbers that are known, `notes` which branches were taken.
    """

    element: dict[Any, int]
    values: dict[Any, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sp = optional_import("sympy", extra="explain")
        self.symbols: dict[Any, Any] = {}
        self.numbers: dict[Any, float] = {}  # by symbol
        self.unknown = 0

    def name(self, node: Any, name: str) -> Any:
        """The symbol of a node."""
        symbol = self.symbols[node] = self.sp.Symbol(name, real=True)
        if node in self.values:
            self.numbers[symbol] = self.values[node]
        return symbol

    def formula(self, vertex: Any, inner: list[Any]) -> Any:
        """The formula of a vertex in symbols of other nodes; `inner` are the nodes between, oldest
        first, the vertex last.
        """
        known = {n: s for n, s in self.symbols.items() if n is not vertex}
        for node in inner:
            known[node] = self._formula(node, known)
        return known[vertex]

    def _formula(self, node: Any, known: dict[Any, Any]) -> Any:
        main = op_of(node)
        prim, edges, saved = main.prim, edges_of(node), main.saved or ()
        kind = getattr(prim, "lower", None)
        at = self.element[node]
        inputs = []
        for i, edge in enumerate(edges):
            if edge is not None:
                if edge not in known:
                    raise NoFormula
                inputs.append(known[edge])
                continue
            inputs.append(self._constant(saved[i] if i < len(saved) else None, at, node))
        if isinstance(kind, Map):
            tree = formula_of(prim, main.params)
            return fold(tree, inputs, self.number, self._call)
        if moves_only(node) or (isinstance(kind, Reduce) and kind.combine in ("add", "sum")):
            return inputs[0]
        if isinstance(kind, Contract) and kind.form == "matmul":
            return inputs[0] * inputs[1]
        if prim is LINEAR:
            return inputs[0] * inputs[1] + inputs[2]
        raise NoFormula

    def _constant(self, x: Any, at: int, node: Any) -> Any:
        """A number that wants no gradient; a symbol c1, c2, ... where nobody kept it."""
        if isinstance(x, Tensor):
            flat = x.value.reshape(-1)
            return self.number(flat[at if flat.size > 1 else 0])
        written = literal_operand(node)
        if written is not None:
            return self.number(written)
        self.unknown += 1
        return self.sp.Symbol(f"c{self.unknown}", real=True)

    def number(self, x: Any) -> Any:
        """A number as people write it: 3, 1/2, 0.1."""
        if isinstance(x, bool | np.bool_):
            return self.sp.true if x else self.sp.false
        if not isinstance(x, int | float | np.number):
            return x  # the dtype of a cast
        value = float(str(x)) if isinstance(x, np.floating) else float(x)
        if not np.isfinite(value):
            return self.sp.nan if value != value else self.sp.oo * (1 if value > 0 else -1)
        exact = Fraction(repr(value))
        if exact.denominator <= 12 and abs(exact.numerator) < 10**6:
            return self.sp.Rational(exact.numerator, exact.denominator)
        return self.sp.Float(repr(value), 15 if isinstance(x, float) else 8)

    # ------------------------------------------------------------------ functions
    def _call(self, name: str, args: list[Any]) -> Any:
        sp = self.sp
        match name, args:
            case ("add", [a, b]):
                return a + b
            case ("sub", [a, b]):
                return a - b
            case ("mul", [a, b]):
                return a * b
            case ("div", [a, b]):
                return a / b
            case ("neg", [a]):
                return -a
            case ("pow", [a, b]):
                return a**b
            case ("cast", [a, *_]):
                return a
            case ("max", [a, b]):
                return self._choose(a >= b, a, b)
            case ("min", [a, b]):
                return self._choose(a <= b, a, b)
            case ("select", [c, a, b]):
                return self._choose(c, a, b)
            case ("eq" | "ne" | "lt" | "le" | "gt" | "ge", [a, b]):
                return getattr(sp, name.capitalize())(a, b)
            case ("sigmoid", [a]):
                return 1 / (1 + sp.exp(-a))
            case ("expm1", [a]):
                return sp.exp(a) - 1
            case ("log1p", [a]):
                return sp.log(1 + a)
            case ("log2" | "log10", [a]):
                return sp.log(a) / sp.log(int(name[3:]))
            case ("abs", [a]):
                return self._choose(a >= 0, a, -a)
            case ("ceil" | "floor", [a]):
                return sp.ceiling(a) if name == "ceil" else sp.floor(a)
            case _:
                function = getattr(sp, name, None)
                if function is None or not args:
                    raise NoFormula
                return function(*args)

    def _choose(self, condition: Any, a: Any, b: Any) -> Any:
        """The branch that the numbers take, with a note; both where they are not known."""
        sp = self.sp
        decided = condition.subs(self.numbers) if hasattr(condition, "subs") else condition
        if decided not in (sp.true, sp.false, True, False):
            return sp.Piecewise((a, condition), (b, True))
        yes = decided in (sp.true, True)
        if condition not in (sp.true, sp.false, True, False):
            note = condition if yes else sp.Not(condition)
            text = f"for {note}"
            if text not in self.notes:
                self.notes.append(text)
        return a if yes else b

    # ------------------------------------------------------------------ what is made of formulas
    def derivative(self, formula: Any, node: Any) -> Any:
        return self.sp.diff(formula, self.symbols[node])

    def tidy(self, formula: Any) -> Any:
        """Multiplied out, with like terms together."""
        if self.sp.count_ops(formula) > LARGE:
            return formula
        return min(
            (self.sp.expand(formula), self.sp.factor_terms(formula), formula),
            key=lambda f: (self.sp.count_ops(f), str(f)),
        )
