"""Python numbers that a trace must not freeze: learning rates, step counts.

A `Number` behaves like a float in arithmetic and comparisons while it stands for a 0-d float64
value of the graph, so that the compiled step computes `1 - beta ** t` in double precision from
whatever t and beta are then. A comparison is decided with the value of today, and the interpreter
is told what was assumed.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from clearprop.core.dtypes import float64, from_numpy_dtype
from clearprop.core.primitive import TABLE
from clearprop.core.state import Interpreter, local
from clearprop.core.tensor import Tensor, bump, wrap

FIXED = "a Python number is wanted there, and the step must not depend on what it is today"


class Number:
    """A float64 of the graph. `now` is its value today, `again()` works it out later on; `steady`:
    it stays the same until an option is changed.
    """

    __slots__ = ("again", "interpreter", "now", "steady", "value")

    def __init__(
        self,
        interpreter: Interpreter,
        value: Any,
        now: float,
        again: Callable[[], float],
        steady: bool = True,
    ) -> None:
        self.interpreter = interpreter
        self.value = value
        self.now = now
        self.again = again
        self.steady = steady

    def spread(self, d: np.dtype, shape: tuple[int, ...]) -> Tensor:
        """A tensor of type d that holds this number at every place."""
        value = self.value
        if d != value.dtype:
            value = self.interpreter.run(TABLE["cast"], (value,), {"to": from_numpy_dtype(d)})
        if shape:
            value = self.interpreter.run(TABLE["expand"], (value,), {"shape": shape})
        return wrap(value, None)

    def __neg__(self) -> Any:
        minus: Any = -1.0
        return minus * self

    def __bool__(self) -> bool:
        return bool(self != 0)

    def __float__(self) -> float:
        self.interpreter.refuse(f"float() of a number that is {self.now} now", FIXED)
        return self.now

    def __int__(self) -> int:
        return int(float(self))

    def __repr__(self) -> str:
        return f"<{self.now}, traced>"

    __hash__ = None  # type: ignore[assignment]


def _arithmetic(name: str, f: Callable[[Any, Any], Any]) -> tuple[Any, Any]:
    """`x op y` and its reflection for a primitive of the table."""

    def run(a: Any, b: Any) -> Any:
        numbers = [x for x in (a, b) if isinstance(x, Number)]
        interpreter = numbers[0].interpreter
        values = [x.value if isinstance(x, Number) else _fixed(x) for x in (a, b)]
        one, two = _asked(a), _asked(b)
        value = interpreter.run(TABLE[name], values, {})
        steady = all(x.steady for x in numbers)
        return Number(interpreter, value, f(_today(a), _today(b)), lambda: f(one(), two()), steady)

    def forward(self: Number, other: Any) -> Any:
        return run(self, other) if isinstance(other, _PLAIN) else NotImplemented

    def reflected(self: Number, other: Any) -> Any:
        return run(other, self) if isinstance(other, _PLAIN) else NotImplemented

    return forward, reflected


def _comparison(f: Callable[[Any, Any], bool]) -> Any:
    def compare(self: Number, other: Any) -> Any:
        if not isinstance(other, _PLAIN):
            return NotImplemented

        one, two = self.again, _asked(other)
        answer = f(self.now, _today(other))
        steady = self.steady and (not isinstance(other, Number) or other.steady)
        self.interpreter.assume(lambda: f(one(), two()), answer, steady)
        return answer

    return compare


def _today(x: Any) -> float:
    return x.now if isinstance(x, Number) else float(x)


def _asked(x: Any) -> Callable[[], float]:
    """How to work x out later, without holding on to the trace."""
    if isinstance(x, Number):
        return x.again
    number = float(x)
    return lambda: number


def _fixed(x: float) -> np.ndarray:
    value = np.array(float(x))
    value.flags.writeable = False
    return value


_PLAIN = (Number, int, float)

for _name, _prim, _f in (
    ("add", "add", operator.add),
    ("sub", "sub", operator.sub),
    ("mul", "mul", operator.mul),
    ("truediv", "div", operator.truediv),
    ("pow", "pow", operator.pow),
):
    _forward, _reflected = _arithmetic(_prim, _f)
    setattr(Number, f"__{_name}__", _forward)
    setattr(Number, f"__r{_name}__", _reflected)

for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Number, f"__{_name}__", _comparison(getattr(operator, _name)))


def count_up(counter: Tensor) -> Any:
    """Add one to a 0-d tensor of whole numbers and return the count: an int, or a Number while
    tracing.
    """
    interpreter = local.c.interpreter
    if interpreter is None or not interpreter.traces:
        counter.value += 1
        bump(counter)
        return int(counter.value)
    one = np.ones((), counter.value.dtype)
    one.flags.writeable = False
    array = counter.value
    new = interpreter.run(TABLE["add"], (counter, one), {})
    interpreter.write(counter, new)
    bump(counter)
    steps = interpreter.count(array)  # in this trace, so far
    value = interpreter.run(TABLE["cast"], (new,), {"to": float64})
    return Number(
        interpreter, value, float(array) + steps, lambda: float(array) + steps, steady=False
    )
